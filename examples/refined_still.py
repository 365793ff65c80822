"""What `nbnumba refine` found, beside the truth, and spots of the image before and after.

python examples/refined_still.py TRUTH.toml START.toml FOLDER

The folder has the image, still.img, and what was made of it, refine.json and refined.toml; spots.png is added.
"""

import json
import sys
from pathlib import Path

import matplotlib

import nbnumba
from nbnumba.formats.counts import read_counts

MOST_PULL = 3.0
"""Standard deviations by which a number may be off."""
PART = slice(200, 420), slice(180, 480)
"""Rows along slow and columns along fast that are shown."""


def truth_of(experiment: nbnumba.Experiment, name: str) -> float:
    """A number of an experiment by its name, such as "crystal.cell[0]"."""
    noun, _, field = {"scale": "crystal.spot_scale"}.get(name, name).partition(".")
    field, _, index = field.partition("[")
    value = getattr(getattr(experiment, noun), field)
    return float(value[int(index.rstrip("]"))] if index else value)


def table(truth: nbnumba.Experiment, report: dict) -> tuple[list[str], float]:
    """A line for each refined number, and by how many standard deviations the worst is off."""
    lines, worst = [f"{'':22} {'start':>10} {'truth':>10} {'refined':>12} {'e.s.d.':>9}  off by"], 0.0
    for one in report["parameters"]:
        name, start, value, esd = (one[key] for key in ("name", "start", "value", "esd"))
        true = truth_of(truth, name)
        if one["equals"] is None:
            pull = (value - true) / esd
            worst = max(worst, abs(pull))
            lines.append(f"{name:22} {start:10.7g} {true:10.7g} {value:12.8g} {esd:9.2g}  {pull:+.1f} e.s.d.")
    return lines, worst


def picture(start: nbnumba.Experiment, refined: nbnumba.Experiment, image: Path, path: Path) -> None:
    """A part of the image, and of the crystal's photons before and after."""
    matplotlib.use("agg")
    from matplotlib import pyplot
    from matplotlib.colors import LogNorm

    models = [nbnumba.simulate(nbnumba.changed(one, background={"water_um": 0.0})).photons for one in (start, refined)]
    counts = read_counts(str(image), models[0].shape).pixels.astype(float)
    panels = {"measured": counts, "start": models[0], "refined": models[1]}
    rows, columns = PART
    figure, axes = pyplot.subplots(1, 3, figsize=(12.0, 3.4), dpi=80, layout="constrained")
    for place, (title, shown) in zip(axes, panels.items(), strict=True):
        place.imshow(shown[PART], cmap="gray_r", norm=LogNorm(20.0, 3000.0, clip=True), interpolation="nearest",
                     extent=(columns.start, columns.stop, rows.stop, rows.start))  # fmt: skip
        place.set(title=title, xlabel="fast (pixels)")
    axes[0].set_ylabel("slow (pixels)")
    figure.savefig(path)


def main(truth: str, start: str, folder: str) -> int:
    """Print the table, draw the picture; 1 where a number is off."""
    true, first = (nbnumba.Experiment.from_toml(Path(path).read_text()) for path in (truth, start))
    report = json.loads(Path(folder, "refine.json").read_text())
    refined = nbnumba.Experiment.from_toml(Path(folder, "refined.toml").read_text())
    lines, worst = table(true, report)
    print(*lines, sep="\n")
    picture(first, refined, Path(folder, "still.img"), Path(folder, "spots.png"))
    return int(worst > MOST_PULL)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:4]))
