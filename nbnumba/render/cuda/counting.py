"""Photons counted on a card: the counts that the CPU draws, where the photons are rendered."""

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
        from ...kernels.cuda.counting import count_photons

        cuda = cards.cuda_provider().cuda
        photons = cuda.to_device(np.ascontiguousarray(mean, np.float32).ravel())
        counts = cuda.device_array(mean.size, np.float64)
        blocks = max(1, -(-mean.size // THREADS))
        count_photons[blocks, THREADS](photons, mean.size, mean.shape[1], *numbers_of(window, seed, frame), counts)
        return np.asarray(counts.copy_to_host()).reshape(mean.shape)
