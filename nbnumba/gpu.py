"""Rendering on CUDA cards: what there is, what is missing, and how an image is cut into launches."""

import contextlib
import importlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import DeviceError

INSTALL = "pip install 'nbnumba[cuda]'"
INSTALL_OLDER = "pip install 'numba-cuda[cu12]'"
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
    return _misfit(device) if compiler is None else f"no CUDA compiler ({compiler}): {INSTALL}"


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
    if not card_numbers() or cuda_provider().is_simulator:
        return
    for number in card_numbers():
        try:
            yield Card(number, *cuda_provider().describe(number))
        except Exception as error:
            yield f"card {number} cannot be used ({_first_line(error)}): is it set aside for another process?"


def versions() -> dict[str, str]:
    """Who provides CUDA, and the driver's version, as far as they can be had."""
    try:
        provider = cuda_provider()
    except ImportError:
        return {}
    found = {"provider": provider.name}
    with contextlib.suppress(Exception):
        found["driver"] = _dotted(provider.driver_version())
    return found


@contextlib.contextmanager
def on(device: int) -> Iterator[None]:
    """The card made current, and whatever goes wrong on it said in one line."""
    reason = why_unusable(device)
    if reason is not None:
        raise DeviceError(reason)
    try:
        with cuda_provider().cuda.gpus[device]:
            yield
    except (DeviceError, MemoryError):
        raise
    except Exception as error:
        raise DeviceError(_failure(error)) from error


def _failure(error: Exception) -> str:
    text, kind = _first_line(error), type(error)
    if "OUT_OF_MEMORY" in text:
        return f"the GPU ran out of memory ({text}): close what else runs on it, or use -backend cpu"
    compiler = ("NvvmError", "LinkerError", "NumbaError", "NvrtcError")
    if any(base.__name__ in compiler for base in kind.__mro__):
        return f"a kernel does not compile for the GPU ({kind.__name__}: {text}): use -backend cpu, and report it"
    return f"the GPU failed ({text}): try again, or use -backend cpu"


def cuda_provider() -> Any:
    """The module through which all goes that is CUDA; an ImportError without a package for it."""
    return importlib.import_module("nbnumba.kernels.cuda_provider")


def _first_line(error: BaseException) -> str:
    """What an error says first, without the driver's headline."""
    text = str(error).removeprefix("Error at driver init:")
    said = [line.strip(" :.") for line in text.splitlines()]
    return next((line for line in said if line), type(error).__name__)
