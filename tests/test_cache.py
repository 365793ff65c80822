"""The folder of compiled kernels: whatever is wrong with it costs time and one warning, never an image."""

from __future__ import annotations

import os
import pickle
import random
import shlex
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from nbnumba.kernels.compile import cache, jit

ROOT = Path(__file__).resolve().parent.parent
GOOD = "-cell 70 80 90 -N 3 -default_F 100 -detpixels 16 -pixel 1 -backend cpu -quiet -seed 1"
OUTPUTS = ("floatimage.bin", "intimage.img", "image.pgm", "noiseimage.img")
STEMS = ("cpu.tables.make_tables", "counting.draws.draw_poisson", "cpu.render.render-")

posix = pytest.mark.skipif(os.name != "posix", reason="needs owners and permissions")


# Damages -----------------------------------------------------------------------------------------------------------


def shorten(file: Path, rng: random.Random) -> None:
    file.write_bytes(file.read_bytes()[: rng.randrange(file.stat().st_size)])


def lengthen(file: Path, rng: random.Random) -> None:
    file.write_bytes(file.read_bytes() + rng.randbytes(10))


def empty(file: Path, rng: random.Random) -> None:
    file.write_bytes(b"")


def flip(file: Path, rng: random.Random) -> None:
    content = bytearray(file.read_bytes())
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    file.write_bytes(content)


def scramble(file: Path, rng: random.Random) -> None:
    file.write_bytes(rng.randbytes(file.stat().st_size))


def blank(file: Path, rng: random.Random) -> None:
    content = bytearray(file.read_bytes())
    start = rng.randrange(len(content))
    content[start : start + 4096] = bytes(len(content[start : start + 4096]))
    content[0] ^= 1
    file.write_bytes(content)


class Trap:
    """Ends whoever unpickles it."""

    def __reduce__(self) -> tuple[Callable[[int], None], tuple[int]]:
        return os._exit, (99,)


def strange_pickle(file: Path, rng: random.Random) -> None:
    file.write_bytes(file.read_bytes()[: cache.SUM_BYTES] + pickle.dumps(Trap()))


def another_file(file: Path, rng: random.Random) -> None:
    others = sorted(other for other in file.parent.glob("*.kernel") if other.name != file.name)
    if others:
        content = rng.choice(others).read_bytes()
        file.unlink()
        file.write_bytes(content)
    else:
        empty(file, rng)


def folder_in_its_place(file: Path, rng: random.Random) -> None:
    file.unlink()
    file.mkdir()


def forbidden(file: Path, rng: random.Random) -> None:
    # Root may read it all the same.
    file.chmod(0)


def dangling(file: Path, rng: random.Random) -> None:
    file.unlink()
    file.symlink_to("nowhere/else")


DAMAGES = [
    shorten, lengthen, empty, flip, scramble, blank, strange_pickle, another_file, folder_in_its_place, forbidden,
    dangling,
]  # fmt: skip


# One function ------------------------------------------------------------------------------------------------------


def double_of(x):  # type: ignore[no-untyped-def]
    return 2.0 * x


def other_of(x):  # type: ignore[no-untyped-def]
    return 3.0 * x


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(jit, "CACHE_FOLDER", str(tmp_path))
    return tmp_path


def value(function: Callable[[float], float] = double_of) -> tuple[float, bool, str | None]:
    """What a newly decorated function gives for 4, whether it was found compiled, and what was said about that."""
    cache._told, cache._first_trouble = False, None
    dispatcher = jit.compiled()(function)
    result = dispatcher(4.0)
    return result, bool(dispatcher.stats.cache_hits), cache.untold_trouble()


def test_what_was_compiled_is_found(folder: Path) -> None:
    assert value() == (8.0, False, None)
    assert value() == (8.0, True, None)
    assert value(other_of) == (12.0, False, None)
    assert [stat.S_ISREG(file.stat().st_mode) for file in folder.iterdir()] == [True, True]


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_file_is_compiled_anew(folder: Path, damage: Callable[[Path, random.Random], None]) -> None:
    value(other_of)
    before = set(folder.iterdir())
    value()
    (file,) = set(folder.iterdir()) - before
    damage(file, random.Random(1))
    result, found, trouble = value()
    assert result == 8.0
    if damage is forbidden and os.geteuid() == 0:
        return
    assert not found
    # One that is not there is no damage.
    assert (damage is dangling) or (trouble is not None and str(file) in trouble)
    if damage is not folder_in_its_place:
        assert value() == (8.0, True, None)


def test_full_disk_costs_no_result(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    result, found, trouble = value()
    assert (result, found) == (8.0, False)
    assert trouble is not None
    assert "cannot be kept" in trouble
    assert "No space left on device" in trouble
    assert not list(folder.iterdir())


def test_trouble_is_told_once(folder: Path) -> None:
    for function in (double_of, other_of):
        value(function)
    for file in folder.iterdir():
        file.write_bytes(b"")
    cache._told, cache._first_trouble = False, None
    for function in (double_of, other_of):
        jit.compiled()(function)(1.0)
    assert cache.untold_trouble() is not None
    assert cache.untold_trouble() is None


KEPT = """
import sys
from typing import NamedTuple

import numpy as np

from nbnumba.kernels.compile.jit import compiled


class Pair(NamedTuple):
    doubled: np.ndarray
    total: int


@compiled()
def pair_of(values):
    return Pair(2.0 * values.astype(np.float64), values.sum())


@compiled()
def room_for(count):
    return np.empty(count)


@compiled()
def caller(values):
    return pair_of(values).doubled[-1] + 1.0


pair = pair_of(np.arange(3))
print(type(pair) is Pair, pair.doubled, pair.doubled.dtype, pair.total)
try:
    room_for(-1)
except ValueError as error:
    print(error)
ready = "numba.np.linalg" in sys.modules
print(caller(np.arange(3)))
print([bool(kept.stats.cache_hits) for kept in (pair_of, room_for, caller)], ready)
"""


def test_what_was_kept_needs_no_compiler_until_it_is_called_by_new_code(tmp_path: Path) -> None:
    """Arrays, tuples and errors are as they were; and a caller that is compiled later finds what it calls."""
    (tmp_path / "kept.py").write_text(KEPT)

    def said() -> list[str]:
        command = [sys.executable, "-c", "import kept"]
        there = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
        return subprocess.run(command, cwd=tmp_path, env=there, capture_output=True, text=True, check=True,
                              timeout=100).stdout.splitlines()  # fmt: skip

    *first, found = said()
    assert first == ["True [0. 2. 4.] float64 3", "negative dimensions not allowed", "5.0"]
    assert found == "[False, False, False] True"
    for file in tmp_path.glob("*/kept.caller*"):
        file.unlink()
    assert said() == [*first, "[True, True, False] False"]
    assert said() == [*first, "[True, True, True] False"]


def test_a_symbol_that_nobody_knows_is_looked_for_in_all_of_numba() -> None:
    class Context:
        refreshed = 0

        def refresh(self) -> None:
            self.refreshed += 1

    context = Context()
    cache._make_callable(["NRT_Free", "PyTuple_New"], context)
    assert context.refreshed == 0
    cache._make_callable(["NRT_Free", "nobody_knows_this"], context)
    assert context.refreshed == 1


# The folder --------------------------------------------------------------------------------------------------------


@pytest.fixture
def trouble(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[], str | None]:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "root"))
    monkeypatch.setattr(cache, "_first_trouble", None)
    monkeypatch.setattr(cache, "_told", False)
    return cache.untold_trouble


def chosen() -> str | None:
    return cache.cache_folder(ROOT / "kernels")


@posix
def test_folder_is_its_owners_alone(trouble: Callable[[], str | None]) -> None:
    folder = chosen()
    assert folder is not None
    assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700
    assert (chosen(), trouble()) == (folder, None)


@posix
@pytest.mark.parametrize("mode", [0o770, 0o702, 0o777])
def test_folder_that_others_can_write_into_is_refused(trouble: Callable[[], str | None], mode: int) -> None:
    folder = chosen()
    assert folder is not None
    os.chmod(folder, mode)
    assert chosen() is None
    said = trouble()
    assert said is not None
    assert f"{folder} nor kept there, for others may write into it" in said


@posix
def test_folder_of_another_user_is_refused(trouble: Callable[[], str | None], monkeypatch: pytest.MonkeyPatch) -> None:
    assert chosen() is not None
    someone = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: someone)
    assert chosen() is None
    said = trouble()
    assert said is not None
    assert "it is another user's" in said


def test_without_a_home_nothing_is_kept(trouble: Callable[[], str | None], monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    for name in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    assert (chosen(), trouble()) == (None, None)


def test_every_kernel_source_decides_the_folder(tmp_path: Path) -> None:
    """Code that was compiled from another text is never met."""
    sources = Path(shutil.copytree(ROOT / "kernels", tmp_path / "kernels"))
    names = {cache.source_hash(sources)}
    files = sorted(sources.rglob("*.py"))
    for file in files:
        with open(file, "a") as source:
            source.write("# edited\n")
        names.add(cache.source_hash(sources))
    assert len(names) == len(files) + 1 > 10


# The command -------------------------------------------------------------------------------------------------------


def rendered(folder: Path, **environment: str) -> tuple[dict[str, bytes], str]:
    """Its outputs, and what it says on stderr."""
    finished = subprocess.run(
        [sys.executable, str(ROOT / "cli.py"), *shlex.split(GOOD)], cwd=folder, capture_output=True, text=True,
        env={**os.environ, **environment}, check=False, timeout=300,
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr
    assert "Traceback" not in finished.stderr
    return {name: (folder / name).read_bytes() for name in OUTPUTS}, finished.stderr


def linked_cache(root: Path) -> Path:
    """A folder in which the kernels of the user's are found, and can be damaged."""
    assert cache.CACHE_FOLDER is not None
    theirs = Path(cache.CACHE_FOLDER)
    ours = root / theirs.name
    ours.mkdir(mode=0o700, parents=True)
    for file in theirs.glob("*.kernel"):
        (ours / file.name).symlink_to(file)
    return ours


def own_copy(file: Path) -> Path:
    content = file.read_bytes()
    file.unlink()
    file.write_bytes(content)
    return file


def test_command_tells_of_damage_and_renders(tmp_path: Path) -> None:
    expected, _ = rendered(tmp_path)
    kernels = linked_cache(tmp_path / "cache")
    kept = list(kernels.glob("counting.draws.draw_poisson*"))
    assert kept
    for file in kept:
        flip(own_copy(file), random.Random(2))
    found, said = rendered(tmp_path, NUMBA_CACHE_DIR=str(tmp_path / "cache"))
    assert found == expected
    assert said.count("warning") == 1
    assert "compiled kernels are damaged" in said
    again, said = rendered(tmp_path, NUMBA_CACHE_DIR=str(tmp_path / "cache"))
    assert (again, said) == (expected, "")


@pytest.mark.slow
def test_a_hundred_damages_cost_no_image(tmp_path: Path) -> None:
    expected, _ = rendered(tmp_path)
    kernels, rng = linked_cache(tmp_path / "cache"), random.Random(3)
    warned = 0
    for number in range(100):
        damage = DAMAGES[number % len(DAMAGES)]
        # What takes long to compile is damaged less often.
        stem = STEMS[2] if number % 10 == 9 else STEMS[number % 2]
        for file in kernels.glob(f"{stem}*"):
            if file.is_file():
                damage(own_copy(file), rng)
        found, said = rendered(tmp_path, NUMBA_CACHE_DIR=str(tmp_path / "cache"))
        assert found == expected, (number, damage)
        assert said.count("warning") <= 1, (number, damage, said)
        warned += "compiled kernels" in said
        for file in kernels.glob(f"{stem}*"):
            if file.is_dir():
                file.rmdir()
    assert warned > 50
