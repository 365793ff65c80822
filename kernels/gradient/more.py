"""Sums that few parameters need, in loops of their own: by numbers of cells, mosaic spread, φ steps and tables of F."""

import numpy as np

from ..compile.jit import internal
from ..compile.memory import add_to, look_up, read, read_back
from ..cpu.sums import axes_of
from .change import CELL, CELLS, SPREAD, SWEEP, TABLES
from .room import BLOCK, COLUMNS, GH, GK, GL, NA, NB, NC, SQR, column_at
from .steps import along, indices_at

TO_A, TO_B, TO_C, TO_SPREAD, TO_SWEEP = (
    np.uint32(COLUMNS + n * BLOCK) for n in (CELLS, CELLS + 1, CELLS + 2, SPREAD, SWEEP)
)


@internal()
def add_more(domains, change, room, n, count):
    """Add what a step has kept; at the end of a φ step also what that gives."""
    add_counts(room.rows, count)
    if change.spread.shape[0] > 0:
        add_spread(room.rows, change.spread, n, count)
    sweep = change.sweep
    if sweep.shape[0] > 0 and (n + 1) % domains == 0:
        step = n // domains
        less = sweep[step] - (sweep[step + 1] if step + 1 < sweep.shape[0] else 0.0)
        turn_all(room, less, count)


@internal(fastmath={"contract"})
def add_counts(rows, count):
    """What :func:`lattice_slopes` gives besides."""
    for pixel in range(count):
        p = np.uint32(pixel)
        add_to(rows, p + TO_A, read_back(rows, p + NA))
        add_to(rows, p + TO_B, read_back(rows, p + NB))
        add_to(rows, p + TO_C, read_back(rows, p + NC))


@internal(fastmath={"contract"})
def add_spread(rows, spread, n, count):
    """Σ g·dh of a domain that is turned on."""
    turned = axes_of(spread, n)
    for pixel in range(count):
        p = np.uint32(pixel)
        g = read_back(rows, p + GH), read_back(rows, p + GK), read_back(rows, p + GL)
        h, k, l = indices_at(turned, rows, p)
        add_to(rows, p + TO_SPREAD, along(g, h, k, l))


@internal(fastmath={"contract"})
def add_tables(tables, rows, places, count):
    """Σ dF²·F_latt² of every table."""
    for number in range(tables.shape[0]):
        table, target = tables[number], column_at(TABLES + number)
        for pixel in range(count):
            p = np.uint32(pixel)
            add_to(rows, p + target, look_up(table, read(places, p)) * read_back(rows, p + SQR))


@internal(fastmath={"contract"})
def turn_all(room, factor, count):
    """What the turning of the crystal about its spindle gives by now, times a factor.

    At the end of a φ step that is how much less the next step turns, so that every step's own part has its ``sweep`` at
    the end of all; what other rays gave before is taken off at the beginning.
    """
    rows, turn = room.rows, room.turn
    for row in range(9):
        weight, start = factor * turn[row], column_at(CELL + row)
        for pixel in range(count):
            p = np.uint32(pixel)
            add_to(rows, p + TO_SWEEP, weight * read_back(rows, p + start))
