"""Where the spots that a step excites fall on a panel: tested, then projected, one vectorized loop each."""

import math
from typing import NamedTuple

import numpy as np

from ..compile.equation import inlined
from ..compile.jit import internal, maker
from ..compile.memory import look_up, read, write
from ..cpu.reach import edges_of
from ..equations.spots import (
    Symmetric,
    along_axis,
    beyond_reach,
    plane_normal,
    shadow,
    shrunk,
    slice_of,
    spread_of,
    times,
    with_room,
)
from ..equations.vectors import Vector, dot, scaled
from .reaches import stars_of
from .tiles import EDGE

PER_EDGE = 1.0 / EDGE
MARGIN = 1e-6
"""Pixels about a shadow, for rounding."""
WIDEST_SQR = 0.25
"""Radius² on the unit sphere, from which on a spot is not projected."""


class Panel(NamedTuple):
    """A plane and its pixels as rays from the sample meet it."""

    normal: Vector
    """Away from the sample."""
    fast: Vector
    slow: Vector
    """A point's products with them are its pixel along fast and slow, but for an offset."""
    near: Vector
    far: Vector
    """Of the first layer and of the last: distance from the sample in m, offsets along fast and slow in pixels."""
    last_fast: float
    last_slow: float
    inset: float
    """How far the outermost samples are from a pixel's edge, in pixels."""


class Step(NamedTuple):
    """A source and an orientation."""

    a: Vector
    b: Vector
    c: Vector
    """Reciprocal axes times λ."""
    incident: Vector
    square: float
    """λ², m²."""
    shape: Symmetric
    """Of its spots: the longest axis is 1."""
    fast_sqr: float
    fast_ahead: float
    slow_sqr: float
    slow_ahead: float
    ahead_sqr: float
    """The shape's products with the panel's axes and its normal."""
    fainter: float
    """What a spot's squared reach is less than the brightest source's, m⁻²."""


class Work(NamedTuple):
    """Room for one step's candidates, and for its hits one after the other."""

    beyond: np.ndarray
    """float64, not positive where a candidate is hit."""
    hit: np.ndarray
    """uint32: which those are."""
    fast0: np.ndarray
    fast1: np.ndarray
    slow0: np.ndarray
    slow1: np.ndarray
    """float64: first and last of the panel's tiles in its shadow; last before first where there is none."""


@maker()
def new_work(candidates):
    """Room for the candidates of any group."""
    longest = 1
    for group in range(candidates.first.shape[0] - 1):
        longest = max(longest, candidates.first[group + 1] - candidates.first[group])
    rows = np.empty((5, longest))
    return Work(rows[0], np.empty(longest, np.uint32), rows[1], rows[2], rows[3], rows[4])


@internal()
def panel_of(detector, oversample):
    """The plane of a panel, on whose far side its pixels are."""
    normal, depth = plane_normal(detector), detector.layer_step * (detector.layers - 1)
    fast = along_axis(detector.fast, detector.slow, normal, detector.pixel)
    slow = along_axis(detector.slow, detector.fast, normal, detector.pixel)
    origin, inwards = detector.origin, scaled(detector.normal, depth)
    near = (dot(normal, origin), dot(fast, origin), dot(slow, origin))
    far = (near[0] + dot(normal, inwards), near[1] + dot(fast, inwards), near[2] + dot(slow, inwards))
    return Panel(
        normal, fast, slow, near, far,
        detector.fast_pixels - 1.0, detector.slow_pixels - 1.0, 0.5 / oversample,
    )  # fmt: skip


@internal()
def step_of(plan, cells, reach, panel, source, orientation):
    """What is the same for all reflections of a step."""
    sources = plan.sources
    wavelength = sources.wavelength[source]
    a, b, c = stars_of(edges_of(cells, orientation))
    shape = shrunk(spread_of(plan.crystal, (a, b, c)), reach.stretch)
    fast, slow, ahead = times(shape, panel.fast), times(shape, panel.slow), times(shape, panel.normal)
    fainter = reach.rate * math.log(sources.weight.max() / sources.weight[source]) if reach.rate > 0.0 else 0.0
    incident = (sources.incident[source, 0], sources.incident[source, 1], sources.incident[source, 2])
    return Step(
        scaled(a, wavelength), scaled(b, wavelength), scaled(c, wavelength), incident, wavelength * wavelength, shape,
        dot(fast, panel.fast), dot(fast, panel.normal), dot(slow, panel.slow), dot(slow, panel.normal),
        dot(ahead, panel.normal), fainter,
    )  # fmt: skip


@internal(forceinline=True, fastmath={"contract"})
def tip_of_ray(step, h, k, l):
    """y = s0 + λ (h a* + k b* + l c*)."""
    a, b, c, i = step.a, step.b, step.c, step.incident
    return (
        i[0] + h * a[0] + k * b[0] + l * c[0],
        i[1] + h * a[1] + k * b[1] + l * c[1],
        i[2] + h * a[2] + k * b[2] + l * c[2],
    )


@internal(fastmath={"contract"})
def test_candidates(candidates, begin, end, step, beyond):
    """How far the spots of a group are beyond the Ewald sphere."""
    h, k, l, reach_sqr = candidates.h, candidates.k, candidates.l, candidates.reach_sqr
    for n in range(end - begin):
        at = np.uint32(begin + n)
        y = tip_of_ray(step, read(h, at), read(k, at), read(l, at))
        radius_sqr = with_room(step.square * (read(reach_sqr, at) - step.fainter))
        write(beyond, np.uint32(n), beyond_reach(y[0] * y[0] + y[1] * y[1] + y[2] * y[2], radius_sqr))


@internal()
def gather_hits(work, begin, end):
    """Number the candidates that are hit; how many there are."""
    count = 0
    for n in range(end - begin):
        work.hit[count] = begin + n
        count += work.beyond[n] <= 0.0
    return count


@internal(fastmath={"contract"})
def project_hits(candidates, step, panel, work, count):
    """The tiles in the shadow of each spot that is hit."""
    for n in range(count):
        p = np.uint32(n)
        at = read(work.hit, p)
        y = tip_of_ray(step, look_up(candidates.h, at), look_up(candidates.k, at), look_up(candidates.l, at))
        square = product(y, y)
        size = math.sqrt(square)
        radius_sqr = with_room(step.square * (look_up(candidates.reach_sqr, at) - step.fainter))
        k = times(step.shape, y)
        along = product(k, y)
        inverse = 1.0 / (along * square)
        cut = slice_of(size, radius_sqr, along * along * inverse, square * square * inverse)
        scale = size * square * inverse
        kn, kf, ks = product(k, panel.normal) * scale, product(k, panel.fast) * scale, product(k, panel.slow) * scale
        ahead, ahead_sqr = product(y, panel.normal) + cut.moved * kn, cut.along * step.ahead_sqr + cut.across * kn * kn
        # A spot that is wide, or along the plane, has a shadow without end; one that points away has none.
        clear = (radius_sqr < WIDEST_SQR) & (ahead * ahead > 1.001 * ahead_sqr)
        bounded, nowhere = clear & (ahead > 0.0), (cut.along < 0.0) | (clear & (ahead < 0.0))
        ahead, ahead_sqr = (ahead if bounded else 1.0), (ahead_sqr if bounded else 0.0)
        fast = shadow(
            product(y, panel.fast) + cut.moved * kf, ahead, cut.along * step.fast_sqr + cut.across * kf * kf,
            cut.along * step.fast_ahead + cut.across * kf * kn, ahead_sqr,
        )  # fmt: skip
        slow = shadow(
            product(y, panel.slow) + cut.moved * ks, ahead, cut.along * step.slow_sqr + cut.across * ks * ks,
            cut.along * step.slow_ahead + cut.across * ks * kn, ahead_sqr,
        )  # fmt: skip
        first, last = tiles_of(panel, fast, panel.near[1], panel.far[1], panel.last_fast)
        write(work.fast0, p, first if bounded else 0.0)
        write(work.fast1, p, -1.0 if nowhere else (last if bounded else np.floor(panel.last_fast * PER_EDGE)))
        first, last = tiles_of(panel, slow, panel.near[2], panel.far[2], panel.last_slow)
        write(work.slow0, p, first if bounded else 0.0)
        write(work.slow1, p, last if bounded else np.floor(panel.last_slow * PER_EDGE))


@inlined
def product(u, v):
    """u·v."""
    return u[0] * v[0] + u[1] * v[1] + u[2] * v[2]


@internal(forceinline=True, fastmath={"contract"})
def tiles_of(panel, shadow, near_offset, far_offset, last):
    """First and last tile with samples in a shadow on the plane at unit distance, on any layer; of none, −1."""
    low, high = shadow[0] - shadow[1], shadow[0] + shadow[1]
    first = min(panel.near[0] * low - near_offset, panel.far[0] * low - far_offset)
    end = max(panel.near[0] * high - near_offset, panel.far[0] * high - far_offset)
    first, end = (
        max(np.ceil(first - MARGIN - (1.0 - panel.inset)), 0.0),
        min(np.floor(end + MARGIN - panel.inset), last),
    )
    return np.floor(first * PER_EDGE), (np.floor(end * PER_EDGE) if end >= first else -1.0)
