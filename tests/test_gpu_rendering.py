"""Images and the memory that they lie in, on cards that are not there: kernels do nothing."""

import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
from test_cuda import STILL, Launches, launches, resolved_from

from nbnumba import gpu_rendering
from nbnumba.errors import DeviceError

__all__ = ["launches"]

FRAME = [*STILL, "-detpixels", "512", "-pixel", "0.03"]
"""As large as images must be to be lent."""


def test_a_region_after_whole_frames_comes_back_in_their_memory(launches: Launches) -> None:
    frame, region = (resolved_from([*FRAME, *roi.split()]).plan for roi in ("", "-roi 3 130 7 90"))
    series = [frame] * 6 + [region] * 3 + [frame] * 3
    assert [photons.shape for photons, _ in gpu_rendering.render_many(series)] == [(512, 512)] * 12
    assert [images for _, images, _ in launches] == [1] * 6 + [3] + [1] * 3


def test_images_that_are_let_go_at_once_are_all_lent(launches: Launches, monkeypatch: pytest.MonkeyPatch) -> None:
    lent: list[int] = []

    class Lent(gpu_rendering._Lent):
        def __init__(self, window: np.ndarray, windows: list[np.ndarray]) -> None:
            super().__init__(window, windows)
            lent.append(id(window))

    monkeypatch.setattr(gpu_rendering, "_Lent", Lent)
    images = gpu_rendering.render_many([resolved_from(FRAME).plan] * 12)
    for _ in range(12):
        next(images)
    assert len(lent) == 12
    assert len(set(lent)) == 2


def test_an_error_on_one_card_ends_the_others(launches: Launches, monkeypatch: pytest.MonkeyPatch) -> None:
    turns = [0]

    def steps(band: gpu_rendering._Band) -> Iterator[None]:
        if band.device == 1:
            raise DeviceError("card 1 is lost")
        for turns[0] in range(100):
            time.sleep(0.02)
            yield

    monkeypatch.setattr(gpu_rendering._Band, "steps", steps)
    before = threading.active_count()
    with pytest.raises(DeviceError, match="card 1 is lost"):
        gpu_rendering.render_cuda(resolved_from(STILL).plan, devices=(0, 1, 2))
    assert turns[0] < 99
    assert threading.active_count() <= before
