"""The documents say what the program does."""

import importlib.util
import re
import shlex
import shutil
from pathlib import Path

import pytest
from documented_files import write_documented_files

from nbnumba.campaign.job import KEYS
from nbnumba.campaign.words import KINDS
from nbnumba.cli import COMMANDS, main
from nbnumba.commands.campaign import VERBS
from nbnumba.errors import DONE, INPUT_FILE, USAGE
from nbnumba.nanobragg.help import parser
from nbnumba.nanobragg.option_table import markdown
from nbnumba.nanobragg.table import OPTIONS
from nbnumba.tolerances import DOUBLE, INDEX, LATTICE, MIXED, PHOTONS, TAP

ROOT = Path(__file__).parent.parent


def test_option_table_is_that_of_the_parser() -> None:
    assert (ROOT / "docs" / "options.md").read_text() == markdown(), "run `make docs`"


def test_help_names_every_option_and_command() -> None:
    text = parser().format_help()
    assert [name for option in OPTIONS for name in option.names if f"-{name}" not in text] == []
    assert [command for command in COMMANDS if f"nbnumba {command}" not in text] == []


PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("tests/*/*.md")]
TEXTS = [
    *PAGES,
    *(ROOT / name for name in ("Makefile", "pyproject.toml", "setup.cfg", "cli.py")),
    *(path for name in ("nbnumba", "kernels", "golden_suite_generator", "tests", "benchmarks", "examples")
      for path in (ROOT / name).rglob("*.py")),
]  # fmt: skip


def headings(page: Path) -> list[str]:
    """What stands after # outside of blocks of code."""
    prose = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    return re.findall(r"^#+ +(.+)$", prose, flags=re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """Those that a heading has: in lower case, with - for a blank, without anything else."""
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings(page)}


def broken_links(page: Path, text: str) -> list[str]:
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        path, _, anchor = target.partition("#")
        there = page.parent / path if path else page
        if "://" not in target and not (there.exists() and (not anchor or anchor in anchors(there))):
            broken.append(f"{page.name}: {target}")
    return broken


def dangling(name: str, text: str) -> list[str]:
    """Files of the project, functions and titles that a text names and that are not there."""
    text = " ".join(text.split())
    folders = "docs|tests|benchmarks|examples|nbnumba|kernels|golden_suite_generator"
    files = re.findall(rf"(?<![\w/.])(?:(?:{folders})/[\w/]*\w\.(?:md|py)|[A-Z]+\.md)\b", text)
    missing = [file for file in files if not (ROOT / file).exists() and not (ROOT / "tests" / file).exists()]
    roles = re.findall(r":(?:func|class|meth):`~?([\w.]+)`", text)
    missing += [role for role in roles if role.split(".")[-1] not in DEFINED]
    named = r"""[Ss]ections? ["“]([^"”]+)["”]|["“]([^"”]+)["”] (?:in|of) the documentation|ation, ["“]([^"”]+)["”]"""
    titles = [title for found in re.findall(named, text) for title in found if title]
    missing += [title for title in titles if title not in {title for page in PAGES for title in headings(page)}]
    # The sign of a numbered section: no text here has numbers.
    missing += re.findall("\N{SECTION SIGN} ?[\\d.]*", text)
    return [f"{name}: {what}" for what in missing]


DEFINED = {name for path in TEXTS if path.suffix == ".py"
           for name in re.findall(r"^ *(?:async )?(?:def|class) (\w+)", path.read_text(), re.MULTILINE)}  # fmt: skip


def test_links_in_documents_lead_somewhere() -> None:
    assert [link for page in PAGES for link in broken_links(page, page.read_text())] == []


def test_what_a_text_refers_to_is_there() -> None:
    here = Path(__file__).name
    texts = {path.relative_to(ROOT).as_posix(): path.read_text() for path in TEXTS if path.name != here}
    assert [what for name, text in texts.items() for what in dangling(name, text)] == []


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("[gone](gone.md)", True),
        ("[gone](modes.md#gone)", True),
        ("[gone](#gone)", True),
        ("[there](modes.md#what-both-modes-refuse), [there](#many-images), [far](https://example.org/gone)", False),
        ("see docs/gone.md", True),
        ("see `nbnumba/gone.py`", True),
        ("see GONE.md, please", True),
        ("see :func:`gone` and its section", True),
        ('the section "Gone" tells', True),
        ('defined by "Gone" in\n the documentation', True),
        ('(documentation, "Gone")', True),
        ("as in \N{SECTION SIGN}3.1 there", True),
        ('see docs/modes.md, :func:`nbnumba.simulate`, section "Many images", ARCHITECTURE.md', False),
    ],
)
def test_a_reference_to_nothing_is_seen(text: str, seen: bool) -> None:
    page = ROOT / "docs" / "gpu.md"
    assert bool(broken_links(page, text) + dangling("a text", text)) == seen


def test_documents_state_the_tolerances() -> None:
    def written(number: float) -> str:
        digit, exponent = f"{number:.0e}".split("e")
        power = str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
        return f"10{power}" if digit == "1" else f"{digit}·10{power}"

    stated = {
        "benchmarks": [DOUBLE.relative, DOUBLE.of_max, MIXED.relative, MIXED.of_max],
        "golden_suite": [DOUBLE.relative, DOUBLE.of_max, MIXED.relative, MIXED.of_max],
        "gpu": [DOUBLE.relative, DOUBLE.of_max, MIXED.relative, MIXED.of_max],
        "testing": [DOUBLE.relative, DOUBLE.of_max],
        "traces": [TAP.relative, TAP.absolute, INDEX.absolute, PHOTONS.relative, LATTICE.relative],
    }
    for name, numbers in stated.items():
        text = (ROOT / "docs" / f"{name}.md").read_text()
        assert [number for number in map(written, numbers) if number not in text] == [], name


def test_example_makes_a_series(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import runpy

    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(ROOT / "examples" / "rotation_series.py"))["main"](frames=2, pixels=32)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lysozyme_00001.img", "lysozyme_00002.img"]


def typed_lines(page: str) -> list[tuple[str, list[str]]]:
    """The commands in a page's blocks of a console, each with the lines that it is to print, among others."""
    text = (ROOT / "docs" / page).read_text()
    blocks = re.findall(r"^```console\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    typed = "".join(blocks).removeprefix("$ ").split("\n$ ")
    return [(command, said) for command, *said in (one.strip().split("\n") for one in typed)]


def missing_lines(said: list[str], printed: str) -> list[str]:
    """Those that do not stand in what was printed, or in another order."""
    missing = []
    for line in said:
        before, found, after = printed.partition(line)
        if found:
            printed = after
        else:
            missing.append(f"{line} (among {before[-500:]})")
    return missing


def test_files_are_taken_as_the_page_on_files_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    write_documented_files(tmp_path)
    monkeypatch.chdir(tmp_path)
    for command, said in typed_lines("files.md"):
        program, *words = shlex.split(command)
        failed = main(words) != 0
        out, err = capfd.readouterr()
        assert program == "nbnumba"
        assert missing_lines(said, err + out) == [], command
        assert failed == any(re.match("nbnumba: (?!warning)", line) for line in said), command


def blocks(page: str, language: str) -> list[str]:
    """What stands between fences of a language."""
    text = (ROOT / "docs" / page).read_text()
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.filterwarnings("ignore::nbnumba.NbnumbaWarning")
def test_a_run_says_what_the_page_on_tolerances_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for command, said in typed_lines("tolerance.md"):
        program, *words = shlex.split(command)
        assert program == "nbnumba"
        assert main(words) == DONE
        assert said
        assert missing_lines(said, capfd.readouterr().out) == [], command


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::nbnumba.NbnumbaWarning")
def test_the_picture_of_the_page_on_tolerances_shows_what_was_evaluated(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from docs import tolerance_picture

    tolerance_picture.draw(tmp_path / "drawn.png")
    assert (tmp_path / "drawn.png").read_bytes().startswith(b"\x89PNG")
    for shape in tolerance_picture.SHAPES:
        image = tolerance_picture.with_tolerance(tolerance_picture.exact_image(shape, 256))
        shares = tolerance_picture.kept_share(image)
        assert shares.shape == (64, 64)
        assert image.left_out is not None
        assert shares.mean() == pytest.approx(image.left_out.share)
        assert shares.mean() < 0.5


@pytest.mark.filterwarnings("ignore::nbnumba.NbnumbaWarning")
def test_a_campaign_runs_as_the_page_on_campaigns_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for package in ("distributed", "h5py", "hdf5plugin", "pyarrow"):
        pytest.importorskip(package)
    shutil.copy(ROOT / "nbnumba" / "data" / "1hel.pdb", tmp_path / "model.pdb")
    monkeypatch.chdir(tmp_path)
    job = next(block for block in blocks("campaigns.md", "toml") if block.startswith("# stills.toml"))
    changes = {
        "stills.toml": ("", ""),
        "other_seed.toml": ("seed = 20261126", "seed = 1"),
        "wrong.toml": ("[vary]", '[vary]\n"crystal.mosaic_spread" = 0.1'),
    }
    for name, (before, after) in changes.items():
        Path(name).write_text(job.replace(before, after, 1))
    for command, said in typed_lines("campaigns.md"):
        program, *words = shlex.split(command)
        status = main(words)
        out, err = capfd.readouterr()
        assert program == "nbnumba"
        assert missing_lines(said, err + out) == [], command
        assert status == {"other_seed.toml": USAGE, "wrong.toml": INPUT_FILE}.get(words[2], DONE), command
    read = [block for block in blocks("campaigns.md", "python") if "stills/" in block]
    assert len(read) == 2
    for block in read:
        if "pandas" not in block or importlib.util.find_spec("pandas") is not None:
            exec(block, {})


def test_the_page_on_campaigns_knows_all_that_a_campaign_has() -> None:
    text = (ROOT / "docs" / "campaigns.md").read_text()
    assert [word for word in (*KEYS, *(f"{word} = " for word in KINDS)) if word not in text] == []
    assert [verb for verb in VERBS if f"| `{verb}" not in text] == []
    for block in blocks("campaigns.md", "python"):
        if ">>>" not in block:
            compile(block, "campaigns.md", "exec")


def test_the_page_on_files_names_every_option_that_takes_one() -> None:
    text = (ROOT / "docs" / "files.md").read_text()
    inputs = {"crystal", "structure_factors", "beam", "detector", "background"}
    named = [row for row in OPTIONS for target in row.targets
             if target.partition(".")[0] in inputs and target.endswith("_file")]  # fmt: skip
    assert len(named) > 10
    assert [name for row in named for name in row.names[:1] if f"-{name}" not in text] == []


def test_the_page_on_physics_names_what_is_there() -> None:
    text = (ROOT / "docs" / "physics.md").read_text()
    names = set(re.findall(r"`([A-Za-z][\w.]*)`", text))
    assert len(names) > 30
    assert sorted(name for name in names if name.split(".")[-1] not in DEFINED) == []
