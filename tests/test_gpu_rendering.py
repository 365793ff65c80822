"""Images and the memory that they lie in, on cards that are not there: kernels do nothing."""

import threading
import time
import types
import weakref
from collections.abc import Iterator

import numpy as np
import pytest
from test_cuda import STILL, Launches, OnCard, launches, resolved_from

from nbnumba.errors import DeviceError
from nbnumba.render.canvas import Canvas
from nbnumba.render.cuda import cards as gpu
from nbnumba.render.cuda import images as gpu_rendering
from nbnumba.render.cuda import launches as gpu_launches
from nbnumba.render.cuda import memory as gpu_memory

__all__ = ["launches"]

FRAME = [*STILL, "-detpixels", "512", "-pixel", "0.03"]
"""As large as images must be to be lent."""


def test_a_region_after_whole_frames_comes_back_in_their_memory(launches: Launches) -> None:
    frame, region = (resolved_from([*FRAME, *roi.split()]).plan for roi in ("", "-roi 3 130 7 90"))
    series = [frame] * 6 + [region] * 3 + [frame] * 3
    assert [photons.shape for photons, _ in gpu_rendering.render_many(series)] == [(512, 512)] * 12
    assert [images for _, images, _ in launches] == [6, 3, 3]


@pytest.mark.parametrize("together", [1, 3])
def test_images_that_are_let_go_at_once_are_all_lent(
    launches: Launches, monkeypatch: pytest.MonkeyPatch, together: int
) -> None:
    monkeypatch.setattr(gpu_launches, "MOST_TOGETHER", together)
    lent: list[int] = []

    class Lent(gpu_memory._Lent):
        def __init__(self, window: np.ndarray, windows: list[np.ndarray]) -> None:
            super().__init__(window, windows)
            lent.append(id(window))

    monkeypatch.setattr(gpu_memory, "_Lent", Lent)
    images = gpu_rendering.render_many([resolved_from(FRAME).plan] * 12 * together)
    for _ in range(12 * together):
        next(images)
    assert len(lent) == 12
    assert len(set(lent)) == 2


def test_what_comes_back_of_a_shared_launch_is_the_image_of_each(
    launches: Launches, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole images are where the card put them, in order; a region among them is copied into an image of its own."""
    window = np.arange(3 * 512 * 512, dtype=np.float32)
    monkeypatch.setattr(gpu_memory.Place, "make_window", lambda place, size, kind: window)

    def provide() -> types.SimpleNamespace:
        provider = launches.provider(1)
        provider.copy_to_host = lambda array, there, stream: None
        return provider

    monkeypatch.setattr(gpu, "cuda_provider", provide)
    whole, region = (
        resolved_from([*FRAME, *words.split()]).plan for words in ("", "-detpixels 600 -roi 50 561 20 531")
    )
    images = [photons for photons, _ in gpu_rendering.render_many([whole, region, whole])]
    assert [images for _, images, _ in launches] == [3]
    parts = window.reshape(3, 512, 512)
    assert [np.shares_memory(photons, window) for photons in images] == [True, False, True]
    np.testing.assert_array_equal(images[0], parts[0])
    np.testing.assert_array_equal(images[1], np.pad(parts[1], ((20, 68), (50, 38))))
    np.testing.assert_array_equal(images[2], parts[2])


def test_kernels_are_warmed_up_once_in_a_place(launches: Launches, monkeypatch: pytest.MonkeyPatch) -> None:
    """A launch of one block goes before an image only where the kernel was not used before."""
    monkeypatch.setattr(gpu_memory, "_spare_places", {0: []})
    for options, more in (("", 2), ("-phi 1", 1), ("-round_xtal", 2), ("-phi 2", 1)):
        launches.clear()
        plan = resolved_from([*STILL, *options.split()]).plan
        gpu_rendering.render_cuda(plan, Canvas(plan))
        assert len(launches) == more


def test_an_error_on_one_card_ends_the_others(launches: Launches, monkeypatch: pytest.MonkeyPatch) -> None:
    turns = [0]

    def steps(band: gpu_rendering._Band) -> Iterator[None]:
        if band.device == 1:
            raise DeviceError("card 1 is lost")
        for turns[0] in range(100):
            time.sleep(0.02)
            yield

    monkeypatch.setattr(gpu_rendering._Band, "steps", steps)
    before, plan = threading.active_count(), resolved_from(STILL).plan
    with pytest.raises(DeviceError, match="card 1 is lost"):
        gpu_rendering.render_cuda(plan, Canvas(plan), devices=(0, 1, 2))
    assert turns[0] < 99
    assert threading.active_count() <= before


class Memory:
    """Of a card: what arrays take, and what is left."""

    def __init__(self, total: int) -> None:
        self.free = total

    def array(self, size: int, kind: type) -> np.ndarray:
        return self.copied(np.zeros(size, kind))

    def copied(self, array: np.ndarray, stream: object = None) -> np.ndarray:
        if array.nbytes > self.free:
            raise RuntimeError("CUDA_ERROR_OUT_OF_MEMORY")
        self.free -= array.nbytes
        taken = array.copy().view(OnCard)
        weakref.finalize(taken, self.given_back, array.nbytes)
        return taken

    def given_back(self, nbytes: int) -> None:
        self.free += nbytes


def test_memory_that_is_of_no_use_to_the_next_image_is_not_in_its_way(
    launches: Launches, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a card that has room for each image, but not for the pixels of one beside the orientations of the other."""
    memory = Memory(10_000_000)

    def provide() -> types.SimpleNamespace:
        provider = launches.provider(1)
        provider.cuda.device_array, provider.cuda.to_device = memory.array, memory.copied
        provider.free_bytes = lambda: memory.free
        return provider

    monkeypatch.setattr(gpu, "cuda_provider", provide)
    monkeypatch.setattr(gpu_memory, "_spare_places", {0: []})
    wide, deep = (
        resolved_from([*STILL, "-oversample", "1", *words.split()]).plan
        for words in ("-detpixels 1400", "-roi 0 0 0 0 -mosaic 1 -mosaic_domains 100 -osc 1 -phisteps 1000")
    )
    for plan in (wide, deep, wide, deep):
        gpu_rendering.render_cuda(plan, Canvas(plan))
    assert memory.free < 10_000_000 - 8_000_000


def test_an_image_of_more_pixels_than_kernels_count_is_refused() -> None:
    job = types.SimpleNamespace(plans=[resolved_from(STILL).plan], parts=1, stop=1 << 32)
    with pytest.raises(DeviceError, match="image of 4294967296 numbers is too long"):
        gpu_launches._capacity(job, 0)  # type: ignore[arg-type]
