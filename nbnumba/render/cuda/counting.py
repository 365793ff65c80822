"""Photons counted on a card: the counts that the CPU draws, where the photons are rendered."""

from typing import Any

import numpy as np
import numpy.typing as npt

from ...kernels.cuda.tables import THREADS
from ...response.deviates import Window, numbers_of
from . import cards


def poisson(
    mean: npt.NDArray[np.float32], window: Window, seed: int, frame: int = 0, device: int = 0
) -> npt.NDArray[np.float64]:
    """Photons counted where so many are expected: as :func:`nbnumba.response.deviates.poisson`, to the last one.

    Parameters
    ----------
    mean : float32 array, shape (rows, columns)
        Expected photons; a negative number counts as 0.
    window : Window
        Which pixels they are.
    seed, frame : int
        Of all frames, and the number of the image among them.
    device : int
        Number of the card.

    Returns
    -------
    float64 array, shape (rows, columns)

    Raises
    ------
    DeviceError
        No usable card, too little memory on it, or a failure of the driver, in one line.
    """
    with cards.on(device):
        cuda = cards.cuda_provider().cuda
        photons = cuda.to_device(np.ascontiguousarray(mean, np.float32).ravel())
        counts = cuda.device_array(mean.size, np.float64)
        start(photons, counts, mean.shape[1], window, seed, frame)
        return np.asarray(counts.copy_to_host()).reshape(mean.shape)


def start(photons: Any, counts: Any, width: int, window: Window, seed: int, frame: int, stream: Any = 0) -> None:
    """Queue the counting of photons that lie on the current card, and return at once.

    Parameters
    ----------
    photons, counts : arrays on the card, float32 and float64, shape (pixels,)
        Expected photons, and what receives their counts.
    width : int
        Pixels in a row of theirs.
    window, seed, frame
        As of :func:`poisson`.
    stream : stream of the card
        In which it is done; its default one, where none is given.
    """
    from ...kernels.cuda import counting as kernels

    count: Any = kernels.count_photons
    blocks = max(1, -(-photons.size // THREADS))
    numbers = numbers_of(window, seed, frame)
    count[blocks, THREADS, stream](photons, photons.size, width, *numbers, counts)
