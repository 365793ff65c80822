"""From a ray's sums to the columns of a pixel: its weight, its layer, and what all of its samples share."""

import numpy as np

from ..choices import GAUSS, ROUND, SQUARE
from ..compile.equation import inlined
from ..compile.jit import internal
from ..compile.memory import add_to, read, read_back, write
from ..cpu.block import copy, fill
from .change import AMORPHOUS, CELL, CELLS, FUDGE, KAHN, PLACE, SPOTS, SPREAD, SWEEP, TABLES
from .factors import (
    add_amorphous_slopes,
    add_capture_slopes,
    add_polar_slopes,
    add_solid_slopes,
    row_of,
)
from .sums import CELL_COUNTS, DIRECTION, DOMAINS, FACTORS, MOMENTS, STEPS


@internal(forceinline=True)
def keep_ways(ways, block, count):
    """Keep where the rays of a sub-pixel go."""
    copy(block.x, ways.x, count)
    copy(block.y, ways.y, count)
    copy(block.z, ways.z, count)
    copy(block.airpath, ways.airpath, count)


@internal(forceinline=True)
def begin_slopes(change, room, count, wanted):
    """No slope yet, but for those that are set at the end."""
    clear(room.columns, CELL, CELL + 9, count)
    if len(wanted.geometry) == 1:
        clear(room.columns, PLACE, SPOTS, count)
        clear(room.columns, KAHN, KAHN + 1, count)
        rays = TABLES + change.tables.shape[0]
        clear(room.columns, rays, rays + change.incident.shape[0], count)
    if len(wanted.cells) == 1:
        clear(room.columns, CELLS, FUDGE + 1, count)
    if len(wanted.spread) == 1:
        clear(room.columns, SPREAD, SPREAD + 1, count)
    if len(wanted.sweep) == 1:
        clear(room.columns, SWEEP, SWEEP + 1, count)
    if len(wanted.tables) == 1:
        clear(room.columns, TABLES, TABLES + change.tables.shape[0], count)


@internal(forceinline=True)
def begin_sums(change, room, count, wanted):
    """No orientation yet."""
    clear(room.sums, MOMENTS, MOMENTS + 9, count)
    if len(wanted.geometry) == 1:
        clear(room.sums, DIRECTION, DIRECTION + 3, count)
    if len(wanted.cells) == 1:
        clear(room.sums, CELL_COUNTS, CELL_COUNTS + 3, count)
    if len(wanted.spread) == 1:
        clear(room.sums, DOMAINS, DOMAINS + 1, count)
    if len(wanted.sweep) == 1:
        clear(room.sums, STEPS, STEPS + 1, count)
    if len(wanted.tables) == 1:
        clear(room.sums, FACTORS, FACTORS + change.tables.shape[0], count)


@inlined
def clear(rows, first, stop, count):
    """Set rows to 0."""
    for number in range(first, stop):
        start = row_of(number)
        for pixel in range(count):
            rows[np.uint32(pixel) + start] = 0.0


@internal(forceinline=True, fastmath={"contract"})
def weigh_slopes(plan, change, room, count, layer, sub_slow, sub_fast, source, wanted):
    """Add a ray's sums to the columns, in photons."""
    block, share = room.block, plan.photons_per_sample * plan.sources.weight[source]
    for pixel in range(count):
        p = np.uint32(pixel)
        solid = read(block.solid, p) if plan.oversample_omega else read(block.first_solid, p)
        polar = read(block.polar, p) if plan.oversample_polar else read(block.first_polar, p)
        write(room.weight, p, share * read(block.capture, p) * solid * polar)
    add_rows(room, MOMENTS, CELL, 9, count)
    if len(wanted.cells) == 1:
        add_rows(room, CELL_COUNTS, CELLS, 3, count)
    if len(wanted.spread) == 1:
        add_rows(room, DOMAINS, SPREAD, 1, count)
    if len(wanted.sweep) == 1:
        add_rows(room, STEPS, SWEEP, 1, count)
    if len(wanted.tables) == 1:
        add_rows(room, FACTORS, TABLES, change.tables.shape[0], count)
    if len(wanted.geometry) == 1:
        put_direction_slopes(plan, room, source, count)
        add_source_slopes(plan, change, room, source, count)
        add_factor_slopes(plan, change, room, layer, source, share, count)
        step = plan.detector.pixel / plan.oversample
        add_place(room, step * sub_fast, step * sub_slow, layer * plan.detector.layer_step, count)


@inlined
def add_rows(room, first, column, number, count):
    """Rows of the sums, weighed, to columns."""
    for row in range(number):
        start, target = row_of(first + row), row_of(column + row)
        for pixel in range(count):
            p = np.uint32(pixel)
            add_to(room.columns, p + target, read(room.weight, p) * read_back(room.sums, p + start))


@internal(forceinline=True, fastmath={"contract"})
def put_direction_slopes(plan, room, source, count):
    """v of what the scattering vector gives: q = (d − s0)/λ, dd = (1 − d dᵀ) dx/R."""
    block, wavenumber = room.block, 1.0 / plan.sources.wavelength[source]
    ux, uy, uz = row_of(DIRECTION), row_of(DIRECTION + 1), row_of(DIRECTION + 2)
    for pixel in range(count):
        p = np.uint32(pixel)
        x, y, z = read(block.x, p), read(block.y, p), read(block.z, p)
        gx, gy, gz = read_back(room.sums, p + ux), read_back(room.sums, p + uy), read_back(room.sums, p + uz)
        common = read(room.weight, p) * wavenumber / read(block.airpath, p)
        along = x * gx + y * gy + z * gz
        write(room.vx, p, common * (gx - x * along))
        write(room.vy, p, common * (gy - y * along))
        write(room.vz, p, common * (gz - z * along))


@internal(forceinline=True, fastmath={"contract"})
def add_source_slopes(plan, change, room, source, count):
    """What the beam's parameters move: directions of travel, wavelengths and weights."""
    block, wavenumber = room.block, 1.0 / plan.sources.wavelength[source]
    ux, uy, uz = row_of(DIRECTION), row_of(DIRECTION + 1), row_of(DIRECTION + 2)
    for ray in range(change.incident.shape[0]):
        start, moved = row_of(TABLES + change.tables.shape[0] + ray), change.incident[ray, source]
        dx, dy, dz = moved[0] * wavenumber, moved[1] * wavenumber, moved[2] * wavenumber
        longer, heavier = change.wavelength[ray, source], change.weight[ray, source]
        for pixel in range(count):
            p = np.uint32(pixel)
            gx, gy, gz = read_back(room.sums, p + ux), read_back(room.sums, p + uy), read_back(room.sums, p + uz)
            qx, qy, qz = read(block.qx, p), read(block.qy, p), read(block.qz, p)
            less = gx * (dx + longer * qx) + gy * (dy + longer * qy) + gz * (dz + longer * qz)
            add_to(room.columns, p + start, read(room.weight, p) * (heavier * read(block.samples, p) - less))


@internal(forceinline=True, fastmath={"contract"})
def add_factor_slopes(plan, change, room, layer, source, share, count):
    """What the factors give that each sample has of its own."""
    block = room.block
    if plan.oversample_omega:
        for pixel in range(count):
            p = np.uint32(pixel)
            write(room.share, p, read(room.weight, p) * read(block.samples, p))
        add_solid_slopes(plan.detector, room, block, count)
    if plan.oversample_polar and plan.polarization_correction:
        for pixel in range(count):
            p = np.uint32(pixel)
            solid = read(block.solid, p) if plan.oversample_omega else read(block.first_solid, p)
            write(room.share, p, share * read(block.capture, p) * solid * read(block.samples, p))
        add_polar_slopes(plan, change, room, block, source, count)
    if plan.oversample_thick and plan.detector.layer_step > 0.0:
        for pixel in range(count):
            p = np.uint32(pixel)
            solid = read(block.solid, p) if plan.oversample_omega else read(block.first_solid, p)
            polar = read(block.polar, p) if plan.oversample_polar else read(block.first_polar, p)
            write(room.share, p, share * solid * polar * read(block.samples, p))
        add_capture_slopes(plan.detector, room, block, float(layer), count)


@internal(forceinline=True, fastmath={"contract"})
def add_place(room, fast, slow, depth, count):
    """v to the columns of the place; offsets are from the pixel's first sub-pixel, which is added at the end."""
    add_place_row(room, 0, 1.0, count)
    if fast != 0.0 and moves_place(room, 3):
        add_place_row(room, 3, fast, count)
    if slow != 0.0 and moves_place(room, 6):
        add_place_row(room, 6, slow, count)
    if depth != 0.0 and moves_place(room, 9):
        add_place_row(room, 9, depth, count)


@internal()
def moves_place(room, row):
    """Whether some parameter moves three columns of the place."""
    moved = room.is_active
    return moved[PLACE + row] or moved[PLACE + row + 1] or moved[PLACE + row + 2]


@inlined
def add_place_row(room, row, offset, count):
    """v times an offset to three columns."""
    x, y, z = row_of(PLACE + row), row_of(PLACE + row + 1), row_of(PLACE + row + 2)
    for pixel in range(count):
        p = np.uint32(pixel)
        add_to(room.columns, p + x, offset * read_back(room.vx, p))
        add_to(room.columns, p + y, offset * read_back(room.vy, p))
        add_to(room.columns, p + z, offset * read_back(room.vz, p))


@internal(forceinline=True, fastmath={"contract"})
def add_layer_slopes(plan, room, layer, count):
    """What absorption gives that a layer's samples share; before the layer is added to the pixels."""
    block = room.block
    fill(room.vx, 0.0, count)
    fill(room.vy, 0.0, count)
    fill(room.vz, 0.0, count)
    for pixel in range(count):
        p = np.uint32(pixel)
        spots = 0.0 if plan.oversample_thick else plan.photons_per_sample * read(block.layer, p)
        spots *= 1.0 if plan.oversample_omega else read(block.first_solid, p)
        spots *= 1.0 if plan.oversample_polar else read(block.first_polar, p)
        around = read(block.amorphous, p) * read(block.first_solid, p) * read(block.first_polar, p)
        write(room.share, p, spots + around)
    add_capture_slopes(plan.detector, room, room.layer, float(layer), count)
    add_place(room, 0.0, 0.0, layer * plan.detector.layer_step, count)


@internal(forceinline=True, fastmath={"contract"})
def finish_slopes(plan, change, room, slow, count, shape, wanted):
    """What all samples of a pixel share; after :func:`finish_pixels`."""
    block = room.block
    for pixel in range(count):
        p = np.uint32(pixel)
        around = read(block.first_solid, p) * read(block.first_polar, p) * read(block.captured, p)
        amorphous = read(block.amorphous, p) * around
        write(room.columns, p + row_of(AMORPHOUS), amorphous)
        write(room.columns, p + row_of(SPOTS), read(block.photons, p) - amorphous)
    if len(wanted.cells) == 1:
        finish_counts(plan.crystal, change.follows, room, count, shape)
    if len(wanted.geometry) == 1:
        finish_geometry(plan, change, room, slow, count)


@internal(forceinline=True, fastmath={"contract"})
def finish_counts(crystal, follows, room, count, shape):
    """From what the lattice factor gave besides to derivatives by Na, Nb, Nc and the shape's scale."""
    if len(shape) == SQUARE:
        return
    na, nb, nc = float(crystal.cells[0]), float(crystal.cells[1]), float(crystal.cells[2])
    fudge = crystal.fudge
    for pixel in range(count):
        p = np.uint32(pixel)
        spots = 2.0 * read_back(room.columns, p + row_of(SPOTS))
        x, y = read_back(room.columns, p + row_of(CELLS)), read_back(room.columns, p + row_of(CELLS + 1))
        z = read_back(room.columns, p + row_of(CELLS + 2))
        by_fudge = na * na * x + nb * nb * y + nc * nc * z
        by_a, by_b, by_c = 2.0 * fudge * na * na * x, 2.0 * fudge * nb * nb * y, 2.0 * fudge * nc * nc * z
        if len(shape) == GAUSS and follows > 0.0:
            by_fudge, by_a, by_b, by_c = x / (2.0 * fudge), x, x, x
        elif len(shape) != GAUSS and len(shape) != ROUND:
            by_fudge, by_a, by_b, by_c = 0.0, 0.0, 0.0, 0.0
        write(room.columns, p + row_of(FUDGE), by_fudge)
        write(room.columns, p + row_of(CELLS), (spots + by_a) / na)
        write(room.columns, p + row_of(CELLS + 1), (spots + by_b) / nb)
        write(room.columns, p + row_of(CELLS + 2), (spots + by_c) / nc)


@internal(forceinline=True, fastmath={"contract"})
def finish_geometry(plan, change, room, slow, count):
    """Solid angle, polarization and background of the first sub-pixel; offsets of that from the corner."""
    block = room.block
    fill(room.vx, 0.0, count)
    fill(room.vy, 0.0, count)
    fill(room.vz, 0.0, count)
    for pixel in range(count):
        p = np.uint32(pixel)
        spots = 0.0 if plan.oversample_omega else read_back(room.columns, p + row_of(SPOTS))
        write(room.share, p, spots + read_back(room.columns, p + row_of(AMORPHOUS)))
    add_solid_slopes(plan.detector, room, room.first, count)
    if plan.polarization_correction:
        for pixel in range(count):
            p = np.uint32(pixel)
            spots = 0.0 if plan.oversample_polar else plan.photons_per_sample * read(block.total, p)
            spots *= 1.0 if plan.oversample_omega else read(block.first_solid, p)
            amorphous = read(block.amorphous, p) * read(block.first_solid, p) * read(block.captured, p)
            write(room.share, p, spots + amorphous)
        add_polar_slopes(plan, change, room, room.first, 0, count)
    if plan.background.table.shape[1] > 1 and plan.background.scale > 0.0:
        for pixel in range(count):
            p = np.uint32(pixel)
            solid, polar = read(block.first_solid, p), read(block.first_polar, p)
            write(room.share, p, solid * polar * read(block.captured, p))
        add_amorphous_slopes(plan, change, room, room.first, count)
    add_place(room, 0.0, 0.0, 0.0, count)
    step = plan.detector.pixel / plan.oversample
    at_slow = step * (slow * plan.oversample) + step / 2.0
    if not (moves_place(room, 3) or moves_place(room, 6)):
        return
    for axis in range(3):
        base, along, across = row_of(PLACE + axis), row_of(PLACE + 3 + axis), row_of(PLACE + 6 + axis)
        for pixel in range(count):
            p = np.uint32(pixel)
            at_fast = step * (read(block.fast, p) * plan.oversample) + step / 2.0
            v = read_back(room.columns, p + base)
            add_to(room.columns, p + along, at_fast * v)
            add_to(room.columns, p + across, at_slow * v)
