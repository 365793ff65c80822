"""A rendering that is under way: looked at, broken off, waited for; the same on every backend."""

from __future__ import annotations

import gc
import importlib
import os
import subprocess
import sys
import threading
import time
import warnings
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest

from nbnumba import Experiment, NbnumbaError, ResourceError, simulate
from nbnumba.choices import BACKENDS, RENDERERS, BackendName
from nbnumba.errors import DeviceError
from nbnumba.render.backends import backend_named
from nbnumba.render.canvas import Canvas
from nbnumba.render.job import CancelledError, Job, render, start
from nbnumba.setup.inputs import read_inputs
from nbnumba.setup.resolve import Resolved, resolve
from nbnumba.tolerances import BY_PRECISION

ROOT = Path(__file__).parent.parent
CRYSTAL = (
    "-mode c -cell 70 80 90 75 85 95 -misset 10 20 30 -default_F 100 -N 5 -lambda 1 -distance 100 -oversample 1 "
    "-phi 0 -osc 1 -phisteps 2"
)
"""In mode c the first pixel of an image that begins at φ = 0 is amended by the reference (C-9)."""
SIZES = {
    "reference": "-pixel 0.5 -detpixels 90 -roi 3 80 5 70 -dispersion 1 -dispsteps 10 -mosaic 1 -mosaic_domains 10",
    "cpu": "-pixel 0.2 -detpixels 400 -roi 3 380 5 370 -dispersion 1 -dispsteps 20 -mosaic 1 -mosaic_domains 20",
    "cuda": "-pixel 4 -detpixels 20 -roi 1 17 2 19",
}
"""Long enough to be met in the middle, in which sources, of which there are many, are yet to come."""
STILL = "-cell 70 80 90 75 85 95 -default_F 100 -N 5 -detpixels 16 -pixel 1 -oversample 1"


def resolved_from(words: str) -> Resolved:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        experiment = Experiment.from_args(words.split())
        return resolve(experiment, read_inputs(experiment))


@contextmanager
def short_launches() -> Iterator[None]:
    """A block of threads each, of a card."""
    from nbnumba.render.cuda import launches

    with patch.object(launches, "FEWEST_PIXELS", 128), patch.object(launches, "LAUNCH_S", 1e-9):
        yield


def kinds_of(resolved: Resolved, backend: BackendName) -> Iterator[Job]:
    """The same job again and again, under way."""
    with short_launches():
        while True:
            job = start(resolved, backend)
            while not (job.progress > 0.0 or job.wait(0.0)):
                time.sleep(0.001)
            yield job


# What holds on every backend -------------------------------------------------------------------------------------


def what_is_finished_is_final(backend: BackendName) -> None:
    resolved = resolved_from(f"{CRYSTAL} {SIZES[backend]}")
    job = next(kinds_of(resolved, backend))
    seen, progress = [], []
    while not job.wait(0.01):
        progress.append(job.progress)
        seen.append(job.partial())
    photons, last = job.result().photons, job.partial()
    assert job.progress == 1.0
    assert progress == sorted(progress)
    fast0, fast1, slow0, slow1 = resolved.plan.detector.roi
    region = np.zeros(photons.shape, bool)
    region[slow0 : slow1 + 1, fast0 : fast1 + 1] = True
    np.testing.assert_array_equal(last.finished, region)
    np.testing.assert_array_equal(last.photons, photons)
    assert photons.any()
    assert any(0 < partial.finished.sum() < region.sum() for partial in seen)
    for one, next_one in zip(seen, [*seen[1:], last], strict=True):
        assert not (one.finished & ~next_one.finished).any()
        np.testing.assert_array_equal(one.photons, np.where(one.finished, photons, 0.0))


def a_cancelled_job_ends_at_once(backend: BackendName) -> None:
    resolved = resolved_from(f"{CRYSTAL} {SIZES[backend]}")
    whole = render(resolved, backend).photons
    before = threading.active_count()
    for _, job in zip(range(3), kinds_of(resolved, backend), strict=False):
        job.cancel()
        began = time.perf_counter()
        assert job.wait(30.0)
        assert time.perf_counter() - began < 1.0
        assert threading.active_count() <= before
        for _ in range(2):
            with pytest.raises(CancelledError, match="cancelled"):
                job.result()
        partial = job.partial()
        assert 0 < partial.finished.sum() < job.pixels
        np.testing.assert_array_equal(partial.photons, np.where(partial.finished, whole, 0.0))
        job.cancel()
        np.testing.assert_array_equal(job.partial().finished, partial.finished)


def any_thread_may_wait_again_and_again(backend: BackendName) -> None:
    job = start(resolved_from(STILL), backend)
    found: list[object] = []
    threads = [threading.Thread(target=lambda: found.append(job.result())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [job.result()] * 3
    job.cancel()
    assert job.wait()
    assert job.wait(0.0)
    assert job.result() is found[0]
    assert job.partial().finished.all()


KERNELS = {
    "reference": ("nbnumba.kernels.reference", "render"),
    "cpu": ("nbnumba.kernels.cpu.render", "render"),
    "cuda": ("nbnumba.render.cuda.launches", "Batch"),
}


class Broken:
    """In place of what works for an image."""

    calls = 0

    def compile(self, kinds: object) -> None:
        pass

    def __call__(self, *args: object) -> None:
        Broken.calls += 1
        raise RuntimeError("out of order")


def what_goes_wrong_comes_out_once(backend: BackendName) -> None:
    unheard: list[object] = []
    module, name = KERNELS[backend]
    where = "nbnumba.render.cuda.images" if backend == "cuda" else module
    with patch.object(importlib.import_module(where), name, Broken()), patch("threading.excepthook", unheard.append):
        job = start(resolved_from(STILL), backend)
        for _ in range(2):
            with pytest.raises((RuntimeError, DeviceError), match="out of order"):
                job.result()
    assert Broken.calls >= 1
    assert not unheard
    assert job.wait(0.0)
    assert not job.partial().finished.any()


def it_is_as_accurate_as_it_says(backend: BackendName) -> None:
    resolved = resolved_from(STILL)
    wanted = render(resolved, "reference").photons.astype(float)
    for precision, allowed in backend_named(backend).accuracy.items():
        found = render(resolved, backend, precision)
        assert found.backend.startswith(backend)
        margin = allowed.allowed(wanted, wanted.max())
        assert (np.abs(found.photons - wanted) <= margin).all()


CHECKS: dict[str, Callable[[BackendName], None]] = {
    check.__name__: check
    for check in (
        what_is_finished_is_final, a_cancelled_job_ends_at_once, any_thread_may_wait_again_and_again,
        what_goes_wrong_comes_out_once, it_is_as_accurate_as_it_says,
    )
}  # fmt: skip


@pytest.mark.parametrize("backend", RENDERERS)
@pytest.mark.parametrize("name", CHECKS)
def test_on_every_backend(name: str, backend: BackendName) -> None:
    if backend != "cuda":
        CHECKS[name](backend)
        return
    environment = {**os.environ, "NUMBA_ENABLE_CUDASIM": "1"}
    line = [sys.executable, "-m", "tests.test_job", name, backend]
    done = subprocess.run(line, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr


# What does not depend on who renders -----------------------------------------------------------------------------


def test_every_name_is_that_of_a_backend() -> None:
    assert ("auto", *RENDERERS) == BACKENDS
    for name in RENDERERS:
        assert backend_named(name).accuracy.keys() == BY_PRECISION.keys()
    last = backend_named(RENDERERS[-1])
    plan = resolved_from("-mode c -cell 70 80 90 -default_F 1 -N 3 -detpixels 8 -oversample 2 -oversample_polar").plan
    assert plan.running_product
    assert [backend_named(name).why_not(plan, 9.0) is None for name in RENDERERS] == [False, False, True]
    assert last.why_not(plan, 0.0) is None


@pytest.mark.parametrize("where", ["progress", "thread"])
def test_what_is_raised_while_one_waits_ends_the_threads(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    resolved = resolved_from(f"{CRYSTAL} {SIZES['cpu']}")
    # What is begun of compiling would go on.
    render(resolved_from(f"{CRYSTAL} {SIZES['cpu']} -roi 0 1 0 1"), "cpu")
    before = threading.active_count()

    def interrupted(done: int) -> None:
        raise KeyboardInterrupt

    def refuse(thread: Any) -> None:
        if threading.active_count() > before:
            raise RuntimeError("can't start new thread")
        whole(thread)

    whole = threading.Thread.start
    if where == "thread":
        monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(KeyboardInterrupt if where == "progress" else ResourceError):
        render(resolved, "cpu", threads=2, progress=interrupted if where == "progress" else None)
    assert threading.active_count() <= before


@pytest.mark.parametrize("progress", [0, 7])
def test_one_that_renders_after_another_failed_begins_anew(progress: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the first has done is not seen any more."""
    from nbnumba.render.cuda import cards, images

    def fail(plan: object, canvas: Canvas, *args: object) -> int:
        canvas.cut([0, 60])
        canvas.photons[...] = 7.0
        canvas.done[0] = progress
        raise DeviceError("the card is lost")

    monkeypatch.setattr(cards, "seems_present", lambda: True)
    monkeypatch.setattr(cards, "why_unusable", lambda device=0: None)
    monkeypatch.setattr(images, "render_cuda", fail)
    resolved = resolved_from(f"{STILL} -roi 0 15 0 7")
    job = start(resolved)
    assert job.result().backend.endswith("the card is lost")
    np.testing.assert_array_equal(job.result().photons, render(resolved, "cpu").photons)
    assert job.partial().finished.sum() == job.pixels_done == job.pixels == 16 * 8


def test_what_is_to_be_told_is_told_by_who_waits() -> None:
    resolved = resolved_from(
        f"{STILL} -hkl {ROOT / 'tests' / 'golden' / 'inputs' / 'small.hkl'} -interpolate -oversample 14"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        job = start(resolved, "cpu")
        job.wait()
    assert [note for note in job.notes if "outside the table" in note] == job.notes
    with pytest.warns(match="outside the table") as told:
        simulate(resolved.experiment, "cpu")
    assert len(told) == len(job.notes) == 1
    assert told[0].filename == __file__


def test_an_image_is_gone_with_the_last_who_holds_it() -> None:
    """At once, not when the collector of cycles comes by: images are large."""
    resolved = resolved_from(STILL)
    gc.disable()
    try:
        kept = weakref.ref(render(resolved, "cpu").photons)
        assert kept() is None
    finally:
        gc.enable()


@pytest.mark.parametrize(("first", "count"), [(0, 1), (0, 12), (2, 3), (2, 5), (3, 4), (2, 12), (11, 3), (0, 16)])
def test_runs_of_pixels_go_along_the_region(first: int, count: int) -> None:
    plan = resolved_from(f"{STILL} -roi 5 8 9 12").plan
    canvas, wanted = Canvas(plan), np.zeros((16, 16), np.float32)
    pixels = np.arange(1, 1 + count, dtype=np.float32)
    canvas.put(first, pixels)
    for number, pixel in enumerate(range(first, first + count)):
        wanted[9 + pixel // 4, 5 + pixel % 4] = pixels[number]
    np.testing.assert_array_equal(canvas.photons, wanted)


def test_a_cancelled_job_is_an_error_of_ours() -> None:
    assert issubclass(CancelledError, NbnumbaError)


if __name__ == "__main__":
    CHECKS[sys.argv[1]](sys.argv[2])  # type: ignore[arg-type]
