"""A block of pixels of one row, which the fast renderer's innermost loops run over."""

from typing import NamedTuple

import numpy as np

from ..compile.equation import inlined
from ..compile.jit import internal, maker

BLOCK = 256
"""Pixels in a block: its arrays stay in the first-level cache."""
PADDING = 64
"""Blocks are padded to a multiple of it, so that no loop ends in a scalar remainder."""


LINE = 8
"""Numbers in a cache line."""


class Block(NamedTuple):
    """Arrays of one value for each pixel of a block."""

    fast: np.ndarray
    """Fast index of the pixel."""
    x: np.ndarray
    y: np.ndarray
    z: np.ndarray
    """Direction of the diffracted ray."""
    airpath: np.ndarray
    """Distance from the sample in m."""
    qx: np.ndarray
    qy: np.ndarray
    qz: np.ndarray
    """Scattering vector in 1/m."""
    kept: np.ndarray
    """0 where dmin skips the sample."""
    polar: np.ndarray
    solid: np.ndarray
    capture: np.ndarray
    """Factors of the sample: polarization, solid angle, fraction captured by the layer."""
    first_polar: np.ndarray
    polar_known: np.ndarray
    first_solid: np.ndarray
    captured: np.ndarray
    """Factors of the pixel: those of its first sample, and the sum of the layers' fractions."""
    amorphous: np.ndarray
    """Photons per steradian from the background."""
    samples: np.ndarray
    """Σ F²·F_latt² over the orientations of one source."""
    layer: np.ndarray
    total: np.ndarray
    """The same, weighted, over sources and sub-pixels; and over layers."""
    photons: np.ndarray
    phases: np.ndarray
    places: np.ndarray
    """What :func:`sum_in_single` keeps: float32, and indices into the table of structure factors."""
    scratch: np.ndarray
    """What :func:`sum_interpolated` keeps of ``PADDING`` pixels at a time."""


@maker()
def aligned(count):
    """Room for numbers, from the beginning of a cache line: else most vectors would lie in two."""
    room = np.empty(count + LINE - 1)
    first = -(room.ctypes.data // room.itemsize) % LINE
    return room[first : first + count]


@maker(forceinline=True)
def new_block(pixels=BLOCK):
    """Room for the values of a block's pixels."""
    rows = aligned(21 * pixels).reshape(21, pixels)
    return Block(
        rows[0], rows[1], rows[2], rows[3], rows[4], rows[5], rows[6], rows[7], rows[8], rows[9], rows[10],
        rows[11], rows[12], rows[13], rows[14], rows[15], rows[16], rows[17], rows[18], rows[19], rows[20],
        aligned(7 * BLOCK // 2).view(np.float32), aligned(BLOCK // 2).view(np.uint32), aligned(16 * PADDING),
    )  # fmt: skip


@internal(forceinline=True)
def choose_pixels(detector, block, slow, fast):
    """Fill ``block.fast`` with pixels to be rendered, from ``fast`` on, padded; how many, and where to go on."""
    last, count, most = detector.roi[1], 0, block.fast.shape[0]
    if detector.mask.shape[0] == 0:
        count = min(most, last + 1 - fast)
        for p in range(count):
            block.fast[p] = fast + p
        fast += count
    else:
        while fast <= last and count < most:
            if detector.mask[slow, fast]:
                block.fast[count] = fast
                count += 1
            fast += 1
    for p in range(count, padded(count)):
        block.fast[p] = block.fast[count - 1]
    return count, fast


@inlined
def padded(count):
    """The next multiple of ``PADDING``."""
    return (count + PADDING - 1) // PADDING * PADDING


@inlined
def fill(array, value, count):
    """Set the first ``count`` elements."""
    for p in range(count):
        array[p] = value


@inlined
def copy(source, target, count):
    """Copy the first ``count`` elements."""
    for p in range(count):
        target[p] = source[p]
