"""A CUDA driver without a card, for tests and benchmarks of what the host does: ``driver.c`` says what it can."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from benchmarks.cases import ROOT

SOURCE = Path(__file__).with_name("driver.c")


def compiler() -> str | None:
    """The C compiler of this machine, if it has one."""
    return shutil.which("cc") or shutil.which("gcc")


def build(folder: Path) -> None:
    """Make the driver, by both names that a driver is looked for, in ``folder``."""
    library = folder / "libcuda.so.1"
    # With its own name: else another one that is there already would be taken for it.
    flags = "-O2 -Wall -Wextra -Werror -fPIC -fvisibility=hidden -pthread -shared -Wl,-soname,libcuda.so.1".split()
    subprocess.run([compiler(), *flags, "-o", library, SOURCE], check=True)
    (folder / "libcuda.so").symlink_to(library.name)


def environment(folder: Path, **settings: object) -> dict[str, str]:
    """That of a process over the driver in ``folder``; ``count=2`` sets NO_CARD_COUNT."""
    inherited = {name: value for name, value in os.environ.items() if name != "NUMBA_ENABLE_CUDASIM"}
    paths = {
        name: os.pathsep.join(filter(None, [str(first), inherited.get(name)]))
        for name, first in (("LD_LIBRARY_PATH", folder), ("PYTHONPATH", ROOT))
    }
    return inherited | paths | {f"NO_CARD_{name.upper()}": str(value) for name, value in settings.items()}
