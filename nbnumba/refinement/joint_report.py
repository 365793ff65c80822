"""What a refinement of many images tells: as text for a person and as plain values for a program."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .report import fields_told, plain, table, with_esd

if TYPE_CHECKING:
    from .joint_outcome import JointRefinement, OneOfMany

MOST_IMAGES = 20
"""Images of which people are told figures; files have them all."""


def text_of(result: JointRefinement) -> str:
    """What is shared, the fit of each image, and what to do, in lines."""
    sections = [
        table([("", "start", "refined", ""), *_rows_shared(result)]),
        table([("", "R", "CC", "deviance a pixel", "before"), *_rows_of_images(result)]),
        advice(result),
    ]
    return "\n\n".join("\n".join(lines) for lines in sections if lines)


def _rows_shared(result: JointRefinement) -> list[tuple[str, ...]]:
    numbers = zip(result.start.tolist(), result.values.tolist(), result.esd.tolist(), strict=True)
    return [
        (name, f"{start:.9g}", with_esd(value, esd), unit)
        for name, unit, (start, value, esd) in zip(result.names, result.units, numbers, strict=True)
    ]


def _rows_of_images(result: JointRefinement) -> list[tuple[str, ...]]:
    told = [*enumerate(result.images)]
    if len(told) > MOST_IMAGES:
        told = sorted(told, key=lambda item: -item[1].deviance.after)[:MOST_IMAGES]
    rows = [(f"image {number + 1}", *_fit(one)) for number, one in told]
    left_out = len(result.images) - len(rows)
    before, after = (f"{deviance:.4g}" for deviance in result.deviance)
    more = [(f"{left_out} that fit better", "", "", "", "")] if left_out else []
    return [*rows, *more, ("all", "", "", after, before)]


def _fit(one: OneOfMany) -> tuple[str, ...]:
    return (
        f"{one.r_factor.after:.4f}",
        f"{one.cc.after:.4f}",
        f"{one.deviance.after:.4g}",
        f"{one.deviance.before:.4g}",
    )


def advice(result: JointRefinement) -> list[str]:
    """What there is to be done, in lines."""
    said = []
    if result.interrupted is not None:
        said.append("Interrupted: this is the best that was found so far; to go on, start from it.")
    if result.apart:
        named = ", ".join(f"{number + 1} ({result.images[number].deviance.after:.4g})" for number in result.apart)
        said.append(
            f"Far above the others in deviance a pixel: image{'s' if len(result.apart) > 1 else ''} {named}. Leave out "
            "or start nearer what fits so badly: it pulls at what is shared."
        )
    return said


def as_json(result: JointRefinement) -> dict[str, Any]:
    """All figures as plain values, as :func:`.report.as_json` has them of one image.

    Returns
    -------
    dict
        ``shared``: ``names``, ``units``, ``start``, ``values``, ``esd`` and ``correlation`` (n x n).
        ``images``: of each ``names``, ``units``, ``start``, ``values`` and ``esd`` of its own numbers and background,
        ``pixels``, and ``r_factor``, ``cc`` and ``deviance_per_pixel``, each ``before`` and ``after``.
        ``fit``: ``deviance_per_pixel`` before and after, ``pixels``, of all images.
        ``history``: of each step way, stage, number, deviance_per_pixel and damping.
        ``apart``: numbers, from 1, of images that fit far worse than the others. ``advice``: lines. ``interrupted``:
        whether it was.
    """
    told: dict[str, Any] = plain({
        "shared": fields_told(result, "names units start values esd correlation"),
        "images": [_image(one) for one in result.images],
        "fit": {"deviance_per_pixel": result.deviance._asdict(), "pixels": result.pixels},
        "history": [
            fields_told(step, "way stage number damping") | {"deviance_per_pixel": step.deviance}
            for step in result.history
        ],
        "apart": [number + 1 for number in result.apart],
        "advice": advice(result),
        "interrupted": result.interrupted is not None,
    })  # fmt: skip
    return told


def _image(one: OneOfMany) -> dict[str, Any]:
    figures = {"r_factor": one.r_factor, "cc": one.cc, "deviance_per_pixel": one.deviance}
    return fields_told(one, "names units start values esd pixels") | {
        name: figure._asdict() for name, figure in figures.items()
    }
