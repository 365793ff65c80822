"""CUDA cards: what there is, what is missing, and what is said where one fails."""

import contextlib
import importlib
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ...errors import DeviceError

INSTALL = "pip install 'nbnumba[cuda]'"
INSTALL_OLDER = "pip install 'numba-cuda[cu12]'"
OTHER_TOOLKIT = "set CUDA_HOME to the folder of a CUDA toolkit"
NO_CARD = "the CUDA driver finds no card: check nvidia-smi and CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True)
class Card:
    """A CUDA device."""

    number: int
    name: str
    compute_capability: tuple[int, int]
    memory_bytes: int
    free_bytes: int


def seems_present() -> bool:
    """Whether the system shows signs of an NVIDIA card; looks at files only, loads nothing."""
    if sys.platform == "win32":
        return Path(os.environ.get("SYSTEMROOT", "C:/Windows"), "System32", "nvcuda.dll").exists()
    return any(Path(path).exists() for path in ("/dev/nvidiactl", "/dev/dxg", "/proc/driver/nvidia/version"))


def why_unusable(device: int = 0) -> str | None:
    """Why card number ``device`` cannot render, in one line with the remedy; None where it can."""
    try:
        provider = cuda_provider()
    except ImportError as error:
        return f"no CUDA package ({_first_line(error)}): {INSTALL}"
    if provider.is_simulator:
        return None
    try:
        count = provider.card_count()
    except Exception as error:
        if "NO_DEVICE" in str(error):
            return NO_CARD
        return f"no CUDA driver ({_first_line(error)}): install NVIDIA's driver for the card"
    if not count:
        return NO_CARD
    if not 0 <= device < count:
        return f"there is no card number {device}: the driver finds {count}, numbered from 0"
    compiler = provider.compiler_error()
    if compiler is None:
        return _misfit(device)
    return f"no CUDA compiler ({compiler}; it was looked for in {_compiler_places()}): {INSTALL}, or {OTHER_TOOLKIT}"


def _compiler_places() -> str:
    """Where libnvvm is looked for, one place after the other, but for conda's."""
    named = [f"{name}={os.environ[name]}" for name in ("CUDA_PATH", "CUDA_HOME") if os.environ.get(name)]
    return f"the wheel nvidia-nvvm, the loader's folders and {' or '.join(named) or 'CUDA_HOME, which is not set'}"


def _misfit(device: int) -> str | None:
    """Why the compiler that is installed does not serve the driver or the card; None where it does."""
    provider = cuda_provider()
    try:
        driver, compiler = provider.driver_version(), provider.compiler_version()
        card, lowest = provider.capability(device), provider.lowest_capability()
    except Exception:
        # What a provider cannot be asked shows when a kernel is compiled.
        return None
    if driver[0] < compiler[0]:
        return (
            f"the driver serves CUDA {_dotted(driver)}, the compiler is for {_dotted(compiler)}: "
            f"install a newer driver, or {INSTALL_OLDER}"
        )
    if card < lowest:
        return (
            f"card {device} has compute capability {_dotted(card)}, the compiler serves {_dotted(lowest)} and later: "
            f"{INSTALL_OLDER}, or another card"
        )
    return None


def _dotted(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))


def card_numbers() -> list[int]:
    """Numbers of the cards that the driver finds; the simulator's one; none where there is no driver."""
    try:
        provider = cuda_provider()
        return [0] if provider.is_simulator else list(range(provider.card_count()))
    except Exception:
        return []


def cards() -> Iterator[Card | str]:
    """The cards that the driver finds, or why one of them cannot be used; none where there is no driver."""
    if card_numbers() and not cuda_provider().is_simulator:
        yield from map(_described, card_numbers())


def _described(number: int) -> Card | str:
    try:
        return Card(number, *cuda_provider().describe(number))
    except Exception as error:
        return f"card {number} cannot be used ({_first_line(error)}): is it set aside for another process?"


def usable_cards() -> tuple[list[int], list[str]]:
    """Numbers of the cards that can render, the simulator's one too, and why each other one cannot."""
    usable, reasons = [], []
    for number in card_numbers():
        card = None if cuda_provider().is_simulator else _described(number)
        reason = card if isinstance(card, str) else why_unusable(number)
        if reason is None:
            usable.append(number)
        else:
            reasons.append(reason)
    return usable, reasons


def versions() -> dict[str, str]:
    """Who provides CUDA, and the versions and places of what it uses, or why that is not there."""
    try:
        provider = cuda_provider()
    except ImportError:
        return {}
    found = {"provider": provider.name}
    if provider.is_simulator:
        return found
    questions: dict[str, Callable[[], str]] = {
        "driver": lambda: _dotted(provider.driver_version()),
        "toolkit": lambda: _dotted(provider.compiler_version()),
        "compiler": lambda: provider.compiler_library(),
        "linker": lambda: provider.linker(),
    }
    for what, ask in questions.items():
        try:
            found[what] = ask()
        except Exception as error:
            found[what] = f"none ({_first_line(error)})"
    return found


_usable: dict[int, Callable[[], Any]] = {}
"""By card, the provider with which it could be used."""


@contextlib.contextmanager
def on(device: int) -> Iterator[None]:
    """The card made current, and whatever goes wrong on it said in one line."""
    # A card that could be used is not asked again: in a series that would be for every image.
    if _usable.get(device) is not cuda_provider:
        reason = why_unusable(device)
        if reason is not None:
            raise DeviceError(reason)
        _usable[device] = cuda_provider
    try:
        with cuda_provider().cuda.gpus[device]:
            yield
    except (DeviceError, MemoryError):
        raise
    except Exception as error:
        raise DeviceError(_failure(error)) from error


_FAILURES: tuple[tuple[tuple[str, ...], tuple[str, ...], str], ...] = (
    (("OUT_OF_MEMORY",), (), "the GPU ran out of memory ({text}): close what else runs on it"),
    (
        ("UNSUPPORTED_PTX_VERSION",),
        (),
        "the driver cannot link what a newer compiler made ({text}): "
        f"{INSTALL}, which brings nvJitLink, or install a newer driver",
    ),
    (
        ("Missing libdevice",),
        ("DynamicLibNotFoundError", "FunctionNotFoundError", "NvvmSupportError", "NvrtcSupportError"),
        f"a library of CUDA is missing or of another release ({{text}}): {INSTALL}, or {OTHER_TOOLKIT}",
    ),
    (
        ("INVALID_PTX", "INVALID_IMAGE", "NO_BINARY_FOR_GPU"),
        ("NvvmError", "nvvmError", "LinkerError", "nvJitLinkError", "NvrtcError", "NVRTCError", "NumbaError"),
        "a kernel does not compile for the GPU ({kind}: {text}): report it with what `nbnumba devices` prints",
    ),
    ((), ("Exception",), "the GPU failed ({text}): try again"),
)
"""What may be in an error's text, of which classes it may be, and what is said then; the first row that fits counts.

Numba, numba-cuda and NVIDIA's packages below it each have classes of their own, which are not all installed.
"""


def _failure(error: Exception) -> str:
    text, kind = _first_line(error), type(error)
    classes = {base.__name__ for base in kind.__mro__}
    said = next(said for words, names, said in _FAILURES if classes & {*names} or any(word in text for word in words))
    return f"{said.format(text=text, kind=kind.__name__)}, or use -backend cpu"


@cache
def cuda_provider() -> Any:
    """The module through which all goes that is CUDA; an ImportError without a package for it."""
    return importlib.import_module("nbnumba.kernels.cuda.provider")


def _first_line(error: BaseException) -> str:
    """What an error says first, without the driver's headline."""
    text = str(error).removeprefix("Error at driver init:")
    # Where libraries are not found, a line names them, and then again for each place that has no such file.
    said = [line.partition(": No such file")[0].strip(" :.") for line in text.splitlines()]
    return next((line for line in said if line), type(error).__name__)
