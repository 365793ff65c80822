"""What a model's image is held against: counts, and what lies under the spots."""

from dataclasses import dataclass

import numpy as np

from ..arrays import HoldsArrays


@dataclass(frozen=True, eq=False, repr=False)
class Target(HoldsArrays):
    """Measured photons and how they are compared; arrays are (slow, fast), panels one above the other."""

    measured: np.ndarray
    """float64: photons, with the pedestal taken off and divided by the gain."""
    mask: np.ndarray | None = None
    """bool: pixels that count; None: all."""
    fixed: np.ndarray | None = None
    """float64: photons that are added to the model's as they are."""
    basis: np.ndarray | None = None
    """float64 (n, slow, fast): images that are added, each times a coefficient that is refined."""
    read_noise: float = 0.0
    """Standard deviation of the read-out in photons; its square is added to model and counts (shifted Poisson)."""
    robust_z: float | None = None
    """Residuals beyond so many standard deviations count as if they were that large; None: all as they are."""

    @property
    def images(self) -> list[tuple[str, np.ndarray]]:
        """All that must be of one size, by name."""
        given = [("measured", self.measured), ("mask", self.mask), ("fixed", self.fixed)]
        given += [("basis", image) for image in ([] if self.basis is None else self.basis)]
        return [(what, image) for what, image in given if image is not None]


@dataclass(frozen=True, eq=False, repr=False)
class Normal(HoldsArrays):
    """Normal equations of a target at one set of values: those of the model, then the coefficients of its basis."""

    deviance: float
    """2 Σ(µ − y + y ln(y/µ)) of Poisson counts y at the expectation µ."""
    gradient: np.ndarray
    """Jᵀ W (y − µ), W = 1/µ: (n,)."""
    matrix: np.ndarray
    """Jᵀ W J: (n, n), Fisher's information."""
    pixels: int
    """That count."""
    measured: float
    """Σ y."""
    modelled: float
    """Σ µ."""
    misfit: float
    """Σ |y − µ|."""
