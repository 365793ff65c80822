"""What a refinement tells: as text for a person and as plain values for a program."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from .outcome import Parameter, Refinement
    from .search import StageEnd

MOST_PAIRS = 8
"""Correlations that are told to people."""
LARGEST_DIGITS = 19
"""Of a standard deviation: 0.0012(15), but 0.012(2)."""
LARGEST_POWER = 6
"""Of ten, in numbers that are written without it."""
UNEXPLAINED = 1.3
"""Deviance per pixel that no right model has: with few photons it is less than 1, about one photon up to 1.15."""
BARELY = 0.02
"""Fraction by which the deviance must fall for a start to have been left."""


def with_esd(value: float, esd: float) -> str:
    """A number with its standard deviation in units of the last digit, as crystallographers write it.

    Parameters
    ----------
    value, esd : float

    Returns
    -------
    str
        The standard deviation has one digit, or two up to 19; a number without one is as it is.

    Examples
    --------
    >>> with_esd(79.13412, 0.0031), with_esd(-0.5, 0.014), with_esd(1234.5, 23.0), with_esd(90.0, 0.0)
    ('79.134(3)', '-0.500(14)', '1230(20)', '90')
    >>> with_esd(79612345.0, 2.9e5)
    '7.96(3)e7'
    """
    if not (math.isfinite(esd) and esd > 0.0 and math.isfinite(value)):
        return f"{value:.9g}"
    power = math.floor(math.log10(max(abs(value), esd)))
    if power >= LARGEST_POWER or power < -LARGEST_POWER:
        return f"{with_esd(value / 10.0**power, esd / 10.0**power)}e{power}"
    decimals = 1 - math.floor(math.log10(esd))
    if round(esd * 10.0**decimals) > LARGEST_DIGITS:
        decimals -= 1
    if decimals > 0:
        return f"{value:.{decimals}f}({round(esd * 10.0**decimals)})"
    return f"{round(value, decimals):.0f}({round(esd, decimals):.0f})"


# For people ------------------------------------------------------------------------------------------------------


def text_of(result: Refinement) -> str:
    """Numbers, fit, stages, correlations and what to do, in lines."""
    sections = [
        table([("", "start", "refined", ""), *map(_row, result.parameters), *_rows_of_background(result)]),
        table([("", "before", "after"), *_rows_of_fit(result)]),
        table([_row_of_stage(end) for end in result.ends]),
        _pairs(result),
        advice(result),
    ]
    return "\n\n".join("\n".join(lines) for lines in sections if lines)


def _row(one: Parameter) -> tuple[str, ...]:
    if one.esd == 0.0:
        return one.name, f"{one.start:.9g}", f"{one.value:.9g}", f"{one.unit} fixed".strip()
    refined = with_esd(one.value, one.esd)
    equal = "" if one.equals is None else f" = {one.equals}"
    return one.name, _like(refined, one.start), refined, f"{one.unit}{equal}"


def _like(refined: str, start: float) -> str:
    """The start with as many decimals as what came of it."""
    number, bracket, rest = refined.partition("(")
    if not bracket:
        return f"{start:.9g}"
    _, power, digits = rest.partition("e")
    decimals = len(number.partition(".")[2])
    return f"{start / 10.0 ** int(digits or 0):.{decimals}f}{power}{digits}"


def _rows_of_background(result: Refinement) -> Iterator[tuple[str, ...]]:
    count = len(result.background)
    own = zip(result.names, result.values.tolist(), result.esd.tolist(), strict=True)
    for name, value, esd in list(own)[len(result.names) - count :]:
        yield name, "", with_esd(value, esd), "photons"


def _rows_of_fit(result: Refinement) -> Iterator[tuple[str, ...]]:
    figures = (("R", result.r_factor, ".4f"), ("CC", result.cc, ".4f"), ("deviance a pixel", result.deviance, ".4g"))
    for name, figure, digits in figures:
        yield name, f"{figure.before:{digits}}", f"{figure.after:{digits}}"


def _row_of_stage(end: StageEnd) -> tuple[str, ...]:
    steps = f"{end.iterations} step{'' if end.iterations == 1 else 's'}"
    return f"{end.way}: {end.stage}", steps, f"deviance {end.deviance:.5g} a pixel"


def _pairs(result: Refinement) -> list[str]:
    pairs = [f"  {a}, {b}: {rho:.3f}" for a, b, rho in result.correlated]
    if not pairs:
        return []
    more = [f"  and {len(pairs) - MOST_PAIRS} more"] if len(pairs) > MOST_PAIRS else []
    return ["correlated, so that the image hardly tells them apart:", *pairs[:MOST_PAIRS], *more]


def advice(result: Refinement) -> list[str]:
    """What there is to be done where a refinement did not lead far enough, in lines."""
    said = []
    if result.interrupted is not None:
        said.append("Interrupted: this is the best that was found so far; to go on, start from it.")
    before, after = result.deviance
    if after > (1.0 - BARELY) * before and after > UNEXPLAINED:
        said.append(
            "Hardly anything was found that fits better than the start: start nearer, at low resolution (-roi, -mask) "
            "or with fewer cells; check wavelength, distance, beam centre and which way the image is read."
        )
    elif after > UNEXPLAINED:
        said.append(
            f"The deviance is {after:.3g} a pixel, where a model that is right has about 1: look at the residuals "
            "(-png), free what they show (mosaic, size, beam), or give another background. The standard deviations "
            "are multiplied by the square root of it."
        )
    if said and result.interrupted is None:
        said.append(f"The start: {result.fringes.words}.")
    if result.correlated:
        said.append("Of correlated numbers restrain one (-restrain), or leave it out of -free.")
    return said


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows whose columns stand below one another; numbers end together but for the last column."""
    if len(rows) == 0:
        return []
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            word.ljust(width) if number in (0, len(row) - 1) else word.rjust(width)
            for number, (word, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


# For programs ----------------------------------------------------------------------------------------------------


def as_json(result: Refinement) -> dict[str, Any]:
    """All figures as plain values; what is no finite number, which JSON does not have, is the text ``inf`` or ``nan``.

    Returns
    -------
    dict
        ``parameters``: name, unit, start, value, esd of each number of the experiment, and in ``equals`` the number
        that it is equal to by the crystal system; one that this fixes has an esd of 0.
        ``free``: ``names``, ``values``, ``esd`` and ``correlation`` (n x n) of what was free, numbers and coefficients
        of the background.
        ``fit``: ``r_factor``, ``cc`` and ``deviance_per_pixel``, each ``before`` and ``after``; ``pixels``.
        ``fringes``: by how many the start may have been off, by ``orientation`` and ``strain``.
        ``stages``: way, stage, iterations, deviance_per_pixel of each.
        ``history``: of each step way, stage, number, deviance_per_pixel, damping and values.
        ``correlated``: pairs of names with their coefficient. ``advice``: lines. ``interrupted``: whether it was.
    """
    figures = {"r_factor": result.r_factor, "cc": result.cc, "deviance_per_pixel": result.deviance}
    return {
        name: plain(value)
        for name, value in {
            "parameters": [fields_told(one, "name unit start value esd equals") for one in result.parameters],
            "free": fields_told(result, "names values esd correlation"),
            "fit": {name: figure._asdict() for name, figure in figures.items()} | {"pixels": result.pixels},
            "fringes": fields_told(result.fringes, "orientation strain"),
            "stages": [_step(one, "way stage iterations") for one in result.ends],
            "history": [_step(one, "way stage number damping values") for one in result.history],
            "correlated": result.correlated,
            "advice": advice(result),
            "interrupted": result.interrupted is not None,
        }.items()
    }


def fields_told(told: Any, names: str) -> dict[str, Any]:
    """Fields by their names."""
    return {name: getattr(told, name) for name in names.split()}


def _step(told: Any, names: str) -> dict[str, Any]:
    return fields_told(told, names) | {"deviance_per_pixel": told.deviance}


def plain(value: Any) -> Any:
    """As JSON has it: arrays as lists, what is no finite number as text."""
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def json_text(report: dict[str, Any]) -> bytes:
    """The content of its file."""
    text = json.dumps(plain(report), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    # Bytes of a file name that are no UTF-8 become the escapes by which JSON gives them back.
    return text.encode(errors="backslashreplace")
