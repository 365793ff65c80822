"""How the factors of a sample change with its place: solid angle, polarization, absorption, amorphous background.

Each adds to the derivative by the place, v, what photons that have the factor once give, and to the columns of the
variables that the factor has besides. ``share`` is those photons over the factor itself, but for the solid angle, where
it is the photons.
"""

import numpy as np

from ..compile.equation import inlined
from ..compile.jit import internal
from ..compile.memory import add_to, read, read_back, write
from ..compile.polynomials import exp_clamped
from ..equations.background import amorphous_square
from ..equations.polarization import polarization_frame
from .change import AREA, KAHN, NORMAL, PATH, TABLES
from .sums import BLOCK


@inlined
def row_of(number):
    """Where a row of pixels begins."""
    return np.uint32(number * BLOCK)


@inlined
def add_across(room, ways, p, gx, gy, gz):
    """A derivative by the direction of a ray becomes one by the place: (1 − d dᵀ)/R."""
    x, y, z = read(ways.x, p), read(ways.y, p), read(ways.z, p)
    along, inverse = x * gx + y * gy + z * gz, 1.0 / read(ways.airpath, p)
    add_to(room.vx, p, (gx - x * along) * inverse)
    add_to(room.vy, p, (gy - y * along) * inverse)
    add_to(room.vz, p, (gz - z * along) * inverse)


@internal(forceinline=True, fastmath={"contract"})
def add_solid_slopes(detector, room, ways, count):
    """Of pixel² · close distance / R³, or 1/R² of a point: ∂ln Ω/∂x = −3x/R², or −2x/R²."""
    power = -2.0 if detector.point_pixel else -3.0
    for pixel in range(count):
        p = np.uint32(pixel)
        share = read(room.share, p)
        common = power * share / read(ways.airpath, p)
        add_to(room.vx, p, common * read(ways.x, p))
        add_to(room.vy, p, common * read(ways.y, p))
        add_to(room.vz, p, common * read(ways.z, p))
        add_to(room.columns, p + row_of(AREA), share)


@internal(forceinline=True, fastmath={"contract"})
def add_polar_slopes(plan, change, room, ways, source, count):
    """Of ½(1 + (s0·d)² − K((E·d)² − (B·d)²)), by d, K, and the directions of the source."""
    s0, s1, s2 = incident_of(plan, source)
    electric, magnetic = polarization_frame((s0, s1, s2), plan.polarization_axis)
    e0, e1, e2 = electric
    b0, b1, b2 = magnetic
    for pixel in range(count):
        p = np.uint32(pixel)
        x, y, z, share = read(ways.x, p), read(ways.y, p), read(ways.z, p), read(room.share, p)
        c = share * (s0 * x + s1 * y + s2 * z)
        e, b = e0 * x + e1 * y + e2 * z, b0 * x + b1 * y + b2 * z
        add_to(room.columns, p + row_of(KAHN), -0.5 * share * (e * e - b * b))
        ke, kb = plan.kahn * share * e, plan.kahn * share * b
        add_across(room, ways, p, c * s0 - ke * e0 + kb * b0, c * s1 - ke * e1 + kb * b1, c * s2 - ke * e2 + kb * b2)
    for ray in range(change.incident.shape[0]):
        start = row_of(TABLES + change.tables.shape[0] + ray)
        ds, de, db = change.incident[ray, source], change.electric[ray, source], change.magnetic[ray, source]
        ds0, ds1, ds2, de0, de1, de2, db0, db1, db2 = ds[0], ds[1], ds[2], de[0], de[1], de[2], db[0], db[1], db[2]
        for pixel in range(count):
            p = np.uint32(pixel)
            x, y, z, share = read(ways.x, p), read(ways.y, p), read(ways.z, p), read(room.share, p)
            c, e, b = s0 * x + s1 * y + s2 * z, e0 * x + e1 * y + e2 * z, b0 * x + b1 * y + b2 * z
            moved = e * (de0 * x + de1 * y + de2 * z) - b * (db0 * x + db1 * y + db2 * z)
            add_to(room.columns, p + start, share * (c * (ds0 * x + ds1 * y + ds2 * z) - plan.kahn * moved))


@internal(forceinline=True, fastmath={"contract"})
def add_capture_slopes(detector, room, ways, layer, count):
    """Of e^(−l·t) − e^(−(l + 1)·t), t = µ · thickness / (d·o), by d, by the normal o, and by µ · thickness."""
    o0, o1, o2 = detector.normal
    depth = detector.layer_step * detector.attenuation
    for pixel in range(count):
        p = np.uint32(pixel)
        x, y, z = read(ways.x, p), read(ways.y, p), read(ways.z, p)
        cosine = x * o0 + y * o1 + z * o2
        path = depth / cosine
        by_path = (layer + 1.0) * exp_clamped(-(layer + 1.0) * path) - layer * exp_clamped(-layer * path)
        by_log = read(room.share, p) * by_path * path
        add_to(room.columns, p + row_of(PATH), by_log)
        by_cosine = -by_log / cosine
        add_to(room.columns, p + row_of(NORMAL), by_cosine * x)
        add_to(room.columns, p + row_of(NORMAL + 1), by_cosine * y)
        add_to(room.columns, p + row_of(NORMAL + 2), by_cosine * z)
        add_across(room, ways, p, by_cosine * o0, by_cosine * o1, by_cosine * o2)


@internal(forceinline=True, fastmath={"contract"})
def add_amorphous_slopes(plan, change, room, ways, count):
    """Of the intensity of amorphous material, which depends on sin θ/λ = |q|/2 of the first source."""
    s0, s1, s2 = incident_of(plan, 0)
    wavelength = plan.sources.wavelength[0]
    for pixel in range(count):
        p = np.uint32(pixel)
        x, y, z = read(ways.x, p) - s0, read(ways.y, p) - s1, read(ways.z, p) - s2
        size = np.sqrt(x * x + y * y + z * z)
        slope = amorphous_slope(plan.background, 0.5 * size / wavelength)
        # Where q is 0, it has no direction, and F is at its maximum.
        by_direction = 0.5 * read(room.share, p) * slope / (wavelength * size) if size > 0.0 else 0.0
        write(room.share, p, by_direction)
        add_across(room, ways, p, by_direction * x, by_direction * y, by_direction * z)
    for ray in range(change.incident.shape[0]):
        start = row_of(TABLES + change.tables.shape[0] + ray)
        moved = change.incident[ray, 0]
        ds0, ds1, ds2, longer = moved[0], moved[1], moved[2], change.wavelength[ray, 0]
        for pixel in range(count):
            p = np.uint32(pixel)
            x, y, z = read(ways.x, p) - s0, read(ways.y, p) - s1, read(ways.z, p) - s2
            along = ds0 * x + ds1 * y + ds2 * z + longer * (x * x + y * y + z * z)
            add_to(room.columns, p + start, -read_back(room.share, p) * along)


@internal()
def amorphous_slope(background, stol):
    """d/d(sin θ/λ) of scale · F² and what F² is besides, in a table whose F is linear between rows."""
    table, count = background.table, background.table.shape[1]
    if count < 2 or stol <= table[0, 0] or stol >= table[0, count - 1]:
        return 0.0
    low, high = 0, count - 1
    while high - low > 1:
        middle = (low + high) >> 1
        if table[0, middle] <= stol:
            low = middle
        else:
            high = middle
    step = table[0, low + 1] - table[0, low]
    u = (stol - table[0, low]) / step
    factor, _ = amorphous_square(background, stol)
    rise = 2.0 * factor * (table[1, low + 1] - table[1, low]) + table[2, low] * (1.0 - 2.0 * u)
    return background.scale * rise / step


@inlined
def incident_of(plan, source):
    """Along which a source's rays travel."""
    incident = plan.sources.incident
    return incident[source, 0], incident[source, 1], incident[source, 2]
