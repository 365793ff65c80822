"""Traces of a pixel as files: logs of whichever program, and the JSON that ``nbnumba trace`` writes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from operator import index
from typing import Any

from ..errors import InputFileError
from ..formats.files import read_text
from .taps import Key, Taps, Value

_IN_LOG = {"phi_deg", "k_frac", "F_latt_b", "F_latt"}
_IN_BACKEND = {"spixel", "fpixel", "phi_deg", "photons", "floatimage_accumulated"}
_LINE = re.compile(
    r"TRACE_(?:C|PY):(?P<name>\w+)=(?P<value>.+)"
    r"|TRACE_(?:C|PY): (?P<tap>\w+) (?P<values>.+)"
    r"|TRACE_(?:C|PY)_PHI (?P<phi>.+)"
    r"|TRACE_CONFIG: tracing pixel \((?P<config>.+)\)"
)


@dataclass(frozen=True)
class TraceFile:
    """The taps of a file by key."""

    path: str
    kind: str
    """``log``, ``json``, or ``backend``, which tells which taps can be there."""
    taps: Taps

    def number(self, key: Key) -> float | None:
        """The value of a tap that is one number; None for any other."""
        value = self.taps.get(key)
        return value[0] if isinstance(value, tuple) and len(value) == 1 else None

    def can_have(self, key: Key) -> bool:
        """Whether a file of this kind lacks a tap by mistake."""
        if self.kind == "log":
            return key.phi_tic is None or key.name in _IN_LOG
        return self.kind == "json" or key.name in _IN_BACKEND


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
