"""How the factors of a sample change with its place: solid angle, polarization, absorption, amorphous background.

Each adds to the derivative by the place, v, what photons that have the factor once give, and to the columns of the
variables that the factor has besides. ``share`` is those photons over the factor itself, but for the solid angle, where
it is the photons. ``way`` is the row at which directions and 1/distance begin.
"""

import numpy as np

from ..compile.jit import internal
from ..compile.memory import add_to, read, read_back, write
from ..compile.polynomials import exp_clamped
from ..equations.background import row_near, slope_between
from .change import AREA, KAHN, NORMAL, PATH, TABLES
from .rays import frame_of, incident_of, way_at
from .room import BLOCK, CAPTURED, COLUMNS, FIRST_POLAR, FIRST_SOLID, SHARE, VX, VY, VZ, WEIGHT, column_at

TO_AREA, TO_KAHN, TO_PATH, TO_NORMAL_X, TO_NORMAL_Y, TO_NORMAL_Z = (
    np.uint32(COLUMNS + n * BLOCK) for n in (AREA, KAHN, PATH, NORMAL, NORMAL + 1, NORMAL + 2)
)
IN_THE_BEAM = 1e-24
"""|s1 − s0|² that is rounding, of a pixel that the beam itself meets."""


@internal(forceinline=True, fastmath={"contract"})
def add_across(rows, p, x, y, z, inverse, gx, gy, gz):
    """A derivative by the direction of a ray becomes one by the place: (1 − d dᵀ)/R."""
    along = x * gx + y * gy + z * gz
    add_to(rows, p + VX, (gx - x * along) * inverse)
    add_to(rows, p + VY, (gy - y * along) * inverse)
    add_to(rows, p + VZ, (gz - z * along) * inverse)


@internal(forceinline=True)
def solid_power(detector):
    """Of pixel² · close distance / R³, or 1/R² of a point."""
    return -2.0 if detector.point_pixel else -3.0


@internal(forceinline=True, fastmath={"contract"})
def polar_slopes(kahn, incident, frame, x, y, z):
    """Of ½(1 + (s0·d)² − K((E·d)² − (B·d)²)), by d and by K."""
    (s0, s1, s2), ((e0, e1, e2), (b0, b1, b2)) = incident, frame
    c, e, b = s0 * x + s1 * y + s2 * z, e0 * x + e1 * y + e2 * z, b0 * x + b1 * y + b2 * z
    ke, kb = kahn * e, kahn * b
    gx, gy, gz = c * s0 - ke * e0 + kb * b0, c * s1 - ke * e1 + kb * b1, c * s2 - ke * e2 + kb * b2
    return gx, gy, gz, -0.5 * (e * e - b * b)


@internal(fastmath={"contract"})
def add_solid_slopes(power, rows, way, count):
    """∂ln Ω/∂x = −3x/R², or −2x/R²."""
    for pixel in range(count):
        p = np.uint32(pixel)
        x, y, z, inverse = way_at(rows, p + way)
        share = read(rows, p + SHARE)
        common = power * share * inverse
        add_to(rows, p + VX, common * x)
        add_to(rows, p + VY, common * y)
        add_to(rows, p + VZ, common * z)
        add_to(rows, p + TO_AREA, share)


@internal(fastmath={"contract"})
def add_polar_slopes(kahn, incident, frame, rows, way, count):
    """Of the polarization, by the place and by K."""
    for pixel in range(count):
        p = np.uint32(pixel)
        x, y, z, inverse = way_at(rows, p + way)
        share = read(rows, p + SHARE)
        gx, gy, gz, by_kahn = polar_slopes(kahn, incident, frame, x, y, z)
        add_to(rows, p + TO_KAHN, share * by_kahn)
        add_across(rows, p, x, y, z, share * inverse, gx, gy, gz)


@internal(fastmath={"contract"})
def add_polar_slopes_of_rays(plan, change, rows, way, source, count):
    """The same by the directions of a source and of its fields, of each parameter of the beam."""
    (s0, s1, s2), ((e0, e1, e2), (b0, b1, b2)) = incident_of(plan, source), frame_of(plan, source)
    for ray in range(change.incident.shape[0]):
        start = column_at(TABLES + change.tables.shape[0] + ray)
        ds, de, db = change.incident[ray, source], change.electric[ray, source], change.magnetic[ray, source]
        ds0, ds1, ds2, de0, de1, de2, db0, db1, db2 = ds[0], ds[1], ds[2], de[0], de[1], de[2], db[0], db[1], db[2]
        for pixel in range(count):
            p = np.uint32(pixel)
            x, y, z, _ = way_at(rows, p + way)
            c, e, b = s0 * x + s1 * y + s2 * z, e0 * x + e1 * y + e2 * z, b0 * x + b1 * y + b2 * z
            moved = e * (de0 * x + de1 * y + de2 * z) - b * (db0 * x + db1 * y + db2 * z)
            by_source = c * (ds0 * x + ds1 * y + ds2 * z) - plan.kahn * moved
            add_to(rows, p + start, read(rows, p + SHARE) * by_source)


@internal(fastmath={"contract"})
def add_capture_slopes(normal, depth, rows, way, layer, count):
    """Of e^(−l·t) − e^(−(l + 1)·t), t = µ · thickness / (d·o), by d, by the normal o, and by µ · thickness."""
    o0, o1, o2 = normal
    for pixel in range(count):
        p = np.uint32(pixel)
        x, y, z, inverse = way_at(rows, p + way)
        slant = 1.0 / (x * o0 + y * o1 + z * o2)
        path = depth * slant
        by_path = (layer + 1.0) * exp_clamped(-(layer + 1.0) * path) - layer * exp_clamped(-layer * path)
        by_log = read(rows, p + SHARE) * by_path * path
        by_cosine = -by_log * slant
        add_to(rows, p + TO_PATH, by_log)
        add_to(rows, p + TO_NORMAL_X, by_cosine * x)
        add_to(rows, p + TO_NORMAL_Y, by_cosine * y)
        add_to(rows, p + TO_NORMAL_Z, by_cosine * z)
        add_across(rows, p, x, y, z, inverse, by_cosine * o0, by_cosine * o1, by_cosine * o2)


@internal(fastmath={"contract"})
def add_amorphous_slopes(plan, change, rows, way, count):
    """Of the intensity of amorphous material, which depends on sin θ/λ = |q|/2 of the first source."""
    s0, s1, s2 = incident_of(plan, 0)
    wavelength, table, low = plan.sources.wavelength[0], plan.background.table, 0
    last = table.shape[1] - 1
    for pixel in range(count):
        p = np.uint32(pixel)
        dx, dy, dz, inverse = way_at(rows, p + way)
        x, y, z = dx - s0, dy - s1, dz - s2
        square = x * x + y * y + z * z
        size = np.sqrt(square) if square > IN_THE_BEAM else 0.0
        stol, slope = 0.5 * size / wavelength, 0.0
        if table[0, 0] < stol < table[0, last]:
            low = row_near(table, low, stol)
            slope = plan.background.scale * slope_between(table, low, stol)
        # Where q is 0, it has no direction, and F is at its maximum.
        share = read(rows, p + FIRST_SOLID) * read(rows, p + FIRST_POLAR) * read(rows, p + CAPTURED)
        by_direction = 0.5 * share * slope / (wavelength * size) if size > 0.0 else 0.0
        write(rows, p + WEIGHT, by_direction)
        add_across(rows, p, dx, dy, dz, inverse, by_direction * x, by_direction * y, by_direction * z)
    for ray in range(change.incident.shape[0]):
        start = column_at(TABLES + change.tables.shape[0] + ray)
        moved = change.incident[ray, 0]
        ds0, ds1, ds2, longer = moved[0], moved[1], moved[2], change.wavelength[ray, 0]
        for pixel in range(count):
            p = np.uint32(pixel)
            dx, dy, dz, _ = way_at(rows, p + way)
            x, y, z = dx - s0, dy - s1, dz - s2
            along = ds0 * x + ds1 * y + ds2 * z + longer * (x * x + y * y + z * z)
            add_to(rows, p + start, -read_back(rows, p + WEIGHT) * along)
