"""``nbnumba detectors``: the detectors that ``-detector`` knows by name."""

from ..experiment.presets import PRESETS
from .base import Parser


def main(argv: list[str]) -> int:
    """Print name, pixels, their edge, modules and gaps of each, and how much of it the gaps are."""
    description = "List the detectors that -detector and detector.preset know: pixels as fast x slow."
    Parser(prog="nbnumba detectors", description=description).parse_args(argv)
    print(f"{'name':24s}{'pixels':>13s}{'edge (mm)':>11s}{'modules':>12s}{'gaps':>9s}{'in gaps':>9s}")
    for name, preset in PRESETS.items():
        size = f"{preset.fast_pixels} x {preset.slow_pixels}"
        columns, rows = preset.blind_lines(preset.fast_pixels, preset.slow_pixels)
        rendered = (1 - sum(columns) / len(columns)) * (1 - sum(rows) / len(rows))
        gaps = ["{} x {}".format(*pair) if any(pair) else "-" for pair in (preset.module, preset.gap)]
        print(f"{name:24s}{size:>13s}{preset.pixel_mm:11g}{gaps[0]:>12s}{gaps[1]:>9s}{100 * (1 - rendered):8.2f}%")
    return 0
