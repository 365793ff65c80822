"""Where nanoBragg and the physics part: every difference with its label, its words and its switch, and nothing more.

An experiment in mode ``c`` has all of them, one in mode ``spec`` none. Nobody else asks for the mode: the set-up reads
the switches, kernels read what the set-up makes of them. When a difference matters to an experiment is said in
:mod:`nbnumba.setup.labels`; docs/modes.md explains each in a line.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .experiment import Experiment
    from .types import Mode


def _known(label: str, words: str) -> Any:
    """A difference in what is simulated, which reports tell by its label."""
    return field(default=False, metadata={"label": label, "words": words})


def _choice(words: str) -> Any:
    """A difference in what is refused, rounded or written: docs/modes.md has it, reports do not tell it."""
    return field(default=False, metadata={"words": words})


@dataclass(frozen=True, kw_only=True)
class Quirks:
    """What nanoBragg does and physics does not; False: physics."""

    close_xy_is_beam_center: bool = _known(
        "C-1", "-Xclose/-Yclose set the near point in mode spec, only the default beam centre in mode c"
    )
    normal_loses_side: bool = _known("C-2", "a regenerated detector normal keeps its side in mode spec, not in mode c")
    pivot_by_convention: bool = _known(
        "C-3", "the pivot follows the options in mode spec; a named convention keeps its own in mode c"
    )
    twotheta_left_out: bool = _known(
        "C-4", "two-theta counts in the reported centre and distance in mode spec, not in mode c"
    )
    origin_ignored: bool = _known("C-5", "-pix0_vector is honoured in mode spec, ignored in mode c")
    curved_by_mixed_axes: bool = _known("C-6", "-curved_det is a sphere in mode spec, mixed-up axes in mode c")
    misset_without_uniformity: bool = _known(
        "C-7",
        "-misset random is uniform over all rotations in mode spec, a turn by 90 radians for 90 degrees in mode c",
    )
    source_weights_ignored: bool = _known("C-8", "source weights count in mode spec, not in mode c")
    phi_zero_keeps_cell: bool = _known(
        "C-9", "a φ of exactly 0 is rotated in mode spec, keeps the previous step's cell in mode c"
    )
    interpolation_ends_at_table: bool = _known(
        "C-10", "outside the table interpolation goes on with default_F in mode spec, stops for good in mode c"
    )
    factors_multiply_sum: bool = _known(
        "C-11", "-oversample_thick/_polar/_omega weight each sample in mode spec, the running sum in mode c"
    )
    water_scaled_twice: bool = _known("C-12", "water is scaled once in mode spec, twice in mode c")
    amorphous_ignored: bool = _known("C-13", "-stol is an amorphous background in mode spec, ignored in mode c")
    header_keyword_anywhere: bool = _known(
        "C-14", "image headers are matched by whole keywords in mode spec, by substrings in mode c"
    )
    close_distance_decides: bool = _known(
        "C-15", "of -distance and -close_distance the pivot's own counts in mode spec, the latter in mode c"
    )
    dump_always_written: bool = _known(
        "C-18", "Fdump.bin is written only with -dump in mode spec, after every -hkl in mode c"
    )
    tilted_c_star: bool = _known(
        "C-19", "two or three oblique angles give the exact cell in mode spec, a tilted c* in mode c"
    )
    layers_overfill_sensor: bool = _known(
        "C-20", "sensor layers fill the thickness and each has its own fraction in mode spec, not in mode c"
    )
    counted_in_order: bool = _known(
        "C-21", "each pixel's photons are drawn by its place in mode spec, one pixel after another in mode c (-rng)"
    )

    scaled_to_direct_beam: bool = _choice("integer and gray images are scaled to the direct beam's own spot too")
    rounding_adds_subpixel: bool = _choice("rounding decides on one more where a whole number of sub-pixels fits")
    rounding_adds_cell: bool = _choice("rounding decides on one more where a whole number of cells fits an edge")
    custom_near_point_is_center: bool = _choice("with vectors of one's own, the beam centre is the near point too")
    may_face_away: bool = _choice("a detector whose normal points towards the sample has negative photons")
    interpolated_by_given_cells: bool = _choice("the cells of -N decide on interpolation, not those of the crystal")
    skipped_pixels_unpolarized: bool = _choice("a pixel of which -dmin keeps no sample has a polarization factor of 0")
    bad_inputs_read: bool = _choice("matrices of direct axes and sources behind the sample are taken as they are")
    header_center_as_given: bool = _choice("SMV headers repeat the beam centre of the options, not the one that is")


PHYSICS = Quirks()
NANOBRAGG = Quirks(**{switch.name: True for switch in fields(Quirks)})
QUIRKS: dict[Mode, Quirks] = {"spec": PHYSICS, "c": NANOBRAGG}

REPEATED_BY_NONE = {
    "option_misread": ("C-16", "an option is never read as another one that it contains, as the reference does"),
    "header_overflows": (
        "C-17",
        "a header text beyond 512 bytes makes HEADER_BYTES grow; the reference's file is corrupt",
    ),
}
"""Defects that no mode has, so that there is nothing to switch."""


def in_order(labels: Iterable[str]) -> list[str]:
    """Labels by their numbers, each once."""
    return sorted(set(labels), key=lambda label: int(label.removeprefix("C-")))


_LABELLED = {
    switch.name: (switch.metadata["label"], switch.metadata["words"])
    for switch in fields(Quirks)
    if "label" in switch.metadata
} | REPEATED_BY_NONE

LABELS = {label: dict(_LABELLED.values())[label] for label in in_order(dict(_LABELLED.values()))}
"""What differs between the modes, label by label."""


def quirks_of(experiment: Experiment) -> Quirks:
    """What an experiment's mode makes of it; ``phi_carryover`` may decide on C-9 otherwise, ``noise.rng`` on C-21."""
    quirks = QUIRKS[experiment.mode]
    if experiment.phi_carryover is not None:
        quirks = replace(quirks, phi_zero_keeps_cell=QUIRKS[experiment.phi_carryover].phi_zero_keeps_cell)
    if experiment.noise.rng is not None:
        quirks = replace(quirks, counted_in_order=experiment.noise.rng == "ran1")
    return quirks


def labels_of(names: Iterable[str]) -> list[str]:
    """Labels in their order of the differences of these names."""
    return in_order(_LABELLED[name][0] for name in names)
