"""The experiment: all nouns together, from and to options, plain values and TOML."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, is_dataclass
from functools import cache
from typing import Any, TypeVar

from ..errors import NbnumbaWarning, UsageError
from .detector import Detector
from .noun import Noun, changed_noun, shown, types_of
from .nouns import Background, Beam, Crystal, Goniometer, Noise, Readout, Sampling, Scan, StructureFactors
from .toml import as_toml, from_toml
from .types import Mode

SomeNoun = TypeVar("SomeNoun", bound=Noun)


@dataclass(frozen=True)
class Experiment(Noun):
    """Everything that decides the image, and nothing else.

    Raises
    ------
    UsageError
        A field's value is not of its type, here as in every noun.

    Examples
    --------
    >>> from nbnumba import Beam, Crystal, Detector, Experiment
    >>> experiment = Experiment(
    ...     beam=Beam(wavelength_angstrom=1.0),
    ...     detector=Detector(distance_mm=100, fast_pixels=64, slow_pixels=64),
    ...     crystal=Crystal(cell=(70, 80, 90, 75, 85, 95), cells=(5, 5, 5)),
    ... )
    >>> Experiment.from_toml(experiment.to_toml()) == experiment
    True
    """

    beam: Beam = field(default_factory=Beam)
    """The X-rays."""
    detector: Detector = field(default_factory=Detector)
    """Where photons are counted."""
    goniometer: Goniometer = field(default_factory=Goniometer)
    """About which axis the crystal turns."""
    scan: Scan = field(default_factory=Scan)
    """How far it turns."""
    crystal: Crystal = field(default_factory=Crystal)
    """What it is, how large and how perfect."""
    structure_factors: StructureFactors = field(default_factory=StructureFactors)
    """How strongly each reflection scatters."""
    background: Background = field(default_factory=Background)
    """What scatters besides."""
    sampling: Sampling = field(default_factory=Sampling)
    """How finely all this is sampled."""
    noise: Noise = field(default_factory=Noise)
    """How photons are counted."""
    readout: Readout = field(default_factory=Readout)
    """How counts become the integers of a file."""
    mode: Mode = "spec"
    """``spec``: the physics; ``c``: what the reference program does, defects included."""
    phi_carryover: Mode | None = None
    """Whether a φ of exactly 0 keeps the previous step's cell (``c``) or not; None: as ``mode``."""

    @staticmethod
    def from_args(args: Sequence[str]) -> Experiment:
        """The experiment that nanoBragg's command line describes.

        Parameters
        ----------
        args : sequence of str
            Options and values as one would type them, without the program's name.

        Returns
        -------
        Experiment
            With the fields that the options set, its files not read yet.

        Raises
        ------
        UsageError
            An option that is not known or a value that does not parse.
        InputFileError
            The file of ``-experiment`` cannot be read, or holds no experiment.

        Warns
        -----
        NbnumbaWarning
            An option or value that nanoBragg itself would ignore, and as what it is read here.

        Examples
        --------
        >>> from nbnumba import Experiment
        >>> Experiment.from_args(["-cell", "70", "80", "90", "-lambda", "1.5", "-N", "5"]).crystal.cells
        (5, 5, 5)
        """
        from ..nanobragg.parse import parse

        command = parse(args)
        for note in command.notes:
            warnings.warn(note, NbnumbaWarning, stacklevel=2)
        return command.experiment

    def to_args(self) -> list[str]:
        """nanoBragg's command line for the experiment: the inverse of :meth:`from_args`.

        A pivot that was not given and that options decide in the same way may be given afterwards.

        Returns
        -------
        list of str
            Options and values of what differs from the defaults, without the program's name.

        Raises
        ------
        UsageError
            A field that no option sets so.

        Examples
        --------
        >>> from nbnumba import Crystal, Detector, Experiment
        >>> Experiment(crystal=Crystal(cells=(5, 5, 6)), mode="c", detector=Detector(pivot="beam")).to_args()
        ['-mode', 'c', '-Na', '5', '-Nb', '5', '-Nc', '6', '-pivot', 'beam']
        """
        from ..nanobragg.words import as_args

        return as_args(self)

    def to_dict(self) -> dict[str, Any]:
        """Nested plain values.

        Returns
        -------
        dict
            Fields by name, without those that were not given; nouns are dicts, too.

        Raises
        ------
        UsageError
            A mask or reflections in memory.
        """
        if self.detector.mask or any(panel.mask for panel in self.detector.panels or ()):
            raise UsageError(
                "detector.mask: a mask in memory has no text: save it as an SMV image, and name that by mask_file"
            )
        if self.structure_factors.reflections:
            raise UsageError(
                "structure_factors.reflections: reflections in memory have no text: save them as an MTZ file or a list "
                "of h k l F, and name that by hkl_file"
            )
        return _plain(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Experiment:
        """The inverse of :meth:`to_dict`.

        Parameters
        ----------
        values : mapping
            Nested plain values. What JSON or TOML cannot say may be a text: infinity ``inf``, None in a list ``none``.

        Returns
        -------
        Experiment
            What is not in ``values`` is as in ``Experiment()``.

        Raises
        ------
        UsageError
            A field that there is not, or a value that is not of a field's type.
        """
        if not isinstance(values, Mapping):
            raise UsageError(f"an experiment is a mapping of its nouns, not {shown(values)}")
        return changed_noun(cls(), values)

    def to_toml(self) -> str:
        """A TOML document.

        Returns
        -------
        str
            One table for each noun.

        Raises
        ------
        UsageError
            A mask or reflections in memory.
        """
        return as_toml(self.to_dict())

    @classmethod
    def from_toml(cls, text: str) -> Experiment:
        """The inverse of :meth:`to_toml`.

        Parameters
        ----------
        text : str
            A TOML document.

        Returns
        -------
        Experiment
            What is not in the text is as in ``Experiment()``.

        Raises
        ------
        UsageError
            The text is not TOML, or as in :meth:`from_dict`.
        """
        return cls.from_dict(from_toml(text))


def changed(experiment: Experiment, **changes: Any) -> Experiment:
    """A copy with some fields replaced.

    Parameters
    ----------
    experiment : Experiment
        Stays as it is.
    **changes
        For a noun, a mapping of the fields to be replaced, or a whole noun; for any other field, its value.

    Returns
    -------
    Experiment
        The copy, its values checked by type alone, as in every noun.

    Raises
    ------
    UsageError
        A field that there is not, or a value that is not of a field's type.

    Examples
    --------
    >>> from nbnumba import Experiment, changed
    >>> polarized = changed(Experiment(), beam={"kahn_factor": 0.9}, mode="c")
    >>> polarized.beam.kahn_factor, polarized.mode
    (0.9, 'c')
    """
    if not isinstance(experiment, Experiment):
        raise UsageError(f"changed: {shown(experiment)} is not an Experiment")
    return changed_noun(experiment, changes)


@cache
def nouns() -> Mapping[str, Any]:
    """The classes that an experiment consists of, by their names in it."""
    return {name: kinds[0] for name, kinds in types_of(Experiment).items() if is_dataclass(kinds[0])}


def with_right_values(noun: SomeNoun, **values: Any) -> SomeNoun:
    """As ``dataclasses.replace``, for values that are of their fields' types already: none is looked at."""
    copy = object.__new__(type(noun))
    vars(copy).update(vars(noun), **values)
    return copy


def _plain(value: Any) -> Any:
    """Nouns as dicts of what was given; all else, which cannot be changed, as it is."""
    if isinstance(value, Noun):
        return {name: _plain(item) for name, item in vars(value).items() if item is not None}
    if type(value) is tuple and value and isinstance(value[0], Noun):
        return tuple(map(_plain, value))
    return value
