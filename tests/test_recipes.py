"""The recipes of CONTRIBUTING.md, followed to the letter in a copy of the tree: a shape, an image format."""

from __future__ import annotations

import filecmp
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from nbnumba import Experiment, simulate
from nbnumba.tolerances import FLOAT32

# Images of few samples.
pytestmark = pytest.mark.filterwarnings("ignore::nbnumba.errors.NbnumbaWarning")

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = ("nbnumba", "kernels", "golden_suite_generator", "tests")
LINE = "-cell 70 80 90 75 85 95 -default_F 100 -N 5 -detpixels 8 -pixel 4 -oversample 1 -fudge 0.01"


FOUND = re.findall(r"^### ([^\n]+): (\d+) files?\n(.*?)(?=^#|\Z)", (ROOT / "CONTRIBUTING.md").read_text(), re.M | re.S)
RECIPES = {title: (int(number), re.findall(r"^\d+\. `([^`]+)`", body, re.M)) for title, number, body in FOUND}
"""What each is for, the number of files that it states, and those that it lists."""


@pytest.mark.parametrize("title", RECIPES)
def test_a_recipe_counts_its_files(title: str) -> None:
    number, files = RECIPES[title]
    assert len(files) == number > 0
    assert [file for file in files if not (ROOT / file).is_file()] == []


# A copy of the tree ------------------------------------------------------------------------------------------------


def copy_of_the_tree(folder: Path) -> Path:
    for name in PROGRAM:
        ignored = shutil.ignore_patterns("__pycache__", *("golden", "independent")[: 2 * (name == "tests")])
        shutil.copytree(ROOT / name, folder / name, symlinks=True, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def edit(tree: Path, file: str, *changes: tuple[str, str]) -> None:
    """Put the second of each pair in place of the first, which stands there once."""
    text = (tree / file).read_text()
    for before, after in changes:
        assert text.count(before) == 1, f"{file}: {before!r} stands there {text.count(before)} times"
        text = text.replace(before, after)
    (tree / file).write_text(text)


def touched(tree: Path, names: tuple[str, ...] = PROGRAM) -> set[str]:
    """Files that are not as in the tree that it is a copy of, or not there."""
    here = {path.relative_to(tree) for name in names for path in (tree / name).rglob("*.py")}
    return {
        path.as_posix() for path in here
        if not (ROOT / path).exists() or not filecmp.cmp(tree / path, ROOT / path, shallow=False)
    }  # fmt: skip


def python(tree: Path, *words: str, check: bool = True, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words], cwd=tree, text=True, check=check, capture_output=True,
        env={**os.environ, "PYTHONPATH": str(tree), "NUMBA_CACHE_DIR": str(tree / "cache"), **environment},
    )  # fmt: skip


# A shape -----------------------------------------------------------------------------------------------------------

# The Gaussian once more, so that its images are known.
SHAPE = {
    "kernels/choices.py": [
        ("    TOPHAT = 4\n", "    TOPHAT = 4\n    BELL = 5\n"),
        ("SQUARE, ROUND, GAUSS, TOPHAT = Shape", "SQUARE, ROUND, GAUSS, TOPHAT, BELL = Shape"),
    ],
    "kernels/equations/lattice_factor.py": [
        ("from ..choices import ", "from ..choices import BELL, "),
        (
            "    TOPHAT: Spot(",
            "    BELL: Spot(False, 0.63 * math.log(2.0) / 2.0, 0.63 * math.log(100.0) / 2.0),\n    TOPHAT: Spot(",
        ),
        (
            "    elif crystal.shape == TOPHAT:\n",
            "    elif crystal.shape == BELL:\n"
            "        distance_sqr = reciprocal_distance_sqr(crystal, dh, dk, dl)\n"
            "        amplitude = peak * math.exp(-(distance_sqr / 0.63 * crystal.fudge))\n"
            "    elif crystal.shape == TOPHAT:\n",
        ),
        (
            "    elif len(shape) == TOPHAT:\n",
            "    elif len(shape) == BELL:\n"
            "        latt_sqr = bell_sqr(crystal, dh, dk, dl)\n"
            "    elif len(shape) == TOPHAT:\n",
        ),
        (
            "@inlined\ndef tophat_sqr(",
            "@inlined\ndef bell_sqr(crystal, dh, dk, dl):\n"
            "    scaled = reciprocal_distance_sqr(crystal, dh, dk, dl) * (crystal.fudge / 0.63)\n"
            "    amplitude = peak(crystal) * exp_clamped(-scaled)\n"
            "    return amplitude * amplitude\n\n\n@inlined\ndef tophat_sqr(",
        ),
    ],
    "kernels/cuda/steps.py": [
        ("from ..choices import ", "from ..choices import BELL, "),
        (
            "    elif len(shape) == TOPHAT:\n",
            "    elif len(shape) == BELL:\n"
            "        exponent = triangle_distance_sqr(image.triangle, dh, dk, dl) * (image.fudge * (-1.0 / 0.63))\n"
            "        amplitude = na * nb * nc * math.exp(exponent)\n"
            "    elif len(shape) == TOPHAT:\n",
        ),
    ],
    "nbnumba/experiment/types.py": [('"gauss", "tophat"]', '"gauss", "tophat", "bell"]')],
    "nbnumba/nanobragg/table.py": [
        (
            '    option("gauss_width", CRYSTAL,',
            '    option("bell_xtal", CRYSTAL, "spots of another make", sets={"crystal.shape": "bell"}),\n'
            '    option("gauss_width", CRYSTAL,',
        )
    ],
}
RENDER = """
import sys
import numpy as np
from nbnumba import Experiment
from nbnumba.render.canvas import Canvas
from nbnumba.render.job import render
from nbnumba.setup.inputs import Inputs
from nbnumba.setup.resolve import resolve
backend, out, *line = sys.argv[1:]
resolved = resolve(Experiment.from_args(line), Inputs())
canvas = Canvas(resolved.plan)
if backend == "cuda":
    from nbnumba.render.cuda.images import render_cuda
    render_cuda(resolved.plan, canvas, "double")
elif backend == "reference":
    from nbnumba.kernels.reference import fresh_memory, render as render_plainly
    render_plainly(resolved.plan, fresh_memory(resolved.plan), canvas.photons, canvas.done, canvas.stop, 1 << 62)
np.save(out, render(resolved, backend).photons if backend == "cpu" else canvas.photons)
"""
BACKENDS = {
    "cpu": {"NUMBA_OPT": "0"},
    "reference": {"NUMBA_DISABLE_JIT": "1"},
    "cuda": {"NUMBA_DISABLE_JIT": "1", "NUMBA_ENABLE_CUDASIM": "1"},
}
"""What they need around them. The first is compiled, as fast as can be; the last is simulated."""


def rendered(tree: Path, backend: str) -> np.ndarray | str:
    """The image, or the last line of what is said."""
    environment = {"PYTHONWARNINGS": "ignore", **BACKENDS[backend]}
    done = python(tree, "-c", RENDER, backend, "image.npy", *LINE.split(), "-bell_xtal", check=False, **environment)
    return done.stderr.strip().splitlines()[-1] if done.returncode else np.load(tree / "image.npy")


@pytest.fixture(scope="module")
def with_shape(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tree = copy_of_the_tree(tmp_path_factory.mktemp("shape"))
    for file, changes in SHAPE.items():
        edit(tree, file, *changes)
    return tree


def test_the_recipe_for_a_shape_lists_what_it_takes(with_shape: Path) -> None:
    assert touched(with_shape) == set(RECIPES["A crystal shape"][1])


@pytest.fixture(scope="module")
def gaussian() -> np.ndarray:
    return simulate(Experiment.from_args([*LINE.split(), "-gauss_xtal"]), "reference").photons


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_backend_has_the_new_shape(with_shape: Path, gaussian: np.ndarray, backend: str) -> None:
    assert np.count_nonzero(gaussian > 1e-3 * gaussian.max()) > 20
    np.testing.assert_allclose(rendered(with_shape, backend), gaussian, rtol=FLOAT32, atol=1e-9 * gaussian.max())


def test_tests_of_shapes_meet_the_new_one(with_shape: Path) -> None:
    files = "tests/test_lattice.py", "tests/test_kernels.py"
    found = python(with_shape, "-m", "pytest", "-q", "--collect-only", "-p", "no:cacheprovider", *files).stdout
    for name in (
        "has_the_period",
        "peaks_at_reflections",
        "reaches_as_far",
        "that_of_its_python",
        "the_plain_renderer",
    ):
        of_gauss, of_bell = (re.findall(rf"{name}.*{shape}", found, re.I) for shape in ("gauss", "bell"))
        assert len(of_bell) == len(of_gauss) > 0


@pytest.mark.parametrize(
    ("backend", "file", "branch", "said"),
    [
        (
            "reference", "kernels/equations/lattice_factor.py", "    elif crystal.shape == BELL",
            r"NotImplementedError: kernels/equations/lattice_factor\.py knows no crystal of this shape",
        ),
        (
            "cpu", "kernels/equations/lattice_factor.py", "    elif len(shape) == BELL",
            "NotImplementedError: the kernel has no branch for a crystal of shape 5",
        ),
        (
            "cuda", "kernels/cuda/steps.py", "    elif len(shape) == BELL",
            "nbnumba.errors.DeviceError: .*the kernel has no branch for a crystal of shape 5",
        ),
    ],
    ids=["reference", "cpu", "cuda"],
)  # fmt: skip
def test_a_twin_that_is_missing_is_told(
    with_shape: Path, tmp_path: Path, backend: str, file: str, branch: str, said: str
) -> None:
    tree = shutil.copytree(with_shape, tmp_path / "tree", symlinks=True, ignore=shutil.ignore_patterns("cache"))
    edit(tree, file, (branch, f"{branch} and False"))
    assert re.match(said, str(rendered(tree, backend)))


# An image format ---------------------------------------------------------------------------------------------------

LISTING = '''"""Images as tables of text."""

import numpy as np

from ..files import replacing
from ..registry import Format


def _write(path, frame):
    with replacing(path) as file:
        np.savetxt(file, frame.pixels[0], "%d")


FORMAT = Format("text", (".txt",), ("counted", "scaled"), _write)
'''
SAVE = f"""
from nbnumba import Experiment, simulate
image = simulate(Experiment.from_args("{LINE} -seed 7".split()), "cpu")
image.save("saved.txt")
try:
    image.save("saved.foo")
except Exception as error:
    print(error)
"""


def test_an_image_format_is_one_module(tmp_path: Path) -> None:
    tree = copy_of_the_tree(tmp_path)
    number, (neighbour,) = RECIPES["An image format"]
    (tree / neighbour).with_name("listing.py").write_text(LISTING)
    assert len(touched(tree)) == number
    # The kernels are those of this tree, and so is what has been compiled of them.
    kept = {name: os.environ.get(name, "") for name in ("NUMBA_CACHE_DIR",)}
    said = python(tree, "-W", "ignore", "-c", SAVE, **kept).stdout
    assert re.search(r"saved\.foo: no format has this suffix; known are .*\.txt \(text\)", said)
    command = [*LINE.split(), *"-seed 7 -noisefile counts.txt -intfile scaled.txt -backend cpu".split()]
    said = python(tree, "-W", "ignore", "-m", "nbnumba", *command, **kept).stdout
    assert "counts.txt  text as photons are counted" in said
    expected = simulate(Experiment.from_args([*LINE.split(), "-seed", "7"]), "cpu").noise().counts
    assert expected.std() > 0.0
    for name in ("saved.txt", "counts.txt"):
        np.testing.assert_array_equal(np.loadtxt(tree / name), expected)
    assert np.loadtxt(tree / "scaled.txt").max() > 50_000
