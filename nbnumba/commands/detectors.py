"""``nbnumba detectors``: the detectors that ``-detector`` knows by name."""

from collections.abc import Iterator

from ..experiment.presets import PRESETS, Preset, preset_of
from .base import Parser

COLUMNS = "{:24s}{:>13s}{:>11s}  {:16s}{:13s}{:24s}{:>7s}"


def main(argv: list[str]) -> int:
    """Print a line of each, or all that is known of one."""
    names = _parser().parse_args(argv).name
    if names:
        print("\n\n".join("\n".join(_told(name, preset_of(name))) for name in names))
        return 0
    print(COLUMNS.format("name", "pixels", "edge (mm)", "sensor", "read-out", "largest count", "blind"))
    for name, preset in PRESETS.items():
        size = f"{preset.fast_pixels} x {preset.slow_pixels}"
        row = (name, size, f"{preset.pixel_mm:g}", _sensor(preset), preset.readout["kind"], _limits(preset))
        print(COLUMNS.format(*row, f"{preset.blind_share:.2%}"))
    return 0


def _parser() -> Parser:
    parser = Parser(
        prog="nbnumba detectors",
        description="List the detectors that -detector and detector.preset know: pixels as fast x slow, and how many "
        "of them are blind, between modules or outside a disc.",
    )
    parser.add_argument("name", nargs="*", help="tell all of these, and where it is from")
    return parser


def _sensor(preset: Preset) -> str:
    return f"{preset.sensor} {preset.thickness_um:g} µm"


def _limits(preset: Preset) -> str:
    bits, rate = preset.readout["bits"], preset.readout.get("cutoff_per_s")
    return f"{bits} bits{'' if rate is None else f', {rate:g}/s'}"


def _told(name: str, preset: Preset) -> Iterator[str]:
    """One detector, a line for each thing that is known."""
    fast, slow = preset.fast_pixels, preset.slow_pixels
    yield name
    yield (
        f"  {fast} x {slow} pixels (fast x slow) of {preset.pixel_mm:g} mm: {fast * preset.pixel_mm:g} x "
        f"{slow * preset.pixel_mm:g} mm, {preset.blind_share:.2%} of them blind"
    )
    if any(preset.module):
        between = f", {preset.middle} columns blind in the middle of each" if preset.middle else ""
        yield "  modules of {} x {} pixels".format(*preset.module) + between + ", gaps of {} x {}".format(*preset.gap)
    if preset.is_round:
        yield "  round: pixels outside its largest disc are blind"
    yield f"  sensor: {_sensor(preset)}"
    yield "  read-out:"
    yield from (f"    {field} = {_as_toml(value)}" for field, value in preset.readout.items())
    yield "  sources:"
    yield from (f"    {source}" for source in preset.sources)


def _as_toml(value: object) -> str:
    """As an experiment's file has it."""
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else f"{value:g}"
