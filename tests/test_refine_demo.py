"""The examples of refinement lead back to the truth, as docs/refinement.md says."""

from __future__ import annotations

import json
import re
import runpy
import shlex
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from test_docs import blocks, typed_lines

from benchmarks import convergence
from nbnumba.cli import main
from nbnumba.refinement.names import BY_DETECTOR, SHORT

ROOT = Path(__file__).parent.parent
MOST_SECONDS = 60.0


def words_of(text: str) -> list[str]:
    """What is said, without numbers: their last digits, and those of standard deviations, are the machine's."""
    return re.sub(r"[-+]?[\d.]+(e[-+]?\d+)?(\(\d+\))?", " ", text).split()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::nbnumba.NbnumbaWarning")
def test_a_still_is_refined_as_the_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(ROOT / "examples", tmp_path / "examples", ignore=shutil.ignore_patterns("lysozyme_*[!l]"))
    (tmp_path / "examples" / "lysozyme_still").mkdir(exist_ok=True)
    (tmp_path / "nbnumba").symlink_to(ROOT / "nbnumba")
    monkeypatch.chdir(tmp_path)
    typed = typed_lines("refinement.md")
    assert len(typed) == 3
    for command, said in typed:
        program, *words = shlex.split(command)
        began = time.monotonic()
        if program == "python":
            # What it found is within three standard deviations.
            assert runpy.run_path(words[0])["main"](*words[1:]) == 0
        else:
            assert main(words) == 0
        assert time.monotonic() - began < MOST_SECONDS
        lines = [words_of(line) for line in capfd.readouterr().out.splitlines()]
        for line in said:
            assert any(words_of(line) == one[-len(words_of(line)):] for one in lines if one), line  # fmt: skip
    fit = json.loads(Path("examples/lysozyme_still/refine.json").read_text())["fit"]
    assert fit["r_factor"]["after"] < 0.16 < 0.19 < fit["r_factor"]["before"]
    assert 0.99 < fit["deviance_per_pixel"]["after"] < 1.02


def cells() -> list[str]:
    """Code of the notebook."""
    notebook = json.loads((ROOT / "examples" / "refinement.ipynb").read_text())
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
    return ["".join(cell["source"]) for cell in code]


@pytest.mark.filterwarnings("ignore:F are of a crystal with the cell:nbnumba.NbnumbaWarning")
def test_the_notebook_runs_and_finds_the_truth() -> None:
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    names: dict[str, Any] = {}
    for cell in cells():
        exec(cell.replace("PIXELS = 256", "PIXELS = 128"), names)
    pyplot.close("all")
    assert len(names["pulls"]) == 7
    assert max(abs(pull) for pull in names["pulls"].values()) < 4.0


@pytest.mark.filterwarnings("ignore::nbnumba.NbnumbaWarning")
def test_a_start_of_the_table_of_convergence_is_back() -> None:
    off, led = convergence.tried(convergence.Row("square", 10, misset_deg=0.1), 1, 1)
    assert 0.1 < off < 0.3
    assert {stages: is_back for stages, (is_back, _) in led.items()} == {"auto": True, "plain": True}


def test_the_page_has_the_rows_of_the_table_of_convergence() -> None:
    text = (ROOT / "docs" / "refinement.md").read_text()
    assert [row for row in convergence.ROWS if f"| {row.shape}, N {row.cells} | {row.told} |" not in text] == []


def test_the_page_names_all_that_is_refined_by_a_short_name() -> None:
    text = (ROOT / "docs" / "refinement.md").read_text()
    assert [name for name in (*SHORT, *BY_DETECTOR) if f"`{name}`" not in text] == []
    for block in blocks("refinement.md", "python"):
        if ">>>" not in block:
            compile(block, "refinement.md", "exec")
