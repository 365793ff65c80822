"""Photons that are added to each pixel's expectation once it is rendered: those of an image and of a radial profile."""

from typing import Any, NamedTuple

import numpy as np

from ..errors import InputFileError, UsageError
from ..experiment import Experiment
from ..kernels.equations.maps import map_photons_per_intensity, map_scattering_vectors
from ..kernels.equations.vectors import Vector
from ..kernels.plan import DetectorPlan, Plan
from ..structure_factors.keeping import Itself, kept_while_same
from ..units import ANGSTROM_PER_METRE, METRES_PER_ANGSTROM
from .detector import rendered_pixels
from .inputs import Inputs
from .panels import stacked

_NO_MASK: Any = None


def added_photons(
    experiment: Experiment,
    inputs: Inputs,
    detectors: tuple[DetectorPlan, ...],
    incident: Vector,
    wavelength_angstrom: float,
) -> np.ndarray | None:
    """Photons of each pixel, 0 where none is rendered; of several panels, one above the other. None: there are none.

    Parameters
    ----------
    incident, wavelength_angstrom : tuple of 3 floats, float
        Along which the beam travels, and the wavelength by which sin θ/λ goes.

    Returns
    -------
    ndarray of float32, shape (slow, fast), or None
        The same one in all frames of a series, not to be written to.

    Raises
    ------
    InputFileError
        An image of another size than the detector.
    UsageError
        A profile by radius where the beam meets no detector.
    """
    if inputs.added_image is None and inputs.added_profile is None:
        return None
    return _added(_Added(experiment, inputs, detectors, incident, wavelength_angstrom))


class _Added(NamedTuple):
    """What decides on photons that are added."""

    experiment: Experiment
    inputs: Inputs
    detectors: tuple[DetectorPlan, ...]
    incident: Vector
    wavelength_angstrom: float

    @property
    def state(self) -> Any:
        """The same where the same photons are."""
        background = self.experiment.background
        given = (self.inputs.added_image, self.inputs.added_profile, *(one.mask for one in self.detectors))
        pixels = tuple(one._replace(mask=_NO_MASK) for one in self.detectors)
        beam = (self.incident, self.wavelength_angstrom) if self.inputs.added_profile is not None else ()
        return background.image_file, background.profile_axis, pixels, beam, *map(Itself, given)


@kept_while_same(lambda added: added.state)
def _added(added: _Added) -> np.ndarray:
    experiment, inputs, detectors, incident, wavelength_angstrom = added
    image, profile = inputs.added_image, inputs.added_profile
    rendered = stacked([rendered_pixels(detector) for detector in detectors])
    photons = np.zeros(rendered.shape)
    if image is not None:
        photons += _of_its_size(str(experiment.background.image_file), image, rendered.shape)
    if profile is not None:
        by_radius = experiment.background.profile_axis == "px"
        radii = [
            radius_px(detector) if by_radius else sin_theta_over_lambda(detector, incident, wavelength_angstrom)
            for detector in detectors
        ]
        photons += np.interp(stacked(radii), profile[:, 0], profile[:, 1])
    return np.where(rendered, photons, 0.0).astype(np.float32)


def with_added(photons: Any, added: Any) -> Any:
    """float32 photons, of a pixel or an image (slow, fast), with those that are added to them; None: none are."""
    if added is None:
        return photons
    # What float32 cannot hold is infinite, as in any image.
    with np.errstate(over="ignore"):
        return photons + added


def _of_its_size(name: str, image: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    if image.ndim == 1 and image.size == np.prod(shape):
        return image.reshape(shape)
    if image.shape != shape:
        found = f"{image.shape[1]} x {image.shape[0]}" if image.ndim == 2 else str(image.size)
        raise InputFileError(f"{name} has {found} pixels, the detector {shape[1]} x {shape[0]} (fast x slow)")
    return image


def sin_theta_over_lambda(detector: DetectorPlan, incident: Vector, wavelength_angstrom: float) -> np.ndarray:
    """sin θ/λ in Å⁻¹ at the centre of each pixel (slow, fast)."""
    fast, slow = _centres(detector)
    q = np.empty((len(slow), len(fast), 3))
    map_scattering_vectors(detector, fast, slow, incident, wavelength_angstrom * METRES_PER_ANGSTROM, q)
    return np.sqrt(np.einsum("ijk,ijk->ij", q, q)) / 2.0 / ANGSTROM_PER_METRE


def radius_px(detector: DetectorPlan) -> np.ndarray:
    """Pixels from the centre of each (slow, fast) to where the beam meets its panel."""
    if not np.isfinite(detector.distance):
        raise UsageError(
            "-background_profile_px: there is a panel that the beam does not meet: give -background_profile, by "
            "sin(theta)/lambda"
        )
    fast, slow = _centres(detector)
    return np.hypot(fast - detector.fbeam, (slow - detector.sbeam)[:, np.newaxis]) / detector.pixel


def photons_per_square(plan: Plan) -> np.ndarray:
    """Photons in each pixel (slow, fast) of a background material, over its F²."""
    fast, slow = _centres(plan.detector)
    photons = np.empty((len(slow), len(fast)))
    map_photons_per_intensity(plan, fast, slow, photons)
    return plan.background.scale * photons


def _centres(detector: DetectorPlan) -> tuple[np.ndarray, np.ndarray]:
    """Where the centres of columns and rows lie, in m along fast and slow."""
    fast, slow = np.arange(detector.fast_pixels) + 0.5, np.arange(detector.slow_pixels) + 0.5
    return fast * detector.pixel, slow * detector.pixel
