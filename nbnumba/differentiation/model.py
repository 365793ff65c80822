"""An image as a function of some of its experiment's numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..choices import Precision
from ..errors import UsageError
from ..experiment import Experiment, with_right_values
from ..experiment.noun import shown
from ..render.backends import How
from ..render.cpu import threads_of
from ..setup.checks import check_experiment
from ..setup.resolve import Resolved
from .evaluation import Asked, Evaluated, Evaluator
from .parameter import experiment_at
from .parameters import parameters_of, setting_of
from .tangents import change_of
from .target import Normal, Target

Array = npt.NDArray[np.float64]


class Differentiable:
    """An image as a function of numbers of its experiment, with derivatives.

    What is counted stays as it is in the experiment as it is given: sub-pixels, φ steps, domains, which reflections
    have F, which pixels are rendered. Derivatives know nothing of jumps: of F between reflections where that of the
    nearest one is taken, of wide round and Gaussian spots half-way between reflections. All samples are evaluated, for
    the image too, whatever ``sampling.tolerance_photons`` is.

    Parameters
    ----------
    experiment : Experiment
        Its files are read now.
    free : sequence of str
        Names of its fields, such as "crystal.cell", or of single numbers of them, "crystal.cell[0]"; besides "scale"
        (``crystal.spot_scale``), "crystal.orientation" (three small rotations about the laboratory's axes, in degrees,
        after the misset), "crystal.size" (Na, Nb and Nc as real numbers), "crystal.a_matrix".
    precision : {"double", "mixed"}
        Arithmetic of the lattice factor.
    threads : int, optional
        CPU threads; all cores by default. No result depends on it.

    Raises
    ------
    UsageError, InputFileError, ResourceError
        As :func:`nbnumba.simulate`; a name that is not known or has no derivative, or names that move the image alike.

    Examples
    --------
    >>> import numpy as np
    >>> from nbnumba import Differentiable, Experiment
    >>> experiment = Experiment.from_args(
    ...     ["-cell", "70", "80", "90", "-default_F", "100", "-N", "5", "-detpixels", "32", "-pixel", "1"])
    >>> model = Differentiable(experiment, ["crystal.cell[0]", "scale"])
    >>> model.names, model.units
    (('crystal.cell[0]', 'scale'), ('Å', ''))
    >>> image, slopes = model.jacobian(model.values)
    >>> slopes.shape
    (2, 32, 32)
    >>> bool(np.allclose(slopes[1], image))
    True
    """

    def __init__(
        self,
        experiment: Experiment,
        free: Sequence[str],
        precision: Precision = "double",
        threads: int | None = None,
    ) -> None:
        how = How("cpu", precision, threads)
        self._setting = setting_of(experiment, free)
        self._parameters = parameters_of(self._setting, free)
        self._evaluator = Evaluator(precision, threads_of(how))

    @property
    def names(self) -> tuple[str, ...]:
        """One for each number."""
        return tuple(parameter.name for parameter in self._parameters)

    @property
    def units(self) -> tuple[str, ...]:
        """Of each number, as the experiment has it; empty for a pure one."""
        return tuple(parameter.unit for parameter in self._parameters)

    @property
    def values(self) -> Array:
        """Those of the experiment (n,)."""
        return np.array([parameter.value for parameter in self._parameters])

    @property
    def resolved(self) -> Resolved:
        """The experiment with nothing left open."""
        return self._setting.resolved

    @property
    def shape(self) -> tuple[int, int]:
        """Of images: rows along slow, of all panels one above the other, and columns along fast."""
        plans = self._setting.resolved.plans
        return sum(p.detector.slow_pixels for p in plans), max(p.detector.fast_pixels for p in plans)

    def experiment(self, values: npt.ArrayLike) -> Experiment:
        """The experiment with other numbers; cells whose number is refined as a real one are whole again.

        Parameters
        ----------
        values : array_like (n,)
            In the order of ``names``.

        Returns
        -------
        Experiment
            The one that was given, with what headers and files say of it, and these numbers.

        Raises
        ------
        UsageError
            Other than one value for each name, or values with which there is no such experiment.
        """
        made = experiment_at(self._setting, self._parameters, self._checked(values))
        _check_cells(made)
        whole = with_whole_cells(made)
        check_experiment(whole)
        return whole

    def image(self, values: npt.ArrayLike) -> Array:
        """Photons.

        Parameters
        ----------
        values : array_like (n,)
            In the order of ``names``.

        Returns
        -------
        float64 array, shape (slow, fast)
            0 where no pixel is rendered.

        Raises
        ------
        UsageError
            Other than one value for each name, or values with which there is no such experiment.
        """
        return self._evaluated(values, Asked()).image

    def jacobian(self, values: npt.ArrayLike) -> tuple[Array, Array]:
        """Photons and their derivatives.

        Parameters
        ----------
        values : array_like (n,)
            In the order of ``names``.

        Returns
        -------
        image : float64 array, shape (slow, fast)
            Photons.
        slopes : float64 array, shape (n, slow, fast)
            Photons per unit of each number.

        Raises
        ------
        UsageError
            Other than one value for each name, or values with which there is no such experiment.
        """
        done = self._evaluated(values, Asked(slopes=True))
        assert done.slopes is not None
        return done.image, done.slopes

    def vjp(self, values: npt.ArrayLike, cotangent: npt.ArrayLike) -> tuple[Array, Array]:
        """Photons, and the derivatives of a number that depends on them: a vector-Jacobian product.

        Parameters
        ----------
        values : array_like (n,)
            In the order of ``names``.
        cotangent : array_like (slow, fast)
            Derivative of the number by the photons of each pixel.

        Returns
        -------
        image : float64 array, shape (slow, fast)
            Photons.
        gradient : float64 array, shape (n,)
            Derivative of the number by each value.

        Raises
        ------
        UsageError
            As :meth:`jacobian`; or a cotangent of another size.
        """
        weights = self._image("cotangent", cotangent)
        done = self._evaluated(values, Asked(cotangent=weights))
        assert done.products is not None
        return done.image, done.products

    def normal(self, values: npt.ArrayLike, target: Target, coefficients: npt.ArrayLike = ()) -> Normal:
        """Normal equations of a measured image, in one pass that stores no derivatives.

        Parameters
        ----------
        values : array_like (n,)
            In the order of ``names``.
        target : Target
            What was measured.
        coefficients : array_like (k,)
            Of the images of the target's basis.

        Returns
        -------
        Normal
            Of the values and, after them, the coefficients.

        Raises
        ------
        UsageError
            As :meth:`jacobian`; or images of another size, or other than one coefficient for each image of the basis.
        """
        given = np.asarray(coefficients, float)
        wanted = 0 if target.basis is None else len(target.basis)
        if given.shape != (wanted,):
            raise UsageError(f"coefficients of the background: {given.size} are given, and {wanted} are needed")
        for what, image in target.images:
            self._check_size(what, image.shape)
        done = self._evaluated(values, Asked(target=target, coefficients=given))
        assert done.normal is not None
        return done.normal

    def _checked(self, values: npt.ArrayLike) -> list[float]:
        try:
            given = np.asarray(values, float)
        except (TypeError, ValueError):
            raise UsageError(f"values {shown(values)}: give a number for each of {', '.join(self.names)}") from None
        if given.shape != (len(self._parameters),):
            raise UsageError(f"values of shape {given.shape}: give one for each of {', '.join(self.names)}")
        numbers: list[float] = given.tolist()
        for name, number in zip(self.names, numbers, strict=True):
            if not np.isfinite(number):
                raise UsageError(f"{name} {number}: give a finite number")
        return numbers

    def _evaluated(self, values: npt.ArrayLike, asked: Asked) -> Evaluated:
        self.experiment(values)  # Which there must be.
        plans, changes = change_of(self._setting, self._checked(values), self._parameters)
        return self._evaluator.evaluate(plans, changes, asked)

    def _image(self, what: str, image: Any) -> Array:
        array = np.asarray(image, float)
        self._check_size(what, array.shape)
        return array

    def _check_size(self, what: str, shape: tuple[int, ...]) -> None:
        if shape != self.shape:
            found, own = (" x ".join(map(str, size[::-1])) for size in (shape, self.shape))
            raise UsageError(f"{what} of {found} pixels: the image has {own} (fast x slow)")


def _check_cells(experiment: Experiment) -> None:
    """Raise a UsageError where there are less than none: as whole numbers they would be 1."""
    for number in experiment.crystal.cells:
        if not number > 0.0:
            raise UsageError(f"crystal.size {number:g}: must be above 0")


def with_whole_cells(experiment: Experiment) -> Experiment:
    """With the numbers of cells as an experiment has them."""
    na, nb, nc = (max(1, round(number)) for number in experiment.crystal.cells)
    return with_right_values(experiment, crystal=with_right_values(experiment.crystal, cells=(na, nb, nc)))


def gradients(experiment: Experiment, wanted: Sequence[str], precision: Precision = "double") -> dict[str, Array]:
    """Derivative images of an experiment.

    Parameters
    ----------
    experiment : Experiment
        Where the derivatives are taken.
    wanted : sequence of str
        Names, as :class:`Differentiable` takes them.
    precision : {"double", "mixed"}
        Arithmetic of the lattice factor.

    Returns
    -------
    dict
        By the name of each number a float64 array (slow, fast), photons per unit.

    Raises
    ------
    UsageError, InputFileError, ResourceError
        As :class:`Differentiable`.

    Examples
    --------
    >>> from nbnumba import Experiment, gradients
    >>> experiment = Experiment.from_args(
    ...     ["-cell", "70", "80", "90", "-default_F", "100", "-N", "5", "-detpixels", "32", "-pixel", "1"])
    >>> list(gradients(experiment, ["detector.distance_mm", "crystal.misset_deg"]))
    ['detector.distance_mm', 'crystal.misset_deg[0]', 'crystal.misset_deg[1]', 'crystal.misset_deg[2]']
    """
    model = Differentiable(experiment, wanted, precision)
    return dict(zip(model.names, model.jacobian(model.values)[1], strict=True))
