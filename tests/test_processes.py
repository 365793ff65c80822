"""Renders after, during and beside forks and threads, and after Ctrl-C: the same image always, and soon."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


@cache
def hash_of(way: str, cache_folder: str | None = None) -> str:
    kept = {} if cache_folder is None else {"NUMBA_CACHE_DIR": cache_folder}
    finished = subprocess.run(
        [sys.executable, HERE / "ways_to_render.py", way], capture_output=True, text=True, check=False,
        timeout=300, env={**os.environ, "PYTHONPATH": str(HERE.parent), **kept},
    )  # fmt: skip
    assert (finished.returncode, finished.stderr) == (0, "")
    return finished.stdout


@pytest.mark.parametrize(
    "way",
    [
        "fork", "fork of a fork", "fork during a render", "fork during the first render", "threads", "pool of forks",
        "forkserver", "spawn", "interrupts",
    ],
)  # fmt: skip
def test_image_does_not_depend_on_where_it_is_rendered(way: str) -> None:
    assert hash_of(way) == hash_of("plain")


@pytest.mark.slow
@pytest.mark.parametrize("way", ["interrupts", "fork during the first render", "threads", "pool of forks"])
def test_the_same_where_kernels_are_yet_to_be_compiled(way: str, tmp_path: Path) -> None:
    assert hash_of(way, str(tmp_path)) == hash_of("plain")
