"""What frames of a series have in common is made once, is the same array in all, and as it would be made anew."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nbnumba import Experiment, Panel, changed
from nbnumba.formats.images.smv import write_smv
from nbnumba.setup import added, detector
from nbnumba.setup.inputs import read_inputs
from nbnumba.setup.resolve import Resolved, resolve
from nbnumba.structure_factors.keeping import TICK_NS, Itself

pytestmark = pytest.mark.filterwarnings("ignore:(-oversample|.*mask.img. no PIXEL_SIZE)")
LINE = "-cell 70 80 90 -default_F 100 -N 5 -oversample 1 -seed 1"
HEADER = "{\nHEADER_BYTES=512;\nBYTE_ORDER=little_endian;\nSIZE1=30;\nSIZE2=30;\n}\f".ljust(512)


def settled(path: Path) -> Path:
    while time.time_ns() - os.stat(path).st_ctime_ns <= TICK_NS:
        time.sleep(0.02)
    return path


def resolved(one: Experiment) -> Resolved:
    return resolve(one, read_inputs(one))


def turned(one: Experiment) -> Experiment:
    """The same for a crystal that lies another way, in a stronger beam."""
    return changed(one, crystal={"misset_deg": (1, 2, 3)}, beam={"fluence_per_m2": 1e27}, noise={"seed": 9})


def anew(monkeypatch: pytest.MonkeyPatch, one: Experiment) -> Resolved:
    """As if nothing were kept."""
    for module, name in ((detector, "_masks_of"), (detector, "_all_rendered"), (added, "_added")):
        monkeypatch.setattr(module, name, getattr(module, name).__wrapped__)
    return resolved(one)


@pytest.mark.parametrize(
    "words",
    ["-detector pilatus-100k", "-detector pilatus-100k -beamstop 3 -beamstop_arm 1 30", "-detpixels 30 -beamstop 1"],
)
def test_masks_are_made_once(words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    one = Experiment.from_args(f"{LINE} {words}".split())
    first, second = resolved(one), resolved(turned(one))
    assert first.plan.detector.mask is second.plan.detector.mask
    assert first.masks[0] is second.masks[0]
    moved = changed(one, detector={"distance_mm": 180.0})
    there = resolved(moved)
    assert (there.plan.detector.mask is first.plan.detector.mask) == ("beamstop" not in words)
    for made, again in ((first, one), (there, moved)):
        fresh = anew(monkeypatch, again)
        assert np.array_equal(made.plan.detector.mask, fresh.plan.detector.mask)
        assert made.masks[0] is fresh.masks[0] is None or np.array_equal(made.masks[0], fresh.masks[0])  # type: ignore[arg-type]
        monkeypatch.undo()


def test_a_mask_that_is_another_counts(tmp_path: Path) -> None:
    path = tmp_path / "mask.img"
    masks = [np.ones((30, 30), np.uint16) for _ in range(2)]
    masks[0][3, 4] = masks[1][7, 8] = 0
    one = Experiment.from_args(f"{LINE} -detpixels 30 -mask {path}".split())
    for mask in masks:
        write_smv(path, HEADER, mask)
        settled(path)
        first, second = resolved(one), resolved(turned(one))
        assert first.plan.detector.mask is second.plan.detector.mask
        assert np.array_equal(first.plan.detector.mask, mask)
        held = changed(one, detector={"mask_file": None, "mask": mask})
        assert resolved(held).plan.detector.mask is resolved(turned(held)).plan.detector.mask
        assert np.array_equal(resolved(held).plan.detector.mask, mask)


def test_masks_of_panels(monkeypatch: pytest.MonkeyPatch) -> None:
    def panel(x: float, dark: int) -> Panel:
        mask = np.ones((6, 5), bool)
        mask[dark, 0] = False
        return Panel("", 5, 6, (x, 0, 100), (0.1, 0, 0), (0, 0.1, 0), mask=mask)

    one = changed(
        Experiment.from_args(LINE.split()), detector={"convention": "dials", "panels": [panel(1, 1), panel(3, 2)]}
    )
    first, second = resolved(one), resolved(turned(one))
    for number, dark in enumerate((1, 2)):
        assert first.plans[number].detector.mask is second.plans[number].detector.mask
        assert np.argwhere(first.plans[number].detector.mask == 0).tolist() == [[dark, 0]]


@pytest.mark.parametrize("axis", ["stol", "px"])
def test_photons_that_are_added_are_made_once(axis: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    profile, image = tmp_path / "profile.txt", tmp_path / "image.npy"
    profile.write_text("0 9\n0.2 3\n30 1\n")
    np.save(image, np.random.default_rng(1).uniform(0, 9, (30, 30)))
    settled(image)
    option = "-background_profile" if axis == "stol" else "-background_profile_px"
    one = Experiment.from_args(f"{LINE} -detpixels 30 -pixel 2 -background_image {image} {option} {profile}".split())
    first = resolved(one)
    assert first.added is resolved(turned(one)).added
    others: list[dict[str, Any]] = [
        {"detector": {"distance_mm": 120.0}},
        {"beam": {"wavelength_angstrom": 1.2}},
        {"detector": {"roi": (0, 9, 0, 9)}},
        {"detector": {"beamstop_mm": 4.0}},
        {"background": {"profile_file": None}},
    ]
    for changes in [{}, *others]:
        made = resolved(changed(one, **changes)).added
        fresh = anew(monkeypatch, changed(one, **changes)).added
        monkeypatch.undo()
        assert made is not None
        assert fresh is not None
        assert np.array_equal(made, fresh)


def test_what_stands_for_an_object_is_the_same_for_itself_alone() -> None:
    held, other = [1.0], [1.0]
    assert Itself(held) == Itself(held)
    assert len({Itself(held), Itself(held), Itself(other)}) == 2
    assert Itself(held) != held
