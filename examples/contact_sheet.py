"""The frames of a campaign on one sheet: a thumbnail each, with its number and how many crystals are in it.

python examples/contact_sheet.py FOLDER sheet.png [frames]

It reads what any program could: the NXmx files in the folder of the campaign, by h5py.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import h5py
import hdf5plugin  # noqa: F401  unpacks the pixels
import matplotlib
import numpy as np

THUMBNAIL = 150
"""Pixels along its longer edge, or a few more."""
COLUMNS = 10
WHITE, BLACK = 1.0, 300.0
"""Counts."""


def thumbnail(pixels: np.ndarray, is_measured: np.ndarray) -> np.ndarray:
    """The largest count of each block of pixels, NaN where none was measured: a mean would wash out small spots."""
    block = -(-max(pixels.shape) // THUMBNAIL)
    slow, fast = (edge // block for edge in pixels.shape)
    counts = np.where(is_measured, pixels, -np.inf)[: slow * block, : fast * block]
    largest = counts.reshape(slow, block, fast, block).max(axis=(1, 3))
    return np.where(np.isfinite(largest), largest, np.nan)


def thumbnails(folder: Path, frames: int) -> Iterator[tuple[int, int, np.ndarray]]:
    """Number, crystals and thumbnail of the first frames of a campaign."""
    for path in sorted(folder.glob("[0-9]*/*.h5")):
        with h5py.File(path) as file:
            entry = file["entry"]
            numbers, hits = (entry["nbnumba/frames"][name][:].tolist() for name in ("frame", "hits"))
            is_measured = entry["instrument/detector/pixel_mask"][:] == 0
            for row, (number, crystals) in enumerate(zip(numbers, hits, strict=True)):
                if number < frames:
                    yield number, crystals, thumbnail(entry["data/data"][row], is_measured)


def main(folder: str, sheet: str = "sheet.png", frames: int = 100) -> None:
    """Make the sheet."""
    matplotlib.use("agg")
    from matplotlib import pyplot
    from matplotlib.colors import LogNorm

    found = list(thumbnails(Path(folder), frames))
    if not found:
        sys.exit(f"{folder}: has no files of a campaign")
    slow, fast = found[0][2].shape
    rows = -(-len(found) // COLUMNS)
    figure, axes = pyplot.subplots(rows, COLUMNS, figsize=(COLUMNS * fast / 100, rows * (slow + 20) / 100), dpi=100)
    for place in axes.flat:
        place.axis("off")
    for place, (number, crystals, counts) in zip(axes.flat, found, strict=False):
        place.imshow(counts, cmap="gray_r", norm=LogNorm(WHITE, BLACK, clip=True), interpolation="nearest")
        place.set_title(f"{number}: {crystals or 'none'}", fontsize=8, pad=2)
    figure.subplots_adjust(0.005, 0.002, 0.995, 0.99, wspace=0.04, hspace=0.14)
    figure.savefig(sheet)
    print(f"{sheet}: {len(found)} frames, number and crystals of each")


if __name__ == "__main__":
    main(*sys.argv[1:3], *map(int, sys.argv[3:4]))
