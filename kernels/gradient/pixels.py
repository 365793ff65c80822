"""Around the innermost loops: what a ray's sums are weighed with, its layer, and what all samples of a pixel share."""

import numpy as np

from ..choices import GAUSS, ROUND, SQUARE
from ..compile.jit import internal
from ..compile.memory import add_to, read, read_back, write
from .change import AMORPHOUS, AREA, CELLS, FUDGE, KAHN, PLACE, SPOTS, TABLES
from .factors import (
    add_amorphous_slopes,
    add_capture_slopes,
    add_polar_slopes,
    add_polar_slopes_of_rays,
    add_solid_slopes,
    frame_of,
    incident_of,
    polar_slopes,
    solid_power,
    way_at,
)
from .room import (
    AIRPATH,
    AROUND,
    BLOCK,
    CAPTURE,
    CAPTURED,
    COLUMNS,
    FAST,
    FIRST_POLAR,
    FIRST_SOLID,
    KEPT,
    LAYER,
    NEAR,
    ONE,
    PHOTONS,
    POLAR,
    QX,
    QY,
    QZ,
    SAMPLES,
    SHARE,
    SOLID,
    THREE,
    TOTAL,
    TWO,
    UX,
    UY,
    UZ,
    VX,
    VY,
    VZ,
    WEIGHT,
    X,
    column_at,
)

TO_X, TO_Y, TO_Z = (np.uint32(COLUMNS + (PLACE + n) * BLOCK) for n in range(3))
TO_AREA, TO_SPOTS, TO_AMORPHOUS, TO_KAHN = (np.uint32(COLUMNS + n * BLOCK) for n in (AREA, SPOTS, AMORPHOUS, KAHN))
TO_A, TO_B, TO_C, TO_FUDGE = (np.uint32(COLUMNS + n * BLOCK) for n in (CELLS, CELLS + 1, CELLS + 2, FUDGE))


@internal()
def begin_slopes(rows, summed, count):
    """No slope yet, but for those that are set at the end."""
    for number in summed:
        clear(rows, column_at(number), count)


@internal(forceinline=True)
def clear(rows, start, count):
    """Set a row to 0."""
    for pixel in range(count):
        rows[np.uint32(pixel) + start] = 0.0


@internal()
def keep_nearness(rows, count):
    """1/distance of a sub-pixel."""
    for pixel in range(count):
        p = np.uint32(pixel)
        write(rows, p + NEAR, 1.0 / read(rows, p + AIRPATH))


@internal()
def keep_way(rows, target, count):
    """Keep where the rays of a sub-pixel go."""
    for pixel in range(count):
        p = np.uint32(pixel)
        x, y, z, inverse = way_at(rows, p + X)
        write(rows, p + target, x)
        write(rows, p + target + ONE, y)
        write(rows, p + target + TWO, z)
        write(rows, p + target + THREE, inverse)


@internal()
def begin_ray(rows, share, solid, polar, count):
    """No orientation yet; what makes photons of a ray's sum, given the rows of solid angle and polarization."""
    for pixel in range(count):
        p = np.uint32(pixel)
        factor = read(rows, p + KEPT) * read(rows, p + CAPTURE) * read(rows, p + solid) * read(rows, p + polar)
        write(rows, p + WEIGHT, share * factor)
        write(rows, p + SAMPLES, 0.0)
        write(rows, p + UX, 0.0)
        write(rows, p + UY, 0.0)
        write(rows, p + UZ, 0.0)


@internal(fastmath={"contract"})
def put_direction_slopes(rows, wavenumber, count):
    """v of what the scattering vector gives: q = (d − s0)/λ, dd = (1 − d dᵀ) dx/R."""
    for pixel in range(count):
        p = np.uint32(pixel)
        x, y, z, inverse = way_at(rows, p + X)
        gx, gy, gz = read_back(rows, p + UX), read_back(rows, p + UY), read_back(rows, p + UZ)
        common, along = wavenumber * inverse, x * gx + y * gy + z * gz
        write(rows, p + VX, common * (gx - x * along))
        write(rows, p + VY, common * (gy - y * along))
        write(rows, p + VZ, common * (gz - z * along))


@internal()
def add_ray_slopes(plan, change, room, layer, source, count):
    """What few plans and parameters need of a ray: of the beam, and factors that each sample has of its own."""
    rows = room.rows
    if change.incident.shape[0] > 0:
        add_source_slopes(plan.sources.wavelength[source], change, rows, source, count)
    share = plan.photons_per_sample * plan.sources.weight[source]
    solid, polar = solid_row(plan), polar_row(plan)
    if plan.oversample_omega:
        put_share(rows, 1.0, WEIGHT, KEPT, count)
        add_solid_slopes(solid_power(plan.detector), rows, X, count)
    if plan.oversample_polar and plan.polarization_correction:
        put_share(rows, share, CAPTURE, solid, count)
        add_polar_slopes(plan.kahn, incident_of(plan, source), frame_of(plan, source), rows, X, count)
        add_polar_slopes_of_rays(plan, change, rows, X, source, count)
    if plan.oversample_thick and plan.detector.layer_step > 0.0:
        put_share(rows, share, solid, polar, count)
        depth = plan.detector.layer_step * plan.detector.attenuation
        add_capture_slopes(plan.detector.normal, depth, rows, X, float(layer), count)


@internal(forceinline=True)
def solid_row(plan):
    """Where the solid angle of a sample stands."""
    return SOLID if plan.oversample_omega else FIRST_SOLID


@internal(forceinline=True)
def polar_row(plan):
    """Where the polarization of a sample stands."""
    return POLAR if plan.oversample_polar else FIRST_POLAR


@internal(fastmath={"contract"})
def put_share(rows, share, first, second, count):
    """A ray's photons over a factor: its samples times a number and what stands in two rows."""
    for pixel in range(count):
        p = np.uint32(pixel)
        factor = read(rows, p + KEPT) * read(rows, p + first) * read(rows, p + second)
        write(rows, p + SHARE, share * factor * read(rows, p + SAMPLES))


@internal(fastmath={"contract"})
def add_source_slopes(wavelength, change, rows, source, count):
    """What the beam's parameters move: directions of travel, wavelengths and weights."""
    wavenumber = 1.0 / wavelength
    for ray in range(change.incident.shape[0]):
        start, moved = column_at(TABLES + change.tables.shape[0] + ray), change.incident[ray, source]
        dx, dy, dz = moved[0] * wavenumber, moved[1] * wavenumber, moved[2] * wavenumber
        longer, heavier = change.wavelength[ray, source], change.weight[ray, source]
        for pixel in range(count):
            p = np.uint32(pixel)
            gx, gy, gz = read_back(rows, p + UX), read_back(rows, p + UY), read_back(rows, p + UZ)
            qx, qy, qz = read(rows, p + QX), read(rows, p + QY), read(rows, p + QZ)
            less = gx * (dx + longer * qx) + gy * (dy + longer * qy) + gz * (dz + longer * qz)
            add_to(rows, p + start, heavier * read(rows, p + WEIGHT) * read(rows, p + SAMPLES) - less)


@internal()
def add_place(room, fast, slow, depth, count):
    """v to the columns of the place; offsets are from the pixel's first sub-pixel, which is added at the end."""
    add_place_row(room.rows, 0, 1.0, count)
    if fast != 0.0 and moves_place(room.moved, 3):
        add_place_row(room.rows, 3, fast, count)
    if slow != 0.0 and moves_place(room.moved, 6):
        add_place_row(room.rows, 6, slow, count)
    if depth != 0.0 and moves_place(room.moved, 9):
        add_place_row(room.rows, 9, depth, count)


@internal()
def moves_place(moved, row):
    """Whether some parameter moves three columns of the place."""
    return moved[PLACE + row] or moved[PLACE + row + 1] or moved[PLACE + row + 2]


@internal(fastmath={"contract"})
def add_place_row(rows, row, offset, count):
    """v times an offset to three columns."""
    x = column_at(PLACE + row)
    for pixel in range(count):
        p = np.uint32(pixel)
        add_to(rows, p + x, offset * read_back(rows, p + VX))
        add_to(rows, p + x + ONE, offset * read_back(rows, p + VY))
        add_to(rows, p + x + TWO, offset * read_back(rows, p + VZ))


@internal(forceinline=True)
def clear_place(rows, count):
    """No derivative by the place yet."""
    clear(rows, VX, count)
    clear(rows, VY, count)
    clear(rows, VZ, count)


@internal(fastmath={"contract"})
def add_layer_slopes(plan, room, way, layer, count):
    """What absorption gives that a layer's samples share; before the layer is added to the pixels."""
    rows, detector = room.rows, plan.detector
    clear_place(rows, count)
    for pixel in range(count):
        p = np.uint32(pixel)
        solid, polar = read(rows, p + FIRST_SOLID), read(rows, p + FIRST_POLAR)
        spots = 0.0 if plan.oversample_thick else plan.photons_per_sample * read(rows, p + LAYER)
        spots *= 1.0 if plan.oversample_omega else solid
        spots *= 1.0 if plan.oversample_polar else polar
        write(rows, p + SHARE, spots + read(rows, p + AROUND) * solid * polar)
    depth = detector.layer_step * detector.attenuation
    add_capture_slopes(detector.normal, depth, rows, way, float(layer), count)
    add_place(room, 0.0, 0.0, layer * detector.layer_step, count)


@internal(fastmath={"contract"})
def finish_slopes(rows, count):
    """What scales the image; after :func:`finish_pixels`."""
    for pixel in range(count):
        p = np.uint32(pixel)
        around = read(rows, p + FIRST_SOLID) * read(rows, p + FIRST_POLAR) * read(rows, p + CAPTURED)
        amorphous = read(rows, p + AROUND) * around
        write(rows, p + TO_AMORPHOUS, amorphous)
        write(rows, p + TO_SPOTS, read(rows, p + PHOTONS) - amorphous)


@internal(fastmath={"contract"})
def finish_counts(crystal, follows, rows, count, shape):
    """From what the lattice factor gave besides to derivatives by Na, Nb, Nc and the shape's scale."""
    if len(shape) == SQUARE:
        return
    na, nb, nc = float(crystal.cells[0]), float(crystal.cells[1]), float(crystal.cells[2])
    fudge = crystal.fudge
    for pixel in range(count):
        p = np.uint32(pixel)
        spots = 2.0 * read_back(rows, p + TO_SPOTS)
        x, y, z = read_back(rows, p + TO_A), read_back(rows, p + TO_B), read_back(rows, p + TO_C)
        by_fudge = na * na * x + nb * nb * y + nc * nc * z
        by_a, by_b, by_c = 2.0 * fudge * na * na * x, 2.0 * fudge * nb * nb * y, 2.0 * fudge * nc * nc * z
        if len(shape) == GAUSS and follows > 0.0:
            by_fudge, by_a, by_b, by_c = x / (2.0 * fudge), x, x, x
        elif len(shape) != GAUSS and len(shape) != ROUND:
            by_fudge, by_a, by_b, by_c = 0.0, 0.0, 0.0, 0.0
        write(rows, p + TO_FUDGE, by_fudge)
        write(rows, p + TO_A, (spots + by_a) / na)
        write(rows, p + TO_B, (spots + by_b) / nb)
        write(rows, p + TO_C, (spots + by_c) / nc)


@internal()
def finish_geometry(plan, change, room, slow, way, count):
    """Solid angle, polarization and background of the first sub-pixel; offsets of that from the corner."""
    rows = room.rows
    clear_place(rows, count)
    put_first_shares(plan, rows, count)
    add_first_slopes(solid_power(plan.detector), plan.kahn, incident_of(plan, 0), frame_of(plan, 0), rows, way, count)
    if change.incident.shape[0] > 0 and plan.polarization_correction:
        add_polar_slopes_of_rays(plan, change, rows, way, 0, count)
    if plan.background.table.shape[1] > 1 and plan.background.scale > 0.0:
        put_around(rows, count)
        add_amorphous_slopes(plan, change, rows, way, count)
    add_place_row(rows, 0, 1.0, count)
    if moves_place(room.moved, 3) or moves_place(room.moved, 6):
        step = plan.detector.pixel / plan.oversample
        add_offsets(rows, plan.detector.pixel, step / 2.0, plan.detector.pixel * slow + step / 2.0, count)


@internal(fastmath={"contract"})
def put_first_shares(plan, rows, count):
    """Photons that share the solid angle and the polarization of the first sub-pixel, over the latter."""
    with_solid, with_polar = 1.0 - plan.oversample_omega, 1.0 - plan.oversample_polar
    correct = 1.0 if plan.polarization_correction else 0.0
    for pixel in range(count):
        p = np.uint32(pixel)
        solid = read(rows, p + FIRST_SOLID)
        spots = with_polar * plan.photons_per_sample * read(rows, p + TOTAL)
        spots *= solid if with_solid > 0.0 else 1.0
        amorphous = read(rows, p + AROUND) * solid * read(rows, p + CAPTURED)
        write(rows, p + SHARE, correct * (spots + amorphous))
        photons = with_solid * read_back(rows, p + TO_SPOTS) + read_back(rows, p + TO_AMORPHOUS)
        write(rows, p + WEIGHT, photons)


@internal(fastmath={"contract"})
def add_first_slopes(power, kahn, incident, frame, rows, way, count):
    """Of solid angle and polarization in one."""
    for pixel in range(count):
        p = np.uint32(pixel)
        x, y, z, inverse = way_at(rows, p + way)
        share, photons = read(rows, p + SHARE), read(rows, p + WEIGHT)
        gx, gy, gz, by_kahn = polar_slopes(kahn, incident, frame, x, y, z)
        along, spread = share * (gx * x + gy * y + gz * z), power * photons
        add_to(rows, p + TO_KAHN, share * by_kahn)
        add_to(rows, p + TO_AREA, photons)
        add_to(rows, p + VX, (share * gx + (spread - along) * x) * inverse)
        add_to(rows, p + VY, (share * gy + (spread - along) * y) * inverse)
        add_to(rows, p + VZ, (share * gz + (spread - along) * z) * inverse)


@internal()
def put_around(rows, count):
    """Photons of the background over its intensity."""
    for pixel in range(count):
        p = np.uint32(pixel)
        write(rows, p + SHARE, read(rows, p + FIRST_SOLID) * read(rows, p + FIRST_POLAR) * read(rows, p + CAPTURED))


@internal(fastmath={"contract"})
def add_offsets(rows, pixel_m, fast, slow, count):
    """What moves with the first sub-pixel's distance from the corner, along fast and along slow."""
    for axis in range(3):
        base, along, across = column_at(PLACE + axis), column_at(PLACE + 3 + axis), column_at(PLACE + 6 + axis)
        for pixel in range(count):
            p = np.uint32(pixel)
            v = read_back(rows, p + base)
            add_to(rows, p + along, (read(rows, p + FAST) * pixel_m + fast) * v)
            add_to(rows, p + across, slow * v)
