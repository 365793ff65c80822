"""Who renders, and what happens where a GPU cannot."""

import numpy as np
import pytest

from nbnumba import Experiment, ResourceError, gpu, rendering
from nbnumba.inputs import Inputs
from nbnumba.resolve import Resolved, resolve


@pytest.fixture
def resolved() -> Resolved:
    args = ["-cell", "70", "80", "90", "-default_F", "100", "-N", "5", "-detpixels", "16", "-pixel", "1"]
    return resolve(Experiment.from_args(args), Inputs())


def test_without_a_gpu_auto_is_the_cpu_and_cuda_is_refused(resolved: Resolved, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "why_unusable", lambda device=0: "no driver")
    monkeypatch.setattr(gpu, "seems_present", lambda: False)
    assert rendering.render(resolved, "auto").backend.startswith("cpu")
    with pytest.raises(ResourceError, match="-backend cuda: no driver"):
        rendering.render(resolved, "cuda")


def test_a_gpu_that_seems_there_but_is_not_usable_is_named(resolved: Resolved, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "seems_present", lambda: True)
    monkeypatch.setattr(gpu, "why_unusable", lambda device=0: "the driver is too old")
    assert rendering.render(resolved, "auto").backend.endswith("the driver is too old")


def test_auto_goes_on_on_the_cpu_where_a_gpu_fails(resolved: Resolved, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object) -> None:
        raise ResourceError("the GPU has not enough memory")

    monkeypatch.setattr(gpu, "seems_present", lambda: True)
    monkeypatch.setattr(gpu, "why_unusable", lambda device=0: None)
    monkeypatch.setattr(gpu, "render_cuda", fail)
    found = rendering.render(resolved, "auto")
    assert found.backend.endswith("the GPU has not enough memory")
    np.testing.assert_array_equal(found.photons, rendering.render(resolved, "cpu").photons)
    with pytest.raises(ResourceError, match="memory"):
        rendering.render(resolved, "cuda")


def test_what_depends_on_the_order_runs_on_the_reference_kernel() -> None:
    args = "-mode c -cell 70 80 90 -default_F 100 -N 3 -detpixels 8 -oversample 2 -oversample_polar".split()
    assert "C-11" in rendering.render(resolve(Experiment.from_args(args), Inputs()), "cpu").backend
