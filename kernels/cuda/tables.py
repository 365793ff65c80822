"""What the GPU kernels take, made on the host: numbers of each image, sources, orientations, structure factors.

A kernel's arguments are a few arrays, whatever the image: its scalars are one record of ``IMAGE``, and several images
that are alike in size and variant are rendered together, each from a record of its own.
"""

import math
from functools import lru_cache
from operator import attrgetter
from typing import Any, NamedTuple, get_type_hints

import numpy as np

from ..choices import BITS, DOUBLE, GAUSS, PAIRS, SINGLE, SQUARE, Shape
from ..equations.lattice_factor import SPOTS
from ..equations.orientation import oriented_cells
from ..equations.polarization import polarization_frame
from ..plan import BackgroundPlan, DetectorPlan, Plan, Vector
from .bits import MOST_CELLS, MOST_INDEX, MOST_PAIR_INDEX, packed_pairs

THREADS = 128
"""Threads in a block."""
WARP, ALONG_FAST, ALONG_SLOW = 32, 8, 4
"""Threads of a warp, which has a tile of pixels of its own where orientations may be left out: so many along each."""
MOST_BLOCKS = 2048
"""Of those that count the photons of an image, which leave two numbers each to be added on the host; two to three times
as many as a large card holds at once."""
ROWS = 128
"""Orientations held in shared memory at a time."""
ROW = 10
"""Numbers of an orientation: a, b, c and one that is not used, so that two at a time can be read."""
STAGED = ROW * ROWS
"""Numbers of those in shared memory: 10 KiB."""
ENOUGH_THREADS = 1 << 18
"""Fewer pixels than this are given several threads each; so many make a launch of several images."""

MOST_SAMPLES = 1 << 16
"""Evaluated by a thread in one go: some 20 ms on a large card that is full, so that a launch is several waves."""
FEWEST_ROWS = 16
"""Orientations that a thread sums at least: with fewer, it would be busier with the geometry around them."""
MOST_PARTS = 65535
"""As many as a grid can have along y."""

INSTRUCTIONS = {DOUBLE: (139, 95), SINGLE: (111, 31), BITS: (98, 12), PAIRS: (156, 0)}
"""Of a step of a square crystal: all, and those on float64 (tests/test_ptx.py counts them)."""
SLOW_DOUBLE = 13
"""From so many float32 operations in the time of a float64 one ``PAIRS`` should beat ``BITS``: a step of one has 156
instructions, none of them on float64, a step of the other waits for 12 on float64."""

WHOLE = "i4"
KINDS = {int: (WHOLE,), float: ("f8",), Vector: ("f8", 3)}
"""What a number or a vector of a plan is in a record."""
LEFT_OUT = ("fast_pixels", "slow_pixels", "running_product", "polarization_axis")
"""Numbers that no kernel reads, or not from here."""


def numbers_of(part):
    """Names and kinds of the numbers and vectors that a part of a plan has itself, in its order."""
    kinds = get_type_hints(part).items()
    return [(name, *KINDS[kind]) for name, kind in kinds if kind in KINDS and name not in LEFT_OUT]


DETECTOR, BACKGROUND, REST = map(numbers_of, (DetectorPlan, BackgroundPlan, Plan))
of_detector, of_background, of_rest = (
    attrgetter(*(name for name, *_ in part)) for part in (DETECTOR, BACKGROUND, REST)
)

IMAGE = np.dtype(
    [
        *DETECTOR,
        # Its region: the first pixel and how many stand in a row.
        ("first_fast", WHOLE), ("first_slow", WHOLE), ("width", WHOLE), ("masked", WHOLE),
        # Rows of the sources and orientations of this image.
        ("first_source", WHOLE), ("sources", WHOLE), ("first_row", WHOLE), ("rows", WHOLE),
        # The crystal.
        ("cells", WHOLE, 3), ("fudge", "f8"), ("triangle", "f8", 6),
        # The table of F: cells along each axis and the index of the first, margin included.
        ("sizes", WHOLE, 3), ("first", WHOLE, 3), ("default", "f8"),
        *BACKGROUND,
        *REST,
    ],
    align=True,
)  # fmt: skip
"""The scalars of an image: SI, by the names of its plan."""

READING = np.dtype(
    [
        # Its region, as in IMAGE, and pixels in a row of the whole detector.
        ("first_fast", WHOLE), ("first_slow", WHOLE), ("width", WHOLE), ("masked", WHOLE), ("columns", "u8"),
        # Number of the image, and seed.
        ("frame", "u8"), ("key", "u8"),
        # What is added to a count, and to what it is cut.
        ("offset", "f8"), ("largest", "f8"),
    ],
    align=True,
)  # fmt: skip
"""How an image is read out."""
TALLY = 2
"""Numbers that a block of those who count leaves: photons, and pixels cut to the largest count."""

BOUND = np.dtype(
    [
        # Of the table of ceilings: cells along each axis and all together, and the index of the first.
        ("sizes", WHOLE, 3), ("first", WHOLE, 3), ("reflections", WHOLE), ("any_source", WHOLE),
        # By the names of Bounds in sparse/scores.py.
        ("long", "f4", 3), ("cells_sqr", "f4", 3), ("per_index", "f4", 3), ("stars", "f4", 9), ("turn", "f4"),
        ("strength", "f4"), ("far", "f4"), ("unit", "f8"),
    ],
    align=True,
)  # fmt: skip
"""What bounds the orientations of an image."""
COUNTED, SPENT = 0, 1
TOLD = 2
"""Numbers that are told of what was left out: orientations that warps kept; the largest part of the tolerance that one
spent."""

SOURCE = 12
"""Numbers of a source: direction of travel, 1/λ, weight, the directions of its electric and magnetic fields, and where
the table of F of its channel begins."""


class Tables(NamedTuple):
    """The arrays that a kernel reads, on the device."""

    images: np.ndarray
    """Records of ``IMAGE`` (images,)."""
    sources: np.ndarray
    """(sources of all images, ``SOURCE``)."""
    cells: np.ndarray
    """a, b, c of every orientation in m, flat, ``ROW`` numbers each, those of an image together; packed pairs of
    float32 where the arithmetic is ``PAIRS``."""
    factors: np.ndarray
    """F in channel, h, k, l order, flat, each channel's with a margin of default_F all round; float32 unless the
    arithmetic is ``DOUBLE``."""
    mask: np.ndarray
    """uint8 (slow, fast), 0 where a pixel is not rendered; (0, 0) without one."""
    amorphous: np.ndarray
    """sin θ/λ, F and excess of amorphous material (3, n), as in BackgroundPlan."""
    bounds: Any = ()
    """Where orientations may be left out, a :class:`BoundTables`; its type says so, so all else is not compiled."""


class BoundTables(NamedTuple):
    """What tells which orientations a tile can do without, on the device."""

    images: np.ndarray
    """Records of ``BOUND`` (images,)."""
    ceilings: np.ndarray
    """Largest F², as in sparse/ceilings.py."""
    told: np.ndarray
    """float64 (images · ``TOLD``,), written."""


def choice(code):
    """A number as a tuple of that length: its type, so what is not chosen is not compiled."""
    return (0,) * code


def variant_of(plan, arithmetic):
    """Surface of the detector, shape, interpolation and arithmetic, each as :func:`choice` has it."""
    interpolates = int(plan.factors.interpolate > 0)
    return tuple(map(choice, (plan.detector.surface, Shape(plan.crystal.shape), interpolates, arithmetic)))


def chosen_arithmetic(plan, precision, singles_per_double=2):
    """The arithmetic that serves ``precision`` ("double" or "mixed") for this crystal.

    ``singles_per_double``: how many float32 operations the card does in the time of a float64 one. Where float32 would
    save nothing, "mixed" is double.
    """
    crystal = plan.crystal
    if precision == "double" or crystal.shape not in (SQUARE, GAUSS) or plan.factors.interpolate:
        return DOUBLE
    most_index = (
        max(math.hypot(*edge) for edge in (crystal.a, crystal.b, crystal.c)) * 2.0 / plan.sources.wavelength.min()
    )
    fits = max(crystal.cells) <= MOST_CELLS and most_index < MOST_INDEX
    if crystal.shape != SQUARE or not fits:
        return SINGLE
    return PAIRS if singles_per_double >= SLOW_DOUBLE and most_index < MOST_PAIR_INDEX else BITS


def image_numbers(plan, first_source=0, first_row=0):
    """The record of an image, as a tuple.

    ``first_source``, ``first_row``: where its sources and orientations begin in their tables.
    """
    detector, crystal, factors = plan.detector, plan.crystal, plan.factors
    fast0, fast1, slow0, _ = detector.roi
    return (
        *of_detector(detector),
        fast0, slow0, fast1 - fast0 + 1, int(detector.mask.size > 0),
        first_source, len(plan.sources.weight), first_row, len(crystal.phi) * len(crystal.domains),
        crystal.cells, crystal.fudge, _triangle(crystal),
        padded_shape(factors)[1:], tuple(n - 1 for n in factors.first), factors.default,
        *of_background(plan.background), *of_rest(plan),
    )  # fmt: skip


def _triangle(crystal):
    """R of B = QR, B the reciprocal axes as columns, times the number of cells; for spots that are measured in Å⁻¹."""
    if SPOTS[crystal.shape].in_indices:
        return (0.0,) * 6
    axes = np.array([crystal.a_star, crystal.b_star, crystal.c_star]).T * math.prod(map(float, crystal.cells))
    _, triangle = np.linalg.qr(axes)
    return tuple(triangle[np.triu_indices(3)])


def bound_numbers(plan, bounds):
    """The record of ``BOUND`` of an image, as a tuple."""
    ceilings, gauss = bounds.ceilings, plan.crystal.shape == GAUSS
    # Whose polarization counts is then not known.
    any_source = (plan.oversample_polar or plan.dmin > 0.0) and bounds.spread > 0.0
    return (
        ceilings.sizes, ceilings.first, math.prod(ceilings.sizes), int(any_source),
        bounds.long, bounds.cells_sqr, bounds.per_index, bounds.stars, bounds.turn, bounds.strength, ceilings.far,
        # Of Gaussian spots, each has the same share of the tolerance.
        bounds.unit * (bounds.steps if gauss else 1),
    )  # fmt: skip


def amorphous_rows(background):
    """The table of amorphous material."""
    return background.table


def source_rows(plan):
    """The sources of an image, a row of ``SOURCE`` numbers each."""
    rows = np.empty((len(plan.sources.weight), SOURCE))
    rows[:, :3] = plan.sources.incident
    rows[:, 3] = 1.0 / plan.sources.wavelength
    rows[:, 4] = plan.sources.weight
    rows[:, 5:11] = _fields(rows[:, :3].tobytes(), plan.polarization_axis)
    rows[:, 11] = plan.sources.channel * math.prod(padded_shape(plan.factors)[1:])
    return rows


@lru_cache(maxsize=8)
def _fields(incident, axis):
    """Directions of the electric and the magnetic field of sources (n, 6); the same for all images of a series."""
    directions = np.frombuffer(incident).reshape(-1, 3)
    return np.array([np.ravel(polarization_frame(tuple(direction), axis)) for direction in directions])


def orientation_rows(plan, arithmetic):
    """a, b, c of every orientation, ``ROW`` numbers each."""
    cells = oriented_cells(plan.crystal)
    rows = np.zeros((len(cells), ROW))
    rows[:, :9] = packed_pairs(cells) if arithmetic == PAIRS else cells
    return rows


def padded_shape(factors):
    """Channels, and cells along each axis with the margin."""
    channels, *cells = factors.table.shape
    return (channels, *(n + 2 for n in cells))


def padded_factors(plan, arithmetic):
    """The table of F with a margin of default_F about each channel's, flat."""
    kind = np.float64 if arithmetic == DOUBLE else np.float32
    padded = np.full(padded_shape(plan.factors), plan.factors.default, kind)
    padded[:, 1:-1, 1:-1, 1:-1] = plan.factors.table
    return padded.ravel()


def rows_per_part(pixels, orientations, samples):
    """How many orientations a thread sums, so that ``pixels`` give enough threads and none runs for too long.

    ``samples``: layers × sub-pixels × sources. The bits of an image depend on the answer, so it depends on nothing but
    the image.
    """
    chunks = -(-orientations // ROWS)
    parts = min(chunks, max(1, ENOUGH_THREADS // pixels))
    rows = min(-(-chunks // parts) * ROWS, max(FEWEST_ROWS, MOST_SAMPLES // samples))
    return rows - rows % (ROWS if rows > ROWS else FEWEST_ROWS)


def least_seconds_per_step(arithmetic, singles_per_double, instructions_per_second):
    """Of a square crystal, if every unit of a card were busy all the time."""
    every, on_float64 = INSTRUCTIONS[arithmetic]
    return max(every, on_float64 * singles_per_double) / instructions_per_second
