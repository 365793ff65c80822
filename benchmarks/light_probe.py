"""First light's small pieces: ``python -m benchmarks.light_probe environment``, ``image`` or ``render``."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from nbnumba.choices import PRECISIONS

from .first_light import ROOT, row

PACKAGES = (
    "numpy numba llvmlite numba-cuda cuda-bindings cuda-core cuda-pathfinder nvidia-nvvm nvidia-nvjitlink "
    "nvidia-cuda-nvrtc scipy gemmi matplotlib tqdm pytest hypothesis"
).split()
STILL = "-cell 70 80 90 75 85 95 -misset 10 20 30 -default_F 100 -lambda 1 -distance 100 -pixel 0.5 -N 5 -oversample 2"
MOSAIC = (
    "-cell 79.1 79.1 37.9 90 90 90 -misset 12 34 56 -default_F 100 -lambda 1 -distance 200 -pixel 0.2 -N 20 "
    "-oversample 1 -mosaic 0.3 -mosaic_domains 20 -phi 1 -osc 1 -phisteps 10"
)


def environment() -> bool:
    """What there is on this machine."""
    said("git", "log", "-1", "--format=%h %s")
    said("nvidia-smi", "--query-gpu=name,driver_version,memory.total,power.limit", "--format=csv,noheader")
    said("nvidia-smi", only_log=True)
    row(f"Python {platform.python_version()}, {os.cpu_count()} processors")
    row(", ".join(f"{name} {found(name) or '-'}" for name in PACKAGES))
    row(f"CUDA_HOME {os.environ.get('CUDA_HOME', '-')}; libnvvm {libnvvm()}")
    row(", ".join(f"{program} {shutil.which(program) or '-'}" for program in ("nvcc", "ncu", "compute-sanitizer")))
    return True


def said(*words: str, only_log: bool = False) -> None:
    """What a program prints."""
    try:
        text = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=10, check=False).stdout.strip()
    except (OSError, subprocess.TimeoutExpired) as error:
        text = str(error)
    if only_log:
        print(text, flush=True)
    else:
        row(text.replace("\n", "; ") or f"{words[0]} says nothing")


def found(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def libnvvm() -> str:
    """The library that numba-cuda would load."""
    try:
        from cuda.pathfinder import load_nvidia_dynamic_lib

        return str(load_nvidia_dynamic_lib("nvvm").abs_path)
    except Exception as error:
        return f"not found ({type(error).__name__})"


def image(pixels: int) -> bool:
    """Hold a small image against the reference renderer's; whether it is right, and the same again."""
    from nbnumba.errors import DeviceError
    from nbnumba.render.cuda import cards
    from nbnumba.render.job import render
    from nbnumba.tolerances import BY_PRECISION

    from .measure import agreement_of, resolved_of

    reason = cards.why_unusable()
    if reason is not None:
        row(f"no card to use: {reason}")
        return False
    row(", ".join(f"{name} {value}" for name, value in cards.versions().items()))
    for card in cards.cards():
        row(str(card))
    resolved = resolved_of([*STILL.split(), "-detpixels", str(pixels)], ROOT)
    wanted, good = render(resolved, "reference").photons, True
    for precision, tolerance in BY_PRECISION.items():
        try:
            first_s, first = timed(render, resolved, "cuda", precision)
            again_s, again = timed(render, resolved, "cuda", precision)
        except DeviceError as error:
            row(f"{precision}: {error}")
            good = False
            continue
        worst = agreement_of(first.photons, wanted, tolerance).worst
        same = first.photons.tobytes() == again.photons.tobytes()
        good = good and worst <= 1.0 and same
        row(
            f"{precision}: worst difference {worst:.2g} of the tolerance, "
            f"{'the same' if same else 'OTHER'} bits again; first {first_s:.2f} s, then {1e3 * again_s:.2f} ms"
        )
    return good


def timed(work: Callable[..., Any], *args: object) -> tuple[float, Any]:
    began = time.perf_counter()
    result = work(*args)
    return time.perf_counter() - began, result


def rendered(precision: str, pixels: int) -> bool:
    """One image twice, for tools that watch it."""
    from nbnumba.render.job import render

    from .measure import resolved_of

    resolved = resolved_of([*MOSAIC.split(), "-detpixels", str(pixels)], ROOT)
    for _ in range(2):
        print("photons:", render(resolved, "cuda", precision).photons.sum(dtype=float))
    return True


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m benchmarks.light_probe", description=__doc__)
    pieces = parser.add_subparsers(dest="piece", required=True)
    pieces.add_parser("environment", help="what there is on this machine")
    image_parser = pieces.add_parser("image", help="a small image against the reference renderer's")
    image_parser.add_argument("-tiny", action="store_true", help="of 8 x 8 pixels")
    render_parser = pieces.add_parser("render", help="one image, for tools that watch it")
    render_parser.add_argument("precision", choices=PRECISIONS)
    render_parser.add_argument("pixels", type=int)
    options = parser.parse_args(argv)
    if options.piece == "environment":
        good = environment()
    elif options.piece == "image":
        good = image(8 if options.tiny else 64)
    else:
        good = rendered(options.precision, options.pixels)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
