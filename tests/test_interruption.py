"""Signals, closed streams and full names: what the command leaves when it is ended."""

from __future__ import annotations

import os
import random
import re
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nbnumba import interruption
from nbnumba.formats import files
from tests.signals import hears

ROOT = Path(__file__).resolve().parent.parent
CLI = (sys.executable, str(ROOT / "cli.py"))
GOOD = "-cell 70 80 90 -N 3 -detpixels 16 -pixel 1 -backend cpu -quiet -default_F"
OUTPUTS = ("floatimage.bin", "intimage.img", "image.pgm", "noiseimage.img")

linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


def line(factor: int) -> list[str]:
    return [*CLI, *shlex.split(GOOD), str(factor), "-seed", str(factor)]


def outputs(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def ended(folder: Path, number: int, delay_s: float) -> tuple[int, str]:
    """Exit status and stderr of a command that gets a signal so long after it has begun to listen."""
    with subprocess.Popen(line(2), cwd=folder, stderr=subprocess.PIPE, text=True) as process:
        while not hears(process, signal.SIGTERM):
            time.sleep(0.001)
        time.sleep(delay_s)
        process.send_signal(number)
        said = process.communicate(timeout=60)[1]
    return process.returncode, said


@pytest.fixture(scope="module")
def old_and_new(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, bytes], dict[str, bytes], float]:
    found = []
    for factor in (1, 2):
        folder = tmp_path_factory.mktemp("whole")
        began = time.perf_counter()
        subprocess.run(line(factor), cwd=folder, check=True, stderr=subprocess.DEVNULL)
        found.append(outputs(folder))
        seconds = time.perf_counter() - began
    assert found[0].keys() == found[1].keys() == set(OUTPUTS)
    assert all(found[0][name] != found[1][name] for name in ("floatimage.bin", "noiseimage.img"))
    return found[0], found[1], seconds


def check_moments(
    number: int, times: int, old_and_new: tuple[dict[str, bytes], dict[str, bytes], float], folder: Path, seed: int
) -> None:
    old, new, seconds = old_and_new
    rng = random.Random(seed)
    for attempt in range(times):
        here = folder / str(attempt)
        here.mkdir()
        for name, content in old.items():
            (here / name).write_bytes(content)
        # Some at the very beginning, where imports are.
        delay = 0.0 if attempt == 0 else rng.uniform(0.0, seconds)
        status, said = ended(here, number, delay)
        left = outputs(here)
        temporaries = {name for name in left if name not in old}
        images = {name: content for name, content in left.items() if name in old}
        assert images.keys() == old.keys()
        assert "Traceback" not in said
        assert "rror" not in said
        if number == signal.SIGKILL:
            assert all(content in (old[name], new[name]) for name, content in images.items())
            assert all(re.fullmatch(files.TEMPORARY, name) for name in temporaries)
            assert status in (0, -number)
            continue
        assert not temporaries
        assert images in (old, new)
        # Whoever has done all may be ended by the signal's own effect, on the last steps out of Python.
        assert status in (128 + number, *((0, -number) if images == new else ()))
        if status == 128 + number:
            words = {"SIGINT": "interrupted", "SIGTERM": "terminated", "SIGHUP": "hung up", "SIGUSR1": "told to stop"}
            said_of = words[signal.Signals(number).name]
            assert said.splitlines()[-1] == f"nbnumba: {said_of}; nothing half written is left"


def write(names: str, folder: Path) -> None:
    with files.together():
        for name in names:
            with files.replacing(folder / name) as file:
                file.write(name.encode())
                assert str(next(folder.glob(".nbnumba-*"))) in interruption.unfinished


SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGKILL"]


@linux
@pytest.mark.parametrize("name", SIGNALS)
def test_signal_leaves_old_files_or_new_ones(
    name: str, old_and_new: tuple[dict[str, bytes], dict[str, bytes], float], tmp_path: Path
) -> None:
    check_moments(getattr(signal, name), 3, old_and_new, tmp_path, 1)


@linux
@pytest.mark.slow
@pytest.mark.parametrize("name", SIGNALS)
def test_signal_at_a_hundred_moments(
    name: str, old_and_new: tuple[dict[str, bytes], dict[str, bytes], float], tmp_path: Path
) -> None:
    check_moments(getattr(signal, name), 100, old_and_new, tmp_path, 2)


@linux
def test_signal_that_is_to_be_ignored_is(
    old_and_new: tuple[dict[str, bytes], dict[str, bytes], float], tmp_path: Path
) -> None:
    nohup = shutil.which("nohup")
    if nohup is None:
        pytest.skip("needs nohup")
    with subprocess.Popen([nohup, *line(2)], cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        while not hears(process, signal.SIGTERM):
            time.sleep(0.001)
        process.send_signal(signal.SIGHUP)
        process.communicate(timeout=60)
    assert process.returncode == 0
    assert outputs(tmp_path) == old_and_new[1]


@linux
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_program_that_is_compared_ends_too(name: str, tmp_path: Path) -> None:
    script = tmp_path / "sleeper"
    script.write_text("#!/bin/sh\necho $$ > ../../pid\nexec sleep 100\n")
    script.chmod(0o755)
    command = [*CLI, "compare", "-a", str(script), "--", *shlex.split(GOOD), "1"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        pid, began = tmp_path / "pid", time.perf_counter()
        while not (pid.exists() and pid.read_text().strip()) and time.perf_counter() - began < 60:
            time.sleep(0.01)
        process.send_signal(getattr(signal, name))
        said = process.communicate(timeout=60)[1]
    assert process.returncode == 128 + getattr(signal, name)
    assert "Traceback" not in said
    # Somebody else may have yet to notice that it has ended.
    until = time.perf_counter() + 10
    while _is_there(int(pid.read_text())) and time.perf_counter() < until:
        time.sleep(0.05)
    assert not _is_there(int(pid.read_text()))


def _is_there(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.skipif(os.name != "posix", reason="needs signals as POSIX has them")
@pytest.mark.parametrize("number", interruption.SIGNALS)
def test_signals_wait_while_files_get_their_names(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C between two names: it is heard after the last."""
    replace = os.replace

    def interrupted_replace(source: str, target: str) -> None:
        replace(source, target)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(os, "replace", interrupted_replace)
    with pytest.raises(KeyboardInterrupt):
        write("ab", tmp_path)
    assert outputs(tmp_path) == {"a": b"a", "b": b"b"}
    assert not interruption.unfinished
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_handlers_come_before_what_takes_long() -> None:
    program = "import sys, nbnumba.cli; print([name for name in sys.modules if name.startswith('nbnumba')])"
    finished = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    loaded = {"nbnumba", "nbnumba.errors", "nbnumba.version", "nbnumba.interruption", "nbnumba.cli"}
    assert set(re.findall(r"nbnumba[\w.]*", finished.stdout)) == loaded


# Streams -----------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(os.name != "posix", reason="needs a POSIX shell")
@pytest.mark.parametrize("closed", ["2>&-", ">&-", ">&- 2>&- <&-"])
@pytest.mark.parametrize(
    ("options", "status"), [("1 -mosaic 1 -mosaic_domains 2 -dump missing", 0), ("1 -printout", 0), ("x", 2)]
)
def test_closed_streams_cost_nothing(closed: str, options: str, status: int, tmp_path: Path) -> None:
    command = f"{shlex.join(CLI)} {GOOD.replace('-quiet', '')} {options} {closed}"
    finished = subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert finished.returncode == status
    assert "Traceback" not in finished.stderr
    assert set(outputs(tmp_path)) == (set(OUTPUTS) if status == 0 else set())
    if status == 0:
        assert len(outputs(tmp_path)["floatimage.bin"]) == 4 * 16 * 16


@pytest.mark.skipif(not os.path.exists("/dev/stdout"), reason="needs /dev/stdout")
def test_stdout_may_be_an_image(tmp_path: Path) -> None:
    command = [*line(1), "-floatfile", "/dev/stdout", "-nonoise", "-nopgm"]
    piped = subprocess.run(command, cwd=tmp_path, capture_output=True, check=True).stdout
    subprocess.run(line(1), cwd=tmp_path, check=True)
    assert piped == (tmp_path / "floatimage.bin").read_bytes()
    # What a file had before, stays there.
    for _ in range(2):
        with open(tmp_path / "stack", "ab") as stack:
            subprocess.run(command, cwd=tmp_path, stdout=stack, check=True)
    assert (tmp_path / "stack").read_bytes() == 2 * piped


@pytest.mark.skipif(sys.platform != "linux", reason="a folder that is gone while one is in it")
def test_only_printing_cannot_print(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    command = f"cd gone && rmdir ../gone && {shlex.join(line(1))}"
    finished = subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert finished.returncode == 4
    assert finished.stderr.splitlines()[-1].startswith(
        "nbnumba: cannot write floatimage.bin: its folder does not exist"
    )


# Files -------------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(os.name != "posix", reason="needs permissions")
def test_permissions_of_a_replaced_file_are_kept(tmp_path: Path) -> None:
    old = tmp_path / "old"
    old.write_bytes(b"old")
    mask = os.umask(0o027)
    try:
        for mode in (0o600, 0o646, 0o755):
            old.chmod(mode)
            with files.replacing(old) as file:
                file.write(b"new")
            assert (stat.S_IMODE(old.stat().st_mode), old.read_bytes()) == (mode, b"new")
        with files.replacing(tmp_path / "fresh") as file:
            file.write(b"new")
    finally:
        os.umask(mask)
    assert stat.S_IMODE((tmp_path / "fresh").stat().st_mode) == 0o640


def test_content_is_on_the_disk_before_it_has_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    fsync, replace = os.fsync, os.replace

    def noted_fsync(number: int) -> None:
        is_folder = stat.S_ISDIR(os.fstat(number).st_mode)
        steps.append("folder" if is_folder else f"{os.fstat(number).st_size} bytes")
        fsync(number)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "replace", lambda source, target: (steps.append("name"), replace(source, target)))
    write("ab", tmp_path)
    assert steps == ["1 bytes", "1 bytes", "name", "name"] + ["folder"] * (os.name == "posix")
