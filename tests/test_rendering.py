"""Who renders, and what happens where a GPU cannot."""

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import nbnumba
from nbnumba import Experiment, NbnumbaWarning, ResourceError, changed, simulate_many
from nbnumba.errors import DeviceError, UsageError
from nbnumba.render.cuda import cards as gpu
from nbnumba.render.cuda import images as gpu_rendering
from nbnumba.render.cuda.left_out import Told
from nbnumba.render.job import render
from nbnumba.setup.inputs import Inputs
from nbnumba.setup.resolve import Resolved, resolve


@pytest.fixture
def resolved() -> Resolved:
    args = ["-cell", "70", "80", "90", "-default_F", "100", "-N", "5", "-detpixels", "16", "-pixel", "1"]
    return resolve(Experiment.from_args(args), Inputs())


def test_without_a_gpu_auto_is_the_cpu_and_cuda_is_refused(resolved: Resolved, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "why_unusable", lambda device=0: "no driver")
    monkeypatch.setattr(gpu, "seems_present", lambda: False)
    backend = render(resolved, "auto").backend
    assert backend.startswith("cpu")
    assert "no GPU" in backend
    with pytest.raises(ResourceError, match="-backend cuda: no driver"):
        render(resolved, "cuda")


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_threads_of_python_render_at_once_each_its_own_image(resolved: Resolved, backend: Any) -> None:
    others = [changed(resolved.experiment, scan={"phi_deg": float(phi)}) for phi in range(8)]
    alone = [nbnumba.simulate(other, backend).photons for other in others]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda other: nbnumba.simulate(other, backend).photons, others))
    np.testing.assert_array_equal(together, alone)


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        ({"backend": "gpu"}, "backend 'gpu': give auto, cuda, cpu or reference"),
        ({"precision": "single"}, "precision 'single': give double or mixed"),
        ({"backend": ["cpu"]}, "backend ['cpu']: give auto, cuda, cpu or reference"),
        ({"precision": np.array(["double", "mixed"])}, "precision array("),
        ({"threads": 1.5}, "threads 1.5: give a whole number, 1 or more"),
        ({"threads": True}, "threads True: give a whole number, 1 or more"),
        ({"threads": "2"}, "threads '2': give a whole number, 1 or more"),
        ({"threads": 0}, "threads 0: give a whole number, 1 or more"),
        ({"threads": 10**6}, "-threads 1000000: this machine takes 1 to"),
        ({"device": -1}, "device -1: give a whole number, 0 or more"),
        ({"device": "0"}, "device '0': give a whole number, 0 or more"),
        ({"device": None}, "device None: give a whole number, 0 or more"),
        ({"device": False}, "device False: give a whole number, 0 or more"),
        ({"progress": 5}, "progress 5: give a function that takes the number of pixels done"),
    ],
)
def test_a_choice_that_there_is_not_is_refused(resolved: Resolved, choice: dict[str, Any], said: str) -> None:
    how = {"backend": "cpu", **choice}
    with pytest.raises(UsageError, match=f"^{re.escape(said)}"):
        render(resolved, **how)
    with pytest.raises(UsageError, match=f"^{re.escape(said)}"):
        nbnumba.simulate(resolved.experiment, **how)


def test_choices_may_be_numbers_of_numpy(resolved: Resolved) -> None:
    plain = render(resolved, "cpu", threads=2, device=0)
    found = render(resolved, "cpu", threads=np.int64(2), device=np.uint8(0))  # type: ignore[arg-type]
    assert found.backend == plain.backend == "cpu, 2 threads"
    np.testing.assert_array_equal(found.photons, plain.photons)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"devices": 0}, "devices 0: give the numbers of GPUs in a list, or 'all'"),
        ({"devices": "0"}, "devices '0': give the numbers of GPUs in a list, or 'all'"),
        ({"devices": ["0"]}, "device '0': give a whole number, 0 or more"),
        ({"devices": [0, -1]}, "device -1: give a whole number, 0 or more"),
        ({"backend": "gpu"}, "backend 'gpu': give auto, cuda, cpu or reference"),
        ({"precision": None}, "precision None: give double or mixed"),
        ({"threads": "2"}, "threads '2': give a whole number, 1 or more"),
        ({"seed": 1.5}, "seed 1.5: give a whole number"),
        ({"experiments": Experiment()}, "simulate_many: Experiment is no list of Experiments"),
        ({"experiments": ["-N"]}, "simulate_many: str is no Experiment"),
    ],
)
def test_a_choice_for_a_series_that_there_is_not_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=f"^{re.escape(said)}$"):
        list(simulate_many(**{"experiments": [], **given}))


@pytest.mark.parametrize("experiment", ["-N 5", None, {"mode": "c"}])
def test_what_is_no_experiment_is_not_simulated(experiment: Any) -> None:
    with pytest.raises(UsageError, match=f"^simulate: {type(experiment).__name__} is no Experiment$"):
        nbnumba.simulate(experiment)


def test_a_gpu_that_seems_there_but_is_not_usable_is_named(resolved: Resolved, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "seems_present", lambda: True)
    monkeypatch.setattr(gpu, "why_unusable", lambda device=0: "the driver is too old")
    assert render(resolved, "auto").backend.endswith("the driver is too old")


def test_auto_goes_on_on_the_cpu_where_a_gpu_fails(resolved: Resolved, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object) -> None:
        raise DeviceError("the GPU has not enough memory")

    monkeypatch.setattr(gpu, "seems_present", lambda: True)
    monkeypatch.setattr(gpu, "why_unusable", lambda device=0: None)
    monkeypatch.setattr(gpu_rendering, "render_cuda", fail)
    found = render(resolved, "auto")
    assert found.backend.endswith("the GPU has not enough memory")
    np.testing.assert_array_equal(found.photons, render(resolved, "cpu").photons)
    with pytest.raises(ResourceError, match="memory"):
        render(resolved, "cuda")


def test_many_images_go_on_on_the_cpu_where_a_gpu_fails(resolved: Resolved, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is lost or twice there, whatever was under way when it failed."""

    def one_then_none(plans: object, *args: object) -> object:
        taken = [next(plans) for _ in range(3)]  # type: ignore[call-overload]
        yield render(resolved, "cpu").photons, Told(0, None)
        raise DeviceError(f"the GPU failed with {len(taken)} under way")

    monkeypatch.setattr(gpu, "seems_present", lambda: True)
    monkeypatch.setattr(gpu, "why_unusable", lambda device=0: None)
    monkeypatch.setattr(gpu_rendering, "render_many", one_then_none)
    series = [changed(resolved.experiment, scan={"phi_deg": float(phi)}) for phi in range(5)]
    with pytest.warns(NbnumbaWarning, match="the CPU goes on: the GPU failed"):
        images = list(simulate_many(series))
    assert [image.experiment.scan.phi_deg for image in images] == [0.0, 1.0, 2.0, 3.0, 4.0]
    np.testing.assert_array_equal(images[4].photons, nbnumba.simulate(series[4], "cpu").photons)
    with pytest.raises(DeviceError, match="under way"):
        list(simulate_many(series, backend="cuda"))


def test_faults_of_an_experiment_are_no_faults_of_a_gpu(resolved: Resolved, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "seems_present", lambda: True)
    monkeypatch.setattr(gpu, "why_unusable", lambda device=0: None)
    monkeypatch.setattr(gpu_rendering, "render_many", lambda plans, *args: ((None, Told(0, None)) for _ in plans))
    wrong = changed(resolved.experiment, crystal={"cell": (70.0, 80.0, 90.0, 10.0, 20.0, 90.0)})
    with pytest.raises(UsageError):
        list(simulate_many([wrong]))


def test_many_images_need_a_device() -> None:
    with pytest.raises(UsageError, match="devices"):
        list(simulate_many([], devices=()))


def test_what_depends_on_the_order_runs_on_the_reference_kernel() -> None:
    args = "-mode c -cell 70 80 90 -default_F 100 -N 3 -detpixels 8 -oversample 2 -oversample_polar".split()
    assert "C-11" in render(resolve(Experiment.from_args(args), Inputs()), "cpu").backend


def test_a_system_without_threads_is_named(resolved: Resolved, monkeypatch: pytest.MonkeyPatch) -> None:
    render(resolved, "cpu")

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(ResourceError, match=r"can't start new thread: end other programs"):
        render(resolved, "cpu")
