"""Where two traces of a pixel begin to differ: read them, put tap beside tap, and follow the chain."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from operator import index
from typing import Any, NamedTuple

from ..errors import InputFileError
from ..formats.files import read_text
from ..tolerances import TAP, TAPS, TapTolerance

Value = tuple[float, ...] | str


# The chain -------------------------------------------------------------------------------------------------------

DETECTOR: dict[str, tuple[str, ...]] = {
    "spixel": ("-trace_pixel",),
    "fpixel": ("-trace_pixel",),
    "detector_convention": ("the convention and vector options",),
    "angles_rad": ("-detector_rotx, _roty, _rotz", "-twotheta"),
    "beam_center_m": ("-Xclose, -Yclose, else half the detector", "-pixel"),
    "initial_fdet": ("detector_convention", "-fdet_vector"),
    "initial_sdet": ("detector_convention", "-sdet_vector"),
    "initial_odet": ("-odet_vector", "initial_fdet", "initial_sdet"),
    "Fclose_m": ("-ORGX, -Xclose, -Xbeam", "beam_center_m"),
    "Sclose_m": ("-ORGY, -Yclose, -Ybeam", "beam_center_m"),
    "ratio": ("-beam_vector", "initial_odet", "angles_rad"),
    "close_distance_m": ("-close_distance, -distance", "ratio"),
    "distance_m": ("-distance", "close_distance_m", "ratio"),
    "term_fast_before_rot": ("Fclose_m", "initial_fdet", "the pivot"),
    "term_slow_before_rot": ("Sclose_m", "initial_sdet", "the pivot"),
    "term_close_before_rot": ("close_distance_m", "initial_odet", "the pivot"),
    "pix0_before_rotation": ("term_fast_before_rot", "term_slow_before_rot", "term_close_before_rot", "-pix0_vector"),
    "pix0_after_rotz": ("pix0_before_rotation", "angles_rad"),
    "fdet_after_rotz": ("initial_fdet", "angles_rad"),
    "sdet_after_rotz": ("initial_sdet", "angles_rad"),
    "odet_after_rotz": ("initial_odet", "angles_rad"),
    "twotheta_axis": ("detector_convention", "-twotheta_axis"),
    "fdet_after_twotheta": ("fdet_after_rotz", "twotheta_axis", "angles_rad"),
    "sdet_after_twotheta": ("sdet_after_rotz", "twotheta_axis", "angles_rad"),
    "odet_after_twotheta": ("odet_after_rotz", "twotheta_axis", "angles_rad"),
    "pix0_after_twotheta": ("pix0_after_rotz", "twotheta_axis", "angles_rad", "-Xbeam, -Ybeam", "distance_m"),
}
PIXEL: dict[str, tuple[str, ...]] = {
    "pix0_vector_meters": ("pix0_after_twotheta",),
    "fdet_vec": ("fdet_after_twotheta",),
    "sdet_vec": ("sdet_after_twotheta",),
    "pixel_pos_meters": ("pix0_vector_meters", "fdet_vec", "sdet_vec", "beam_center_m", "-oversample", "-curved_det"),
    "R_distance_meters": ("pixel_pos_meters",),
    "close_distance_meters": ("pix0_vector_meters", "odet_after_twotheta"),
    "obliquity_factor": ("close_distance_meters", "R_distance_meters"),
    "omega_pixel_sr": ("beam_center_m", "R_distance_meters", "obliquity_factor", "-point_pixel"),
    "diffracted_vec": ("pixel_pos_meters", "R_distance_meters"),
    "incident_vec": ("-beam_vector", "-divergence", "-sourcefile"),
    "lambda_meters": ("-lambda", "-dispersion", "-sourcefile"),
    "lambda_angstroms": ("lambda_meters",),
    "scattering_vec_A_inv": ("diffracted_vec", "incident_vec", "lambda_meters"),
    "rot_a_star_A_inv": ("-mat", "-cell", "-misset", "lambda_meters"),
    "rot_b_star_A_inv": ("-mat", "-cell", "-misset", "lambda_meters"),
    "rot_c_star_A_inv": ("-mat", "-cell", "-misset", "lambda_meters"),
}
PHI: dict[str, tuple[str, ...]] = {
    "phi_tic": ("-phisteps",),
    "phi_deg": ("-phi", "-osc", "-phistep", "-phisteps"),
    # Before the vectors it is made of, since it is what a log has of every φ step: a step is named by it.
    "k_frac": ("rot_b_angstroms", "scattering_vec_A_inv"),
    "rot_a_angstroms": ("rot_a_star_A_inv", "rot_b_star_A_inv", "rot_c_star_A_inv", "phi_deg", "-spindle_axis"),
    "rot_b_angstroms": ("rot_a_star_A_inv", "rot_b_star_A_inv", "rot_c_star_A_inv", "phi_deg", "-spindle_axis"),
    "rot_c_angstroms": ("rot_a_star_A_inv", "rot_b_star_A_inv", "rot_c_star_A_inv", "phi_deg", "-spindle_axis"),
    "V_actual": ("rot_a_angstroms", "rot_b_angstroms", "rot_c_angstroms"),
    "rotated_a_star_A_inv": ("rot_b_angstroms", "rot_c_angstroms", "V_actual"),
    "rotated_b_star_A_inv": ("rot_c_angstroms", "rot_a_angstroms", "V_actual"),
    "rotated_c_star_A_inv": ("rot_a_angstroms", "rot_b_angstroms", "V_actual"),
    "hkl_frac": ("rot_a_angstroms", "rot_b_angstroms", "rot_c_angstroms", "scattering_vec_A_inv"),
    "hkl_rounded": ("hkl_frac",),
    "F_latt_a": ("hkl_frac", "-Na"),
    "F_latt_b": ("k_frac", "hkl_frac", "-Nb"),
    "F_latt_c": ("hkl_frac", "-Nc"),
    "F_latt": ("F_latt_a", "F_latt_b", "F_latt_c", "the shape of the crystal"),
    "F_cell": ("hkl_rounded", "hkl_frac", "-hkl", "-default_F", "-interpolate"),
}
SCALING: dict[str, tuple[str, ...]] = {
    "r_e_meters": ("a constant",),
    "r_e_sqr": ("r_e_meters",),
    "fluence_photons_per_m2": ("-fluence", "-flux, -exposure, -beamsize"),
    "steps": ("the numbers of sources, φ steps, domains and sub-pixels",),
    "oversample_thick": ("-oversample_thick",),
    "oversample_polar": ("-oversample_polar",),
    "oversample_omega": ("-oversample_omega",),
    "I_before_scaling": ("F_cell", "F_latt", "the same of every other sample", "-water"),
    "capture_fraction": ("diffracted_vec", "odet_after_twotheta", "-detector_abs, _thick, _thicksteps"),
    "cos_2theta": ("incident_vec", "diffracted_vec"),
    "polar": ("cos_2theta", "incident_vec", "diffracted_vec", "-polar", "-polar_vector"),
    "omega_pixel": ("omega_pixel_sr",),
    "photons": ("F_cell", "F_latt", "the other samples of the step", "capture_fraction", "polar", "omega_pixel"),
    "I_pixel_final": (
        "I_before_scaling", "r_e_sqr", "fluence_photons_per_m2", "steps", "capture_fraction", "polar", "omega_pixel",
    ),
    "floatimage_accumulated": ("I_pixel_final", "-roi, -mask"),
}  # fmt: skip
CHAIN = DETECTOR | PIXEL | PHI | SCALING
"""Every tap with what it is computed from, taps or options, in the order in which one follows from another."""

SCALING_CHAIN = (
    "F_cell", "F_latt", "I_before_scaling", "r_e_sqr", "fluence_photons_per_m2", "steps", "capture_fraction", "polar",
    "omega_pixel", "I_pixel_final",
)  # fmt: skip

_INDEX = {name: number for number, name in enumerate(CHAIN)}
_IN_LOG = {"phi_deg", "k_frac", "F_latt_b", "F_latt"}
_IN_BACKEND = {"spixel", "fpixel", "phi_deg", "photons", "floatimage_accumulated"}


# What is compared ------------------------------------------------------------------------------------------------


class Key(NamedTuple):
    """A tap's name, and its φ step where there is one value for each."""

    name: str
    phi_tic: int | None = None

    @property
    def place(self) -> tuple[int, int, int, bool, str]:
        """Where it stands in the chain; the pixel's taps of the cell are those of φ step 0."""
        index = _INDEX.get(self.name, len(CHAIN))
        stage = _INDEX["phi_tic"] if self.name in PHI else index
        return stage, self.phi_tic or 0, index, self.phi_tic is None, self.name

    def __str__(self) -> str:
        return self.name if self.phi_tic is None else f"{self.name} of φ step {self.phi_tic}"


@dataclass(frozen=True)
class TraceFile:
    """The taps of a file by key."""

    path: str
    kind: str
    """``log``, ``json``, or ``backend``, which tells which taps can be there."""
    taps: Mapping[Key, Value]

    def number(self, key: Key) -> float | None:
        """The value of a tap that is one number; None for any other."""
        value = self.taps.get(key)
        return value[0] if isinstance(value, tuple) and len(value) == 1 else None

    def can_have(self, key: Key) -> bool:
        """Whether a file of this kind lacks a tap by mistake."""
        if self.kind == "log":
            return key.phi_tic is None or key.name in _IN_LOG
        return self.kind == "json" or key.name in _IN_BACKEND


NO_VECTORS = ("angles_rad", "beam_center_m")
"""Taps of numbers that each have a name and a size of their own."""


@dataclass(frozen=True)
class Difference:
    """A tap beyond its tolerance; a value of None is missing."""

    key: Key
    a: Value | None
    b: Value | None
    largest: float | None
    """|Δ| of the component that differs most beyond its tolerance; None for words and missing values."""
    allowed: float | None


@dataclass(frozen=True)
class Diff:
    """All that differs between two traces, in the order of the chain."""

    a: TraceFile
    b: TraceFile
    compared: int
    differences: tuple[Difference, ...]
    label: str | None
    """The known difference between the modes whose pattern the first one has."""

    @property
    def first(self) -> Difference | None:
        """Where it begins."""
        return self.differences[0] if self.differences else None

    def depends_on(self, key: Key) -> list[tuple[str, str]]:
        """What a tap is computed from, each with "agrees", "differs" or, for options, "not traced"."""
        differing = {difference.key for difference in self.differences}
        both = self.a.taps.keys() & self.b.taps.keys()
        of_every_step = key.name in SCALING and key.phi_tic is None

        def state(name: str) -> str:
            same_step = {
                k for k in both | differing
                if k.name == name and (of_every_step or name not in PHI or (k.phi_tic or 0) == (key.phi_tic or 0))
            }  # fmt: skip
            if same_step & differing:
                return "differs"
            return "agrees" if same_step else "not traced"

        return [(name, state(name)) for name in CHAIN.get(key.name, ())]


def diff_traces(a: TraceFile, b: TraceFile, tolerances: Mapping[str, float] | None = None) -> Diff:
    """Compare two traces tap by tap.

    Parameters
    ----------
    a, b : TraceFile
    tolerances : mapping of str to float, optional
        By the name of a tap, in place of :data:`~nbnumba.tolerances.TAPS`: absolute for Miller indices, else relative.
    """
    given = {name: _given_tolerance(name, value) for name, value in (tolerances or {}).items()}
    differences = []
    compared = 0
    for key in sorted(a.taps.keys() | b.taps.keys(), key=lambda key: key.place):
        one, other = a.taps.get(key), b.taps.get(key)
        if one is None or other is None:
            if (a if one is None else b).can_have(key):
                differences.append(Difference(key, one, other, None, None))
            continue
        compared += 1
        difference = _difference(key, one, other, given.get(key.name) or tolerance_of(key.name))
        if difference is not None:
            differences.append(difference)
    return Diff(a, b, compared, tuple(differences), _label(a.taps, b.taps, differences[0].key if differences else None))


def tolerance_of(name: str) -> TapTolerance:
    """The tolerance of a tap where none is given."""
    return TAPS.get(name, TAP)


def _given_tolerance(name: str, value: float) -> TapTolerance:
    return TapTolerance(0.0, value) if tolerance_of(name).relative == 0.0 else TapTolerance(value, 0.0)


def _difference(key: Key, a: Value, b: Value, tolerance: TapTolerance) -> Difference | None:
    if isinstance(a, str) or isinstance(b, str) or len(a) != len(b):
        return None if a == b else Difference(key, a, b, None, None)
    parts = [((x,), (y,)) for x, y in zip(a, b, strict=True)] if key.name in NO_VECTORS else [(a, b)]
    beyond = [found for found in (_excess(*part, tolerance) for part in parts) if found is not None]
    return Difference(key, a, b, *max(beyond)) if beyond else None


def _excess(a: tuple[float, ...], b: tuple[float, ...], tolerance: TapTolerance) -> tuple[float, float] | None:
    """|Δ| of the component that differs most and what is allowed, where that is less."""
    largest = max((_distance(x, y) for x, y in zip(a, b, strict=True)), default=0.0)
    allowed = max(tolerance.absolute, tolerance.relative * max((abs(x) for x in (*a, *b)), default=0.0))
    return None if largest <= allowed and largest < math.inf else (largest, allowed)


def _distance(x: float, y: float) -> float:
    """|x − y|; what is not a number is at home with its like alone."""
    if x == y or (math.isnan(x) and math.isnan(y)):
        return 0.0
    return abs(x - y) if math.isfinite(x) and math.isfinite(y) else math.inf


# Patterns of known differences -----------------------------------------------------------------------------------

Taps = Mapping[Key, Value]


def _label(a: Taps, b: Taps, first: Key | None) -> str | None:
    """The first label of :data:`PATTERNS` that fits the first divergence."""
    if first is None:
        return None
    return next((label for label, fits in PATTERNS.items() if fits(a, b, first)), None)


def _normal_flipped(a: Taps, b: Taps, first: Key) -> bool:
    one, other = _numbers(a, "initial_odet"), _numbers(b, "initial_odet")
    return first.name == "initial_odet" and _close(one, [-x for x in other])


def _pivot_differs(a: Taps, b: Taps, first: Key) -> bool:
    """The corner turns with the detector under the sample pivot alone."""
    corner = Key("pix0_before_rotation")
    return first.name in DETECTOR and (corner in a) != (corner in b)


def _twotheta_in_ratio(a: Taps, b: Taps, first: Key) -> bool:
    return first.name == "ratio" and _numbers(a, "angles_rad")[3:] != [0.0]


def _corner_given(a: Taps, b: Taps, first: Key) -> bool:
    """The corner is the sum of its terms on one side, and given by an option on the other."""
    names = [f"term_{axis}_before_rot" for axis in ("fast", "slow", "close")]

    def is_sum(taps: Taps) -> bool:
        terms = [_numbers(taps, name) for name in names]
        return _close(_numbers(taps, "pix0_before_rotation"), [sum(x) for x in zip(*terms, strict=False)])

    return first.name == "pix0_before_rotation" and is_sum(a) != is_sum(b)


def _curved(a: Taps, b: Taps, first: Key) -> bool:
    """A pixel that keeps the detector's distance on both sides, but not its place."""
    reaches = [(_numbers(taps, "R_distance_meters"), _numbers(taps, "distance_m")) for taps in (a, b)]
    return first.name == "pixel_pos_meters" and all(_close(*reach) for reach in reaches)


def _cell_kept(a: Taps, b: Taps, first: Key) -> bool:
    """At φ = 0 one side has the cell of the step before, of the last one where it is the first."""
    steps = [key.phi_tic for key in a if key.name == "k_frac" and key.phi_tic is not None]
    # The cell of the pixel is that of φ step 0.
    tic = first.phi_tic or 0
    if first.name not in ("k_frac", "rot_a_angstroms", "rot_b_angstroms", "rot_c_angstroms") or len(steps) < 2:
        return False
    before = max(steps) if tic == 0 else tic - 1

    def kept(taps: Taps) -> bool:
        now = _numbers(taps, "k_frac", tic)
        return _numbers(taps, "phi_deg", tic) == [0.0] and _close(now, _numbers(taps, "k_frac", before))

    return kept(a) != kept(b)


def _oversampled(a: Taps, b: Taps, first: Key) -> bool:
    flags = ("oversample_thick", "oversample_polar", "oversample_omega")
    return first.name == "I_before_scaling" and any(_numbers(a, flag) == [1.0] for flag in flags)


def _layers(a: Taps, b: Taps, first: Key) -> bool:
    fractions = _numbers(a, "capture_fraction") + _numbers(b, "capture_fraction")
    return first.name in ("capture_fraction", "I_before_scaling") and all(0.0 < x < 1.0 for x in fractions)


PATTERNS: dict[str, Callable[[Taps, Taps, Key], bool]] = {
    "C-2": _normal_flipped,
    "C-3": _pivot_differs,
    "C-4": _twotheta_in_ratio,
    "C-5": _corner_given,
    "C-6": _curved,
    "C-9": _cell_kept,
    "C-11": _oversampled,
    "C-20": _layers,
}
"""Differences between the modes that a trace can tell apart by what the first divergence looks like."""


def _numbers(taps: Taps, name: str, phi_tic: int | None = None) -> list[float]:
    value = taps.get(Key(name, phi_tic), ())
    return [] if isinstance(value, str) else list(value)


def _close(one: Sequence[float], other: Sequence[float]) -> bool:
    pairs = zip(one, other, strict=False)
    return len(one) == len(other) > 0 and all(
        math.isclose(x, y, rel_tol=TAP.relative, abs_tol=TAP.absolute) for x, y in pairs
    )


# Files -----------------------------------------------------------------------------------------------------------

_LINE = re.compile(
    r"TRACE_(?:C|PY):(?P<name>\w+)=(?P<value>.+)"
    r"|TRACE_(?:C|PY): (?P<tap>\w+) (?P<values>.+)"
    r"|TRACE_(?:C|PY)_PHI (?P<phi>.+)"
    r"|TRACE_CONFIG: tracing pixel \((?P<config>.+)\)"
)


def read_trace(path: str) -> TraceFile:
    """A trace from a log, of whichever program, or from the JSON that ``nbnumba trace`` writes.

    Lines of a log that are no taps are skipped, so what a program printed may be given as it is.

    Raises
    ------
    InputFileError
        A file that is missing or holds no trace, a tap that cannot be read or comes twice, by line.
    """
    text = read_text(path, "the trace")
    return _from_json(path, text) if text.lstrip().startswith("{") else _from_log(path, text)


def _from_log(path: str, text: str) -> TraceFile:
    taps: dict[Key, Value] = {}
    for number, line in zip(count(1), text.splitlines(), strict=False):
        if not line.startswith("TRACE_"):
            continue
        match = _LINE.fullmatch(line.rstrip())
        try:
            found = dict(_taps_of_line(match)) if match else {}
        except (ValueError, KeyError):
            found = {}
        if not found:
            raise InputFileError(f"{path}:{number}: {line.strip()!r} must be a tap: a name and its value")
        for key, value in found.items():
            if key in taps:
                raise InputFileError(f"{path}:{number}: {key} comes a second time; give the trace of one pixel")
            taps[key] = value
    if not taps:
        raise InputFileError(f"{path}: no line begins with TRACE_; must be a trace of one pixel")
    return TraceFile(path, "log", taps)


def _taps_of_line(match: re.Match[str]) -> Iterator[tuple[Key, Value]]:
    if match["name"]:
        yield Key(match["name"]), _value(match["value"])
    elif match["tap"]:
        yield Key(match["tap"]), _value(match["values"])
    elif match["config"]:
        for name, number in re.findall(r"(\w+)=(\d+)", match["config"]):
            yield Key(name), (float(number),)
    else:
        pairs = dict(pair.split("=") for pair in match["phi"].split())
        phi_tic = int(pairs.pop("phi_tic"))
        for name, number in pairs.items():
            yield Key(name, phi_tic), (float(number),)


def _value(text: str) -> Value:
    """Numbers, each of which may have a name and a colon before it; else a word."""
    numbers = [word.rpartition(":")[2] for word in text.split()]
    try:
        return tuple(float(number) for number in numbers)
    except ValueError:
        if len(numbers) > 1:
            raise
        return text.strip()


def _from_json(path: str, text: str) -> TraceFile:
    taps: dict[Key, Value] = {}
    try:
        content = json.loads(text)
        for block in ("config", "detector", "pixel", "scaling"):
            taps |= {Key(name): _plain(value) for name, value in content[block].items()}
        for step in content["phi"]:
            phi_tic = index(step.pop("phi_tic"))
            taps |= {Key(name, phi_tic): _floats(value) for name, value in step.items()}
        kind = "json" if content["arithmetic"] == "reference" else "backend"
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise InputFileError(f"{path}: {error}; must be JSON as nbnumba trace writes it") from error
    return TraceFile(path, kind, taps)


def _plain(value: Any) -> Value:
    return value if isinstance(value, str) else _floats(list(value.values()) if isinstance(value, dict) else value)


def _floats(value: Any) -> tuple[float, ...]:
    """Numbers alone: what float() would read in a text is none."""
    numbers = value if isinstance(value, list) else [value]
    if any(isinstance(number, str) for number in numbers):
        raise TypeError(f"{value!r} is no number")
    return tuple(float(number) for number in numbers)
