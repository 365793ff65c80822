"""The rules of the house: who imports whom, what is shipped, how light the start is."""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import pkgutil
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest

import nbnumba

ROOT = Path(__file__).resolve().parent.parent
BUILT = shutil.ignore_patterns(".*", "__pycache__", "build", "demo", "dist", "*.egg-info")
LINKED = ("kernels", "golden_suite_generator")

MOST_LINES, MOST_OF_A_FUNCTION = 500, 60


def _python(*args: str | Path, cwd: Path = ROOT) -> str:
    done = subprocess.run([sys.executable, *args], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _sources() -> Iterator[str]:
    """Every module and data file under the name that it is installed by."""
    for folder, name in [("nbnumba", "nbnumba"), *((linked, f"nbnumba/{linked}") for linked in LINKED)]:
        for path in (ROOT / folder).rglob("*"):
            inside = path.relative_to(ROOT / folder)
            is_source = path.suffix == ".py" or path.name == "py.typed" or inside.parts[0] == "data"
            if path.is_file() and is_source and not (folder == "nbnumba" and inside.parts[0] in LINKED):
                yield f"{name}/{inside.as_posix()}"


@pytest.fixture(scope="module", params=["checkout", "sdist"])
def wheel(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    for module in ("build_manpages", "pip", "setuptools"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"building a wheel needs {module}")
    folder = tmp_path_factory.mktemp(request.param)
    tree = shutil.copytree(ROOT, folder / "tree", symlinks=True, ignore=BUILT)
    if request.param == "sdist":
        _python("-c", "from setuptools import setup; setup()", "-q", "sdist", "-d", folder, cwd=tree)
        with tarfile.open(next(folder.glob("*.tar.gz"))) as sdist:
            sdist.extractall(folder / "unpacked", filter="data")
        tree = next((folder / "unpacked").iterdir())
    _python("-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", folder, tree)
    return zipfile.ZipFile(next(folder.glob("*.whl")))


def test_import_contracts_are_kept() -> None:
    _python("-c", "from importlinter.cli import lint_imports_command; lint_imports_command()", "--no-cache")


def test_set_up_converts_units_by_their_module_alone() -> None:
    own = re.compile(
        r"[*/] 1e-?10\b|/ 1000\.0|\* 0\.001|\* 1e-[36]|/ 100\.0|[/*] RTD|math\.(?:radians|pi / 180)|deg2rad"
    )
    folders = (ROOT / "nbnumba" / name for name in ("setup", "structure_factors"))
    found = {path.stem: own.findall(path.read_text()) for folder in folders for path in folder.glob("*.py")}
    # The angles of a cell, as they are told.
    assert {name: hits for name, hits in found.items() if hits} == {"lattice": ["* RTD"]}


def test_a_module_is_one_idea_and_a_function_fits_on_a_screen() -> None:
    paths = [path for folder in ("nbnumba", *LINKED) for path in (ROOT / folder).rglob("*.py")]
    modules = {path.relative_to(ROOT).as_posix(): path.read_text() for path in paths}
    found = {name for name, text in modules.items() if len(text.splitlines()) > MOST_LINES}
    found |= {f"{name}:{function}" for name, text in modules.items() for function, lines in _lengths(text)
              if lines > MOST_OF_A_FUNCTION}  # fmt: skip
    assert found == set()


def _lengths(text: str) -> Iterator[tuple[str, int]]:
    """Functions with their lines, less those of the docstring."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0]
            told = 0 if ast.get_docstring(node) is None else first.end_lineno - first.lineno + 1
            yield node.name, node.end_lineno - node.lineno + 1 - told


def test_docstrings_do_not_count() -> None:
    assert list(_lengths('def f():\n    """Say.\n\n    More.\n    """\n    return 1\n')) == [("f", 2)]


def test_wheel_has_every_file_once(wheel: zipfile.ZipFile) -> None:
    shipped = [name for name in wheel.namelist() if name.startswith("nbnumba/")]
    assert sorted(shipped) == sorted(_sources())


def test_wheel_adds_one_name_to_the_top_level(wheel: zipfile.ZipFile) -> None:
    release = f"nbnumba-{nbnumba.__version__}"
    assert {name.split("/")[0] for name in wheel.namelist()} == {"nbnumba", f"{release}.dist-info", f"{release}.data"}


def test_wheel_has_the_man_page(wheel: zipfile.ZipFile) -> None:
    page = wheel.read(f"nbnumba-{nbnumba.__version__}.data/data/share/man/man1/nbnumba.1").decode()
    assert page.startswith(".TH NBNUMBA")
    assert r"\-lambda" in page


USERS_FILE = """
from pathlib import Path
from typing import Literal, assert_type

import numpy as np
import nbnumba
from nbnumba import Beam, Crystal, Detector
from numpy.typing import NDArray

crystal = Crystal(cell=[70, 80.0, 90, 90, 90, 90], cells=np.array([5, 5, 5]), size_mm=[None, 1, 2])
assert_type(crystal.cell, tuple[float, float, float, float, float, float] | None)
assert_type(crystal.cells, tuple[int, int, int])
assert_type(Crystal(misset_deg=np.zeros(3), matrix_file=Path("A.mat")).matrix_file, str | None)
assert_type(Crystal(misset_deg="random").misset_deg, tuple[float, float, float] | Literal["random"])
assert_type(Detector(roi=[0, 1, 2, 3], fast_axis=(1, 0, 0)).roi, tuple[int, int, int, int] | None)
Crystal(a_matrix=np.identity(3), u_matrix=[[1, 0, 0], (0.0, 1, 0), [0, 0, 1.0]])
Beam(sources=[[-1, 0, 0, 1, None]])
Detector(mask=np.ones((2, 2), bool))
Crystal(cell="70")  # wrong
Crystal(cells=[1.5, 2, 3])  # wrong
Crystal(misset_deg="randm")  # wrong
Detector(mask_file=1)  # wrong
Detector(mask=[1])  # wrong
Crystal(u_matrix=[1, 0, 0])  # wrong
crystal.cells = (5, 5, 6)  # wrong

experiment = nbnumba.changed(nbnumba.Experiment(crystal=crystal), mode="c")
image = nbnumba.simulate(experiment, backend="cpu")
assert_type(image, nbnumba.Image)
assert_type(image.photons, NDArray[np.float32])
image.save_raw(Path("a.bin"))
image.save_pgm(Path("a.pgm"))
assert_type(image.save_noise(Path("a.img")).photons, int)
image.save_raw(1)  # wrong
assert_type([image.noise().photons for image in nbnumba.simulate_many([experiment])], list[int])
image.save_sm("a.img")  # wrong
nbnumba.simulate(experiment, backend="gpu")  # wrong
nbnumba.simulte(experiment)  # wrong
"""


def test_users_checkers_see_types(wheel: zipfile.ZipFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    api = pytest.importorskip("mypy.api")
    wheel.extractall(tmp_path / "installed")
    (tmp_path / "user.py").write_text(USERS_FILE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "installed"))
    said, *_ = api.run(["--strict", "--cache-dir", str(tmp_path / "cache"), "user.py"])
    wrong = [number for number, line in enumerate(USERS_FILE.splitlines(), start=1) if line.endswith("# wrong")]
    assert sorted({int(line.split(":")[1]) for line in said.splitlines() if ": error: " in line}) == wrong, said


def test_everything_promised_completes_on_tab() -> None:
    listed = _python("-c", "import nbnumba, sys; print(*dir(nbnumba)); assert 'numpy' not in sys.modules").split()
    assert set(nbnumba.__all__) <= set(listed)
    assert len(listed) == len(set(listed))


def test_installed_version_is_that_of_the_package() -> None:
    assert importlib.metadata.version("nbnumba") == nbnumba.__version__


@pytest.mark.parametrize(
    "start",
    [
        pytest.param("import nbnumba", id="import"),
        pytest.param("from nbnumba.cli import main; main(['-h'])", id="help"),
        pytest.param("from nbnumba.cli import main; main(['-version'])", id="version"),
    ],
)
def test_start_does_not_wait_for_numpy_or_numba(start: str) -> None:
    look = "import atexit, sys; atexit.register(lambda: print(sorted({'numba', 'numpy'} & set(sys.modules))))"
    assert _python("-c", f"{look}; {start}").splitlines()[-1] == "[]"


def test_checkout_runs_without_installation(tmp_path: Path) -> None:
    tree = shutil.copytree(ROOT, tmp_path / "tree", symlinks=True, ignore=BUILT)
    assert nbnumba.__version__ in _python("-S", "cli.py", "-version", cwd=tree)


def test_what_holds_arrays_is_equal_to_itself_alone_and_shown_briefly() -> None:
    """Generated methods would compare arrays to an array of truths, fail to hash, and print numbers by the hundred."""
    from nbnumba.arrays import HoldsArrays
    from nbnumba.setup.inputs import read_inputs

    holders = {holder for holder in _dataclasses() if any("NDArray" in t or "ndarray" in t for t in _types(holder))}
    assert {"Image", "Inputs", "Rendering", "FactorTable"} <= {holder.__name__ for holder in holders}
    assert [holder for holder in holders if not issubclass(holder, HoldsArrays)] == []
    for holder in (holder for holder in _dataclasses() if issubclass(holder, HoldsArrays)):
        assert (holder.__eq__, holder.__hash__, holder.__repr__) == (
            object.__eq__, object.__hash__, HoldsArrays.__repr__)  # fmt: skip

    args = "-cell 70 80 90 -default_F 100 -N 5 -detpixels_f 40 -detpixels_s 30 -lambda 0.98 -oversample 3 -seed 1"
    image = nbnumba.simulate(nbnumba.Experiment.from_args(args.split()), backend="cpu")
    brightest = f"{image.photons.max():.3g}"
    assert repr(image) == f"Image(40 x 30 pixels, brightest {brightest} photons, 0.98 Å)"
    assert repr(image.resolved) == "Resolved(40 x 30 pixels, 0.98 Å, 9 samples a pixel)"
    noise = image.noise()
    counted = f"photons={noise.photons}, overloads={noise.overloads}, saturation=65534, bad=None"
    assert repr(noise) == f"NoiseImage(counts=uint16 (30, 40), {counted})"
    assert repr(image.resolved.scan) == "PhiSampling(start_deg=0.0, oscillation_deg=0.0, phi_rad=float64 (1,))"
    assert len(repr(read_inputs(image.experiment))) < 200
    assert image == image
    assert image != nbnumba.simulate(image.experiment, backend="cpu")
    assert len({image, image}) == 1


def _dataclasses() -> set[type]:
    modules = [importlib.import_module(name) for _, name, _ in pkgutil.walk_packages(nbnumba.__path__, "nbnumba.")
               if name.split(".")[1] not in (*LINKED, "testing", "__main__", "torch", "jax")]  # fmt: skip
    return {kind for module in modules for kind in vars(module).values()
            if isinstance(kind, type) and is_dataclass(kind) and kind.__module__ == module.__name__}  # fmt: skip


def _types(kind: type) -> list[str]:
    return [str(item.type) for item in fields(kind)]
