"""What is refined by the words of the command line: short names of an experiment's fields."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches

from ..errors import UsageError
from ..experiment import Detector

SHORT: Mapping[str, str] = {
    "cell": "crystal.cell",
    "misset": "crystal.misset_deg",
    "orientation": "crystal.orientation",
    "matrix": "crystal.a_matrix",
    "size": "crystal.size",
    "fudge": "crystal.fudge",
    "mosaic": "crystal.mosaic_spread_deg",
    "scale": "scale",
    "phi": "scan.phi_deg",
    "osc": "scan.oscillation_deg",
    "wavelength": "beam.wavelength_angstrom",
    "dispersion": "beam.dispersion_percent",
    "polarization": "beam.kahn_factor",
    "fluence": "beam.fluence_per_m2",
    "direction": "beam.direction",
    "origin": "detector.origin_mm",
    "twotheta": "detector.twotheta_deg",
    "pixel": "detector.pixel_mm",
    "thickness": "detector.thickness_um",
    "default_f": "structure_factors.default_f",
    "b_factor": "structure_factors.b_add",
    "k_sol": "structure_factors.k_sol",
    "b_sol": "structure_factors.b_sol",
    "water": "background.water_um",
}
"""Names of one field."""

TILT = ("detector.rotx_deg", "detector.roty_deg", "detector.rotz_deg")


def _distance(detector: Detector) -> tuple[str, ...]:
    """Along the beam, or to the nearest point where that is what is known."""
    is_near = detector.close_distance_mm is not None and detector.distance_mm is None
    return ("detector.close_distance_mm" if is_near else "detector.distance_mm",)


def _beam(detector: Detector) -> tuple[str, ...]:
    """What says where on the detector the beam, or the point that is nearest to the sample, is."""
    if detector.convention == "custom" and detector.origin_mm is not None:
        return ("detector.origin_mm",)
    if detector.chosen_pivot == "beam":
        return ("detector.beam_x_mm", "detector.beam_y_mm")
    if detector.orgx_px is not None or detector.orgy_px is not None:
        return ("detector.orgx_px", "detector.orgy_px")
    return ("detector.close_x_mm", "detector.close_y_mm")


BY_DETECTOR: Mapping[str, Callable[[Detector], tuple[str, ...]]] = {
    "distance": _distance,
    "beam": _beam,
    "tilt": lambda detector: TILT,
}
"""Names of several fields, or of those by which a detector is placed."""


def fields_of(word: str, detector: Detector, option: str) -> tuple[str, ...]:
    """The fields that a word stands for: ``cell``, ``cell[2]`` or ``crystal.cell``.

    Parameters
    ----------
    word : str
    detector : Detector
        Whose place is refined.
    option : str
        What took the word, for errors.

    Raises
    ------
    UsageError
        There is no such name.
    """
    name, bracket, index = word.partition("[")
    if name in BY_DETECTOR:
        found = BY_DETECTOR[name](detector)
        if bracket and len(found) > 1:
            raise UsageError(f"{option} {word}: {name} is {', '.join(found)}: name one of these")
    elif name in SHORT:
        found = (SHORT[name],)
    elif "." in name:
        # Whether there is such a field is known to whoever makes derivatives.
        found = (name,)
    else:
        names = (*SHORT, *BY_DETECTOR)
        near = get_close_matches(name, names)
        advice = f"did you mean {' or '.join(near)}?" if near else f"give one of {', '.join(names)}, or a field's name"
        raise UsageError(f"{option} {word!r}: there is no such name; {advice}")
    return tuple(f"{field}{bracket}{index}" for field in found)


def all_fields(words: Iterable[str], detector: Detector, option: str) -> tuple[str, ...]:
    """The fields of several words, each once.

    Raises
    ------
    UsageError
        There is no such name.
    """
    return tuple(dict.fromkeys(field for word in words for field in fields_of(word, detector, option)))
