"""Pixels that are dead for a while when they have counted: fewer counts, less noise, and what a correction makes of it.

With x photons in a dead time, n of them expected in the exposure, mean and variance of the counts are

- n/(1 + x) and n/(1 + x)³, where photons that are not counted change nothing (PILATUS3, EIGER2);
- n·exp(−x) and that times 1 − 2x·exp(−x), where they keep the pixel dead (paralyzable).

Müller, Nucl. Instrum. Methods 112, 47 (1973). Both hold for exposures of many dead times. A corrected image has the
mean n, but the variance n(1 + x), not n.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
import numpy.typing as npt

from ..compiling import compiling
from ..kernels.counting.arrivals import record_arrivals
from .amplification import Values, counted
from .band import Band, Floats
from .deviates import Purpose, key_of

PLAIN_BELOW = 0.005
"""Of x, below which the variance is that of Poisson but for 1 %."""
NORMAL_FROM = 100.0
"""Recorded on average; of fewer, photons are taken one by one."""
MOST_ARRIVALS = 10_000.0
"""Of these that are taken one by one."""
MOST_LOST = float(np.nextafter(-np.exp(-1.0), 0.0))
"""Where Lambert's W ends, −1/e: SciPy has no number of this very argument."""


@dataclass(frozen=True)
class DeadTime:
    """How a pixel counts that is dead for a while."""

    fraction: float
    """Dead time over exposure."""
    paralyzable: bool
    corrected: bool
    """Whether counts are multiplied by what is lost on average."""

    def recorded(self, expected: Floats) -> tuple[Floats, Floats]:
        """Mean and variance of the counts."""
        x = expected * self.fraction
        if self.paralyzable:
            mean = expected * np.exp(-x)
            return mean, mean * (1.0 - 2.0 * x * np.exp(-x))
        return expected / (1.0 + x), expected / (1.0 + x) ** 3

    def correct(self, counts: Floats) -> Floats:
        """Photons that leave so many counts on average; of the two answers of a paralyzable pixel, the smaller."""
        lost = counts * self.fraction
        if self.paralyzable:
            from scipy.special import lambertw

            return np.asarray(-lambertw(np.maximum(-lost, MOST_LOST)).real / self.fraction)
        return counts / np.maximum(1.0 - lost, self.fraction)


def counted_while_dead(values: Values, band: Band, dead: DeadTime) -> Floats:
    """Step: photons counted of those expected, by a pixel that is dead for a while after each."""
    expected = np.maximum(values.astype(np.float64), 0.0)
    is_dense = expected * dead.fraction > PLAIN_BELOW
    if not is_dense.any():
        return counted(expected if dead.corrected else dead.recorded(expected)[0], band)
    sparse = np.where(is_dense, 0.0, expected)
    counts = band.count(sparse if dead.corrected else dead.recorded(sparse)[0], band.window)
    dense = _recorded(expected, is_dense, band, dead)
    counts[is_dense] = np.rint(dead.correct(dense)) if dead.corrected else dense
    band.tally.add_photons(counts)
    return counts


def _recorded(expected: Floats, chosen: npt.NDArray[np.bool_], band: Band, dead: DeadTime) -> Floats:
    """Counts of the chosen pixels, uncorrected."""
    n = expected[chosen]
    mean, variance = dead.recorded(n)
    rows, columns = expected.shape
    counts = np.rint(mean + np.sqrt(variance) * band.normals((rows, columns), Purpose.DEADTIME)[chosen])
    few = (mean < NORMAL_FROM) & (n < MOST_ARRIVALS)
    if few.any():
        numbers = band.numbers((rows, columns))[chosen][few]
        counts[few] = _arrivals(n[few], numbers, band, dead)
    return np.maximum(counts, 0.0)


def _arrivals(expected: Floats, numbers: npt.NDArray[np.uint64], band: Band, dead: DeadTime) -> Floats:
    out = np.empty(expected.shape)
    place = np.uint64(band.frame), key_of(band.seed)
    args = (expected, numbers, dead.fraction, dead.paralyzable, *place, out)
    compiling(lambda: record_arrivals.compile(tuple(map(numba.typeof, args))))
    record_arrivals(*args)
    return out
