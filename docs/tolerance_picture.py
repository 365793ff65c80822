"""The picture of the page on tolerances: ``python -m docs.tolerance_picture`` draws docs/tolerance.png.

Images of a square and of a Gaussian crystal, the share of samples that was evaluated in each tile, and by how much each
pixel differs from the exact image.
"""

from __future__ import annotations

import argparse
import warnings
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure

from nbnumba import Experiment, Image, NbnumbaWarning, changed, simulate
from nbnumba.kernels.choices import GAUSS
from nbnumba.kernels.compile.jit import compiled
from nbnumba.kernels.cpu.tables import make_tables, variant_of
from nbnumba.kernels.sparse.budget import choose_steps, new_testing
from nbnumba.kernels.sparse.scores import bounds_of
from nbnumba.kernels.sparse.spots import list_spots
from nbnumba.kernels.sparse.tiles import ACROSS, ALL, TILES, blocks_along

Array = npt.NDArray[np.float64]

TOLERANCE, PEAK_PHOTONS = 0.1, 1e5
LINE = (
    "-dmin 1.8 -misset 12 34 56 -lambda 1 -distance 200 -pixel 0.1 -Xbeam -8 -Ybeam 30 -N 30 -oversample 1 "
    "-mosaic 0.3 -mosaic_domains 20 -phi 1 -osc 1 -phisteps 10 -nointerpolate"
)
SHAPES = {"square": "-square_xtal", "Gaussian": "-gauss_xtal -gauss_width edges"}


def exact_image(shape: str, pixels: int) -> Image:
    """Lysozyme's, of so many pixels along each edge, the brightest of which has ``PEAK_PHOTONS``."""
    with as_file(files("nbnumba") / "data" / "1hel.pdb") as model, warnings.catch_warnings():
        warnings.simplefilter("ignore", NbnumbaWarning)
        words = [*LINE.split(), *SHAPES[shape].split(), "-pdb", str(model), "-detpixels", str(pixels)]
        dim = simulate(Experiment.from_args(words), backend="cpu")
        fluence = dim.resolved.fluence_per_m2 * PEAK_PHOTONS / float(dim.photons.max())
        return simulate(changed(dim.experiment, beam={"fluence_per_m2": fluence}), backend="cpu")


def with_tolerance(exact: Image) -> Image:
    """The same, of which samples are left out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NbnumbaWarning)
        return simulate(changed(exact.experiment, sampling={"tolerance_photons": TOLERANCE}), backend="cpu")


def kept_share(image: Image) -> Array:
    """Of all steps, the share that was evaluated in each tile (tiles along slow, along fast), 0 to 1."""
    plan, left_out = image.resolved.plan, image.left_out
    assert left_out is not None
    assert left_out.why == "", f"nothing to be seen: {left_out.why}"
    rows, columns = (blocks_along(pixels) for pixels in image.photons.shape)
    counts, tables, (shape, *_) = np.zeros((rows * columns, TILES)), make_tables(plan, False), variant_of(plan, False)
    if plan.crystal.shape == GAUSS:
        kept = list_spots(plan, tables, plan.tolerance, 1, lambda function, numbers: list(map(function, numbers)))
        bits = kept.tiles[:, None] >> np.arange(TILES, dtype=np.uint16) & 1
        np.add.at(counts, np.repeat(np.arange(len(counts)), np.diff(kept.first)), bits)
    else:
        count_kept(plan, bounds_of(plan, tables.cells, plan.tolerance), shape, counts)
    shares: Array = counts.reshape(rows, columns, ACROSS, ACROSS).transpose(0, 2, 1, 3)
    return shares.reshape(rows * ACROSS, columns * ACROSS) / (len(plan.sources.weight) * len(tables.cells))


@compiled()
def count_kept(plan: Any, bounds: Any, shape: Any, counts: Any) -> None:
    """Add up in each tile of each block the steps that are kept."""
    testing, across = new_testing(bounds.steps), blocks_along(plan.detector.fast_pixels)
    for block in range(counts.shape[0]):
        for n in range(choose_steps(plan, bounds, testing, block // across, block % across, ALL, shape)):
            for tile in range(TILES):
                counts[block, tile] += (testing.mask[n] >> tile) & 1


def draw(path: Path, pixels: int = 256) -> None:
    """Write the picture."""
    figure = Figure(figsize=(10.2, 6.0), dpi=90, layout="compressed")
    for row, (shape, all_axes) in enumerate(zip(SHAPES, figure.subplots(len(SHAPES), 3), strict=True)):
        exact = exact_image(shape, pixels)
        image = with_tolerance(exact)
        errors = (exact.photons.astype(np.float64) - image.photons) / TOLERANCE
        panels: tuple[tuple[str, npt.NDArray[Any], str, Normalize], ...] = (
            ("photons", image.photons, "gray_r", LogNorm(1e-2, PEAK_PHOTONS, clip=True)),
            ("samples evaluated (%)", 100.0 * kept_share(image), "viridis", LogNorm(0.1, 100.0, clip=True)),
            ("photons left out / tolerance", errors, "magma_r", LogNorm(1e-3, 1.0, clip=True)),
        )
        for axes, (title, values, colors, norm) in zip(all_axes, panels, strict=True):
            put(figure, axes, values, colors, norm, pixels)
            axes.set_title(title if row == 0 else "", fontsize=10)
        all_axes[0].set_ylabel(f"{shape} crystal", fontsize=10)
    figure.savefig(path)


def put(figure: Figure, axes: Axes, values: npt.NDArray[Any], colors: str, norm: Normalize, pixels: int) -> None:
    """One map with its scale."""
    shown = axes.imshow(values, colors, norm=norm, extent=(0, pixels, pixels, 0), interpolation="nearest")
    axes.set(xticks=[], yticks=[])
    figure.colorbar(shown, ax=axes, shrink=0.9)


def main() -> None:
    """Draw it where the page looks for it."""
    parser = argparse.ArgumentParser("python -m docs.tolerance_picture", description=__doc__)
    parser.add_argument("-o", type=Path, default=Path(__file__).parent / "tolerance.png", metavar="file")
    draw(parser.parse_args().o)


if __name__ == "__main__":
    main()
