"""What an experiment's values must satisfy, said in the words of the options that set them."""

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import is_dataclass
from typing import Any, get_origin

from ..errors import NbnumbaWarning, UsageError
from ..experiment import Experiment, nouns
from ..experiment.field import LARGEST, Declaration, declared
from ..experiment.noun import types_of
from ..experiment.quirks import quirks_of
from ..nanobragg.table import option_of
from ..unit_cell import why_no_cell
from .lattice import why_no_axes, why_no_rotation
from .sources import why_no_sources
from .spectrum import check_spectrum

Fields = Sequence[tuple[str, Sequence[tuple[str, Any, Declaration]]]]
"""Noun by noun, some of its fields, with name and default. Picked once: images come by the hundred thousand."""


def _those(is_meant: Callable[[type, Declaration], Any]) -> Fields:
    of_noun = {
        noun: [(field.name, field.default, field) for field in declared(kind).values() if is_meant(kind, field)]
        for noun, kind in nouns().items()
    }
    return [(noun, fields) for noun, fields in of_noun.items() if fields]


def _is_numeric(kind: type, field: Declaration) -> bool:
    return any(part in (float, int) or get_origin(part) is tuple for part in types_of(kind)[field.name])


_NUMERIC = _those(_is_numeric)
_RULED = _those(lambda _, field: field.right)
_PLAUSIBLE = _those(lambda _, field: field.slip)
_EXCLUSIVE = _those(lambda _, field: field.in_place_of)


def _given(experiment: Experiment, fields: Fields) -> Iterator[tuple[str, Declaration, Any]]:
    """What is not as the declaration has it, which is right."""
    for noun, declarations in fields:
        values = vars(getattr(experiment, noun))
        for name, default, field in declarations:
            value = values[name]
            if value is not default and value is not None:
                yield noun, field, value


def _option(noun: str, field: Declaration) -> str:
    """The option by which a field is set; one that no option sets, by its own name."""
    return option_of(f"{noun}.{field.name}")


def check_experiment(experiment: Experiment) -> None:
    """Raise a UsageError for the first value that makes no sense."""
    for noun, field, value in _given(experiment, _NUMERIC):
        for number in _numbers_in(value):
            if not -LARGEST <= number <= LARGEST and not (field.is_infinite and number == math.inf):
                wants = f"number of at most {LARGEST:g}" if math.isfinite(number) else "finite number"
                raise UsageError(f"{_option(noun, field)} {number!r}: give a {wants}")
    _check_exclusive(experiment)
    crystal, sources = experiment.crystal, experiment.beam.sources
    reasons = {
        "-cell": crystal.cell and why_no_cell(crystal.cell),
        "crystal.a_matrix": crystal.a_matrix and why_no_axes(crystal.a_matrix),
        "crystal.u_matrix": crystal.u_matrix and why_no_rotation(crystal.u_matrix),
        "beam.sources": None if sources is None else why_no_sources(sources),
    }
    for name, reason in reasons.items():
        if reason is not None:
            raise UsageError(f"{name} {reason}")
    for noun, field, value in _given(experiment, _RULED):
        broken = field.broken_by(value)
        if broken is not None:
            number, wants = broken
            raise UsageError(f"{_option(noun, field)} {number:.12g}: must {wants}")
    check_spectrum(experiment.beam)
    background = experiment.background
    is_nothing = background.amorphous_file is not None and background.water_um == 0
    if is_nothing and not quirks_of(experiment).amorphous_ignored:
        raise UsageError("-water 0: must be above 0 beside -stol, -4stol or -Q: it is the material's thickness")
    detector = experiment.detector
    if detector.beamstop_arm is not None and detector.beamstop_mm == 0:
        raise UsageError(
            f"-beamstop_arm {' '.join(f'{x:g}' for x in detector.beamstop_arm)} without -beamstop: give the radius of "
            "the disc that it holds"
        )
    rois = [("-roi", detector.roi), *(("roi of a panel,", panel.roi) for panel in detector.panels or ())]
    for name, roi in rois:
        if roi is not None and (roi[0] > roi[1] or roi[2] > roi[3]):
            raise UsageError(
                f"{name} {' '.join(map(str, roi))} is reversed: give fast first, fast last, slow first, slow last"
            )


def _check_exclusive(experiment: Experiment) -> None:
    """Raise a UsageError for fields that stand for one another and are given side by side."""
    given: dict[str, list[str]] = {}
    for noun, field, _ in _given(experiment, _EXCLUSIVE):
        file = f"{noun}.{field.in_place_of}"
        is_given = getattr(getattr(experiment, noun), str(field.in_place_of)) is not None
        given.setdefault(file, [file] if is_given else []).append(f"{noun}.{field.name}")
    for names in given.values():
        if len(names) > 1:
            raise UsageError(f"{' and '.join(names)}: give one of them")


def warn_of_slips(experiment: Experiment) -> None:
    """Warn of values that are possible, but that nobody means in the unit in which they are read."""
    slips = dict.fromkeys(
        f"{_option(noun, field)} {number:g}: is it meant in {field.unit_in_words}, as it is read?"
        for noun, field, value in _given(experiment, _PLAUSIBLE)
        for number in field.slips(value)
    )
    for slip in slips:
        warnings.warn(slip, NbnumbaWarning, stacklevel=3)


def _numbers_in(value: Any) -> Iterator[float]:
    """Every number of a value, in however many tuples."""
    for part in value if type(value) is tuple else (value,):
        if type(part) is float or type(part) is int:
            yield part
        elif type(part) is tuple:
            yield from _numbers_in(part)
        elif is_dataclass(part):
            yield from _numbers_in(tuple(vars(part).values()))
