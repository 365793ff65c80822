"""One image on all cards together, and what becomes of a card among them that cannot be used."""

import json
import types
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_cuda import fake_provider

from nbnumba import Experiment, NbnumbaWarning, simulate, simulate_many
from nbnumba.cli import main
from nbnumba.errors import DeviceError, UsageError
from nbnumba.kernels.plan import Plan
from nbnumba.render.canvas import Canvas
from nbnumba.render.cuda import cards as gpu
from nbnumba.render.cuda import images as gpu_rendering
from nbnumba.render.cuda.left_out import Told
from nbnumba.render.job import render

STILL = "-cell 70 80 90 -default_F 100 -N 5 -detpixels 16 -pixel 1".split()


def machine(cards: int, old: tuple[int, ...] = (), lost: int | None = None) -> types.SimpleNamespace:
    """With cards, of which those that are ``old`` are too old for the compiler, and one is another process's."""
    provider = fake_provider(cards, lost=lost)
    provider.capability = lambda number: (5, 0) if number in old else (9, 0)
    return provider


@pytest.fixture
def rendered(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """The cards that every image is rendered on; the machine seems to have some."""
    rendered: list[list[int]] = []

    def render_cuda(plan: Plan, canvas: Canvas, precision: str, cards: list[int]) -> Told:
        rendered.append(cards)
        canvas.photons[:] = 1.0
        return Told(0, None)

    def render_many(plans: Any, precision: str, cards: list[int]) -> Any:
        for plan in plans:
            yield np.ones((16, 16), np.float32), render_cuda(plan, Canvas(plan), precision, cards)

    monkeypatch.setattr(gpu_rendering, "render_cuda", render_cuda)
    monkeypatch.setattr(gpu_rendering, "render_many", render_many)
    monkeypatch.setattr(gpu, "seems_present", lambda: True)
    return rendered


@pytest.fixture
def still() -> Experiment:
    return Experiment.from_args(STILL)


@pytest.mark.parametrize(
    ("device", "cards", "wanted", "said"),
    [
        ("all", 3, [0, 1, 2], "cuda, devices 0, 1, 2"),
        ("ALL", 2, [0, 1], "cuda, devices 0, 1"),
        ("all", 1, [0], "cuda, device 0"),
        ("2", 3, [2], "cuda, device 2"),
    ],
)
@pytest.mark.parametrize("backend", ["cuda", "auto"])
def test_the_command_renders_on_all_cards(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, rendered: list[list[int]], device: str, cards: int,
    wanted: list[int], said: str, backend: str,
) -> None:  # fmt: skip
    monkeypatch.setattr(gpu, "cuda_provider", lambda: machine(cards))
    monkeypatch.chdir(tmp_path)
    assert main([*STILL, "-backend", backend, "-device", device, "-quiet", "-report", "report.json"]) == 0
    assert rendered == [wanted]
    assert json.loads(Path("report.json").read_text())["backend"] == said


@pytest.mark.parametrize(
    ("provider", "wanted", "why"),
    [
        (machine(3, old=(1,)), [0, 2], "card 1 has compute capability 5.0"),
        (machine(3, lost=0), [1, 2], "card 0 cannot be used"),
        (machine(2, old=(0,)), [1], "card 0 has compute capability 5.0"),
    ],
)
def test_of_all_cards_those_that_cannot_be_used_are_left_out_with_a_word(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, rendered: list[list[int]], still: Experiment,
    provider: object, wanted: list[int], why: str,
) -> None:  # fmt: skip
    monkeypatch.setattr(gpu, "cuda_provider", lambda: provider)
    with pytest.warns(NbnumbaWarning, match=f"^not every GPU renders: {why}") as told:
        simulate(still, "cuda", device="all")
    assert len(told) == 1
    with pytest.warns(NbnumbaWarning, match=why):
        list(simulate_many([still], "cuda", devices="all"))
    monkeypatch.chdir(tmp_path)
    assert main([*STILL, "-backend", "cuda", "-device", "all", "-quiet", "-report", "report.json"]) == 0
    assert rendered == [wanted] * 3
    report = json.loads(Path("report.json").read_text())
    assert [warning for warning in report["warnings"] if why in warning]
    assert report["backend"].endswith(", ".join(map(str, wanted)))


def test_a_card_that_is_not_asked_for_is_not_spoken_of(
    monkeypatch: pytest.MonkeyPatch, rendered: list[list[int]], still: Experiment
) -> None:
    monkeypatch.setattr(gpu, "cuda_provider", lambda: machine(2, old=(0,)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        simulate(still, "cuda", device=1)
    assert rendered == [[1]]
    with pytest.raises(DeviceError, match="card 0 has compute capability"):
        simulate(still, "cuda", device=0)


@pytest.mark.parametrize(
    ("provider", "why"),
    [
        (machine(0), "the CUDA driver finds no card"),
        (fake_provider(ImportError("no libcuda")), "no CUDA driver"),
        (fake_provider(2, compiler="no libnvvm"), "no CUDA compiler"),
        (machine(2, old=(0, 1)), "card 0 has compute capability 5.0"),
        (machine(1, lost=0), "card 0 cannot be used"),
    ],
    ids=["no card", "no driver", "no compiler", "too old", "taken"],
)
def test_all_of_no_usable_card_is_the_usual_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], rendered: list[list[int]],
    still: Experiment, provider: object, why: str,
) -> None:  # fmt: skip
    monkeypatch.setattr(gpu, "cuda_provider", lambda: provider)
    for work in (
        lambda: simulate(still, "cuda", device="all"),
        lambda: list(simulate_many([still], "cuda", devices="all")),
    ):
        with pytest.raises(DeviceError, match=f"^-backend cuda: {why}"):
            work()
    assert main([*STILL, "-backend", "cuda", "-device", "all"]) == 4
    assert capsys.readouterr().err.startswith(f"nbnumba: -backend cuda: {why}")
    assert rendered == []


def test_auto_takes_the_cpu_where_none_of_all_cards_can_be_used(
    monkeypatch: pytest.MonkeyPatch, rendered: list[list[int]], still: Experiment
) -> None:
    monkeypatch.setattr(gpu, "cuda_provider", lambda: machine(2, old=(0, 1)))
    resolved = simulate(still, "cpu").resolved
    backend = render(resolved, "auto", device="all").backend
    assert backend.startswith("cpu")
    assert "card 0 has compute capability 5.0" in backend
    assert rendered == []


@pytest.mark.parametrize("word", ["al", "every", "-1", "1.5", "0,1"])
def test_what_is_neither_a_number_nor_all_is_refused(
    capsys: pytest.CaptureFixture[str], still: Experiment, word: str
) -> None:
    assert main([*STILL, "-device", word]) == 2
    assert capsys.readouterr().err == f"nbnumba: -device '{word}' is not the number of a GPU, or all\n"
    with pytest.raises(UsageError, match=f"^device '{word}': give a whole number, 0 or more, or 'all'$"):
        simulate(still, device=word)  # type: ignore[arg-type]
