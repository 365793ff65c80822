"""From a ray's sums to the columns of a pixel: what moves with places, and what all samples of a pixel share."""

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
    polar_slopes,
    solid_power,
)
from .rays import fill_row, frame_of, incident_of, way_at
from .room import (
    AROUND,
    BLOCK,
    CAPTURE,
    CAPTURED,
    COLUMNS,
    FAST,
    FIRST_POLAR,
    FIRST_SOLID,
    FIRST_WAY,
    LAYER,
    LAYER_WAY,
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
        fill_row(rows, column_at(number), 0.0)


@internal()
def begin_place(rows, count):
    """No derivative by the place of a sub-pixel yet."""
    fill_row(rows, VX, 0.0)
    fill_row(rows, VY, 0.0)
    fill_row(rows, VZ, 0.0)


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


@internal(fastmath={"contract"})
def add_direction_slopes(rows, wavenumber, count):
    """What the scattering vector gives: q = (d − s0)/λ, dd = (1 − d dᵀ) dx/R."""
    for pixel in range(count):
        p = np.uint32(pixel)
        x, y, z, inverse = way_at(rows, p + X)
        gx, gy, gz = read_back(rows, p + UX), read_back(rows, p + UY), read_back(rows, p + UZ)
        common, along = wavenumber * inverse, x * gx + y * gy + z * gz
        add_to(rows, p + VX, common * (gx - x * along))
        add_to(rows, p + VY, common * (gy - y * along))
        add_to(rows, p + VZ, common * (gz - z * along))


@internal()
def add_ray_slopes(plan, change, rows, layer, source, count):
    """What few plans and parameters need of a ray: of the beam, and factors that each sample has of its own."""
    if change.incident.shape[0] > 0:
        add_source_slopes(plan.sources.wavelength[source], change, rows, source, count)
    share = plan.photons_per_sample * plan.sources.weight[source]
    solid, polar = solid_row(plan), polar_row(plan)
    if plan.oversample_omega:
        put_photons(rows, count)
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
        write(rows, p + SHARE, share * read(rows, p + first) * read(rows, p + second) * read(rows, p + SAMPLES))


@internal()
def put_photons(rows, count):
    """Those of a ray."""
    for pixel in range(count):
        p = np.uint32(pixel)
        write(rows, p + SHARE, read(rows, p + WEIGHT) * read(rows, p + SAMPLES))


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
def add_place(rows, place_moves, fast, slow, depth, count):
    """v to the columns of the place; offsets are from the pixel's first sub-pixel, which is added at the end."""
    offsets = (1.0, fast, slow, depth)
    for number in range(4):
        if offsets[number] != 0.0 and (number == 0 or place_moves[number]):
            add_place_row(rows, column_at(PLACE + 3 * number), offsets[number], count)


@internal(fastmath={"contract"})
def add_place_row(rows, x, offset, count):
    """v times an offset to three columns."""
    for pixel in range(count):
        p = np.uint32(pixel)
        add_to(rows, p + x, offset * read_back(rows, p + VX))
        add_to(rows, p + x + ONE, offset * read_back(rows, p + VY))
        add_to(rows, p + x + TWO, offset * read_back(rows, p + VZ))


@internal(fastmath={"contract"})
def add_layer_slopes(plan, rows, layer, count):
    """What absorption gives that a layer's samples share; before the layer is added to the pixels."""
    detector = plan.detector
    for pixel in range(count):
        p = np.uint32(pixel)
        solid, polar = read(rows, p + FIRST_SOLID), read(rows, p + FIRST_POLAR)
        spots = 0.0 if plan.oversample_thick else plan.photons_per_sample * read(rows, p + LAYER)
        spots *= 1.0 if plan.oversample_omega else solid
        spots *= 1.0 if plan.oversample_polar else polar
        write(rows, p + SHARE, spots + read(rows, p + AROUND) * solid * polar)
    depth = detector.layer_step * detector.attenuation
    add_capture_slopes(detector.normal, depth, rows, LAYER_WAY, float(layer), count)


@internal(fastmath={"contract"})
def finish_pixels(plan, rows, count):
    """From sums of samples to photons, and of those what has the polarization once, over that."""
    correct = 1.0 if plan.polarization_correction else 0.0
    for pixel in range(count):
        p = np.uint32(pixel)
        solid, polar, total = read(rows, p + FIRST_SOLID), read(rows, p + FIRST_POLAR), read(rows, p + TOTAL)
        spots = plan.photons_per_sample * total * (1.0 if plan.oversample_omega else solid)
        around = read(rows, p + AROUND) * solid * read(rows, p + CAPTURED)
        share = correct * (around + (0.0 if plan.oversample_polar else spots))
        spots *= 1.0 if plan.oversample_polar else polar
        around *= polar
        write(rows, p + SHARE, share)
        write(rows, p + TO_SPOTS, spots)
        write(rows, p + TO_AMORPHOUS, around)
        write(rows, p + PHOTONS, spots + around)


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
def finish_geometry(plan, change, room, slow, alone, count, special):
    """Solid angle, polarization and background of the first sub-pixel; offsets of that from the corner."""
    rows, detector, way = room.rows, plan.detector, X
    if not alone:
        begin_place(rows, count)
        way = FIRST_WAY
    if len(special) == 1:
        add_first_special_slopes(plan, change, rows, way, count)
    with_solid = 0.0 if plan.oversample_omega else 1.0
    finish_place(solid_power(detector), with_solid, plan.kahn, incident_of(plan, 0), room.frame, rows, way, count)
    if room.place_moves[1] or room.place_moves[2]:
        half = detector.pixel / plan.oversample / 2.0
        add_offsets(rows, detector.pixel, half, detector.pixel * slow + half, count)


@internal()
def add_first_special_slopes(plan, change, rows, way, count):
    """Polarization by the beam, and the background."""
    if change.incident.shape[0] > 0 and plan.polarization_correction:
        add_polar_slopes_of_rays(plan, change, rows, way, 0, count)
    if plan.background.table.shape[1] > 1 and plan.background.scale > 0.0:
        add_amorphous_slopes(plan, change, rows, way, count)


@internal(fastmath={"contract"})
def finish_place(power, with_solid, kahn, incident, frame, rows, way, count):
    """Solid angle and polarization in one, with what the last sub-pixel has left."""
    for pixel in range(count):
        p = np.uint32(pixel)
        x, y, z, inverse = way_at(rows, p + way)
        photons = with_solid * read_back(rows, p + TO_SPOTS) + read_back(rows, p + TO_AMORPHOUS)
        share = read(rows, p + SHARE)
        gx, gy, gz, by_kahn = polar_slopes(kahn, incident, frame, x, y, z)
        common, share_near = inverse * (power * photons - share * (gx * x + gy * y + gz * z)), share * inverse
        add_to(rows, p + TO_KAHN, share * by_kahn)
        add_to(rows, p + TO_AREA, photons)
        add_to(rows, p + TO_X, read_back(rows, p + VX) + (share_near * gx + common * x))
        add_to(rows, p + TO_Y, read_back(rows, p + VY) + (share_near * gy + common * y))
        add_to(rows, p + TO_Z, read_back(rows, p + VZ) + (share_near * gz + common * z))


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
