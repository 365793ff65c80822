"""Which reflections some step of a group may excite: listed once for all sources and a run of orientations.

A step excites a reflection g if its spot meets the Ewald sphere, which for one group is a shell: spheres of all
wavelengths, about a lattice in the middle of its orientations, thicker by as much as others are turned from it. What no
step can excite, what has F = 0 and what cannot be seen on the panel is not listed.
"""

import math
from typing import NamedTuple

import numpy as np

from ..compile.jit import internal, maker
from ..cpu.reach import Shell, can_meet, edges_of, lattice_point, shell_of
from ..cpu.tables import farthest_indices
from ..equations.vectors import cross, dot
from .reaches import index_range, reach_sqr_of

ROW_COST, TEST_COST = 25.0, 0.8
"""What it takes to solve a row of reflections for those in the shell, and to test one in a step; ns."""
ROOM = 1e-6
"""In l, for rounding."""


class Candidates(NamedTuple):
    """Reflections that steps are tested with, group by group."""

    h: np.ndarray
    k: np.ndarray
    l: np.ndarray
    """float64: whole numbers."""
    reach_sqr: np.ndarray
    """Squared reach of each for the brightest source, m⁻²."""
    first: np.ndarray
    """int64 (groups + 1,): where those of a group begin."""
    orientation: np.ndarray
    """int64 (groups + 1,): the first orientation of each group."""


@maker()
def list_candidates(plan, cells, scattering, reach, most):
    """Candidates of all steps, and whether it takes no more than ``most`` ns to find and to test them; else of some.

    Parameters
    ----------
    scattering : float
        No sample is farther from 0 0 0, 1/m.
    """
    count, sources = cells.shape[0], plan.sources.wavelength.shape[0]
    found, length, groups, cost = np.empty((4, 1024)), 0, 1, math.inf
    if 0.0 < reach.farthest < math.inf:
        groups, cost = choose_groups(plan, cells, scattering, reach)
    elif reach.farthest <= 0.0:
        cost = 0.0
    first, orientation = np.zeros(groups + 1, np.int64), np.zeros(groups + 1, np.int64)
    for group in range(groups):
        orientation[group + 1] = (group + 1) * count // groups
        if cost <= most and reach.farthest > 0.0:
            run = cells[orientation[group] : orientation[group + 1]]
            shell = shell_of_run(plan, run, scattering, math.sqrt(reach.farthest))
            found, length = add_candidates(plan, shell, reach, found, length)
            cost += TEST_COST * (length - first[group]) * run.shape[0] * sources
        first[group + 1] = length
    return Candidates(found[0], found[1], found[2], found[3], first, orientation), cost <= most


# Groups -----------------------------------------------------------------------------------------------------------


@maker()
def choose_groups(plan, cells, scattering, reach):
    """Into how many runs of orientations they are best divided, and what it takes to search for all of them, ns.

    More have thinner shells, but each is searched.
    """
    count, sources = cells.shape[0], plan.sources.wavelength.shape[0]
    farthest = farthest_indices(plan.crystal, scattering)
    search = ROW_COST * (2.0 * farthest[0] + 1.0) * (2.0 * farthest[1] + 1.0)
    spread = 0.5 * scattering * scattering * (plan.sources.wavelength.max() - plan.sources.wavelength.min())
    edges = edges_of(cells, 0)
    # Reflections per 1/m of a shell's thickness: the Ewald sphere's cap within |q| has the area π|q|².
    dense = math.pi * scattering * scattering * abs(dot(edges[0], cross(edges[1], edges[2])))
    best, cheapest, groups = 1, math.inf, 1
    while groups <= count:
        tests = 0.0
        for group in range(groups):
            run = cells[group * count // groups : (group + 1) * count // groups]
            turned = shell_of_run(plan, run, scattering, 0.0).turned
            tests += run.shape[0] * (2.0 * math.sqrt(reach.farthest) + spread + 2.0 * turned * scattering)
        cost = groups * search + TEST_COST * dense * sources * tests
        if cost < cheapest:
            best, cheapest = groups, cost
        if groups * search > cheapest:
            break
        groups *= 2
    return best, best * search


@maker()
def shell_of_run(plan, run, scattering, radius):
    """The shell of samples within ``radius`` of a reflection, about the mean of a run of orientations."""
    middle = np.empty((run.shape[0] + 1, run.shape[1]))
    middle[1:] = run
    for n in range(run.shape[1]):
        middle[0, n] = run[:, n].mean()
    return with_half(shell_of(plan, middle, scattering), radius)


@internal()
def with_half(shell, half):
    """The same about spots of another size."""
    return Shell(
        shell.a_star, shell.b_star, shell.c_star, shell.incident, shell.smallest, shell.largest, half, shell.turned,
        shell.apart, shell.reach, shell.sides,
    )  # fmt: skip


# The search -------------------------------------------------------------------------------------------------------


@maker()
def add_candidates(plan, shell, reach, found, length):
    """Append those of a group, row by row along l; ``found``, longer where that was needed, and how many there are."""
    factors = plan.factors
    farthest = farthest_indices(plan.crystal, shell.reach)
    listed = factors.default == 0.0
    h_low, h_high = index_range(factors, 0, farthest[0], listed)
    k_low, k_high = index_range(factors, 1, farthest[1], listed)
    l_low, l_high = index_range(factors, 2, farthest[2], listed)
    margin = margin_of(shell)
    for h in range(h_low, h_high + 1):
        for k in range(k_low, k_high + 1):
            ends = row_in_shell(shell, margin, float(h), float(k), float(l_low), float(l_high))
            if ends[3] < ends[0]:
                continue
            room = length + int(ends[3] - ends[0]) + 1
            if room > found.shape[1]:
                longer = np.empty((4, 2 * room))
                longer[:, :length] = found[:, :length]
                found = longer
            length = add_row(factors, shell, reach, found, length, h, k, ends)
    return found, length


@internal()
def margin_of(shell):
    """No less than the margin of any reflection that ``can_meet`` keeps, 1/m.

    The margin is m = 1.001 (half + (|g| + half) t), and no |g| exceeds ``reach`` + m.
    """
    moved = 1.001 * shell.turned / max(1.0 - shell.turned, 1e-9)
    if moved > 0.9:
        return math.inf
    farthest = (shell.reach + shell.half * (1.001 + moved)) / (1.0 - moved)
    return 1.001 * (1.001 * shell.half + (farthest + shell.half) * moved)


@internal()
def row_in_shell(shell, margin, h, k, low, high):
    """Of h k l from ``low`` to ``high``, which lie in the shell: from the first to the last, but for those between."""
    base = lattice_point((shell.a_star, shell.b_star, shell.c_star), h, k, 0.0)
    c, i = shell.c_star, shell.incident
    largest, smallest = shell.largest, shell.smallest
    first, last = chord_along(base, c, shell.reach + margin)
    low, high = max(low, first), min(high, last)
    beyond = (base[0] + largest * i[0], base[1] + largest * i[1], base[2] + largest * i[2])
    first, last = chord_along(beyond, c, largest + margin)
    low, high = np.ceil(max(low, first) - ROOM), np.floor(min(high, last) + ROOM)
    before, after = high, low
    if low <= high and smallest > margin:
        inside = (base[0] + smallest * i[0], base[1] + smallest * i[1], base[2] + smallest * i[2])
        first, last = chord_along(inside, c, smallest - margin)
        before, after = np.ceil(first + ROOM) - 1.0, np.floor(last - ROOM) + 1.0
    return low, before, after, high


@internal()
def chord_along(base, step, radius):
    """For which numbers of steps from ``base`` one is within a radius of 0; (1, 0) for none."""
    along, size_sqr = dot(base, step), dot(step, step)
    inside = along * along - size_sqr * (dot(base, base) - radius * radius)
    if inside < 0.0:
        return 1.0, 0.0
    half = math.sqrt(inside)
    return (-along - half) / size_sqr, (-along + half) / size_sqr


@internal()
def add_row(factors, shell, reach, found, length, h, k, ends):
    """Append those of a row that are seen and excited; how many there are."""
    before, after, last = int(ends[1]), int(ends[2]), int(ends[3])
    l = int(ends[0])
    while l <= last:
        if before < l < after:
            l = after
            continue
        reach_sqr = reach_sqr_of(factors, reach, h, k, l)
        if reach_sqr > 0.0 and can_meet(shell, h, k, l):
            found[0, length], found[1, length], found[2, length], found[3, length] = h, k, l, reach_sqr
            length += 1
        l += 1
    return length
