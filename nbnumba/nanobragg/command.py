"""What a command line says: the experiment, the files that are written, how the work is done."""

from dataclasses import dataclass
from typing import Literal

from ..choices import BackendName, Device, Precision
from ..experiment import Experiment
from ..experiment.field import COUNT, NOT_NEGATIVE, POSITIVE, field


@dataclass(frozen=True)
class Outputs:
    """Which files are written, and how their integers are scaled: what no detector decides."""

    files: tuple[str, ...] | None = None
    """In formats by their suffixes; they take the place of the four below, as far as these are not named."""
    counted: bool = True
    """Whether ``files`` hold what the detector counts, where their formats can, or what is expected of it."""
    float_file: str | None = "floatimage.bin"
    int_file: str | None = "intimage.img"
    pgm_file: str | None = "image.pgm"
    noise_file: str | None = "noiseimage.img"
    png_file: str | None = None
    report_file: str | None = None
    scale: float | None = field(None, NOT_NEGATIVE)
    """Counts per photon; None: such that the brightest pixel gets 55000 (mode spec: the direct beam's spot aside)."""
    pgm_scale: float | None = field(None, NOT_NEGATIVE)
    """Gray levels per photon; None: by the spread of the image."""
    header: Literal["c", "dials"] = "c"
    print_pixels: tuple[int, int] | Literal["all"] | None = field(None, NOT_NEGATIVE, unit="px")
    """Pixels whose values are printed: one (fast, slow), or all."""


@dataclass(frozen=True)
class Run:
    """How the work is done, and how often; nothing here changes what an image is."""

    images: int = field(1, COUNT)
    """Of a rotation, each of which begins where the one before it ends."""

    backend: BackendName = "auto"
    device: Device = 0
    """Number of the GPU, where one renders, or all of them together."""
    precision: Precision = "double"
    threads: int | None = field(None, POSITIVE)
    """None: one for each core."""
    progress: bool = True
    quiet: bool = False
    show: bool = False
    """Print the resolved experiment and stop."""
    trace_pixel: tuple[int, int] | None = field(None, NOT_NEGATIVE, unit="px")
    """Pixel (slow, fast) whose intermediate values are printed."""


@dataclass(frozen=True)
class Command:
    """All that a command line says."""

    experiment: Experiment
    outputs: Outputs
    run: Run
    labels: tuple[str, ...]
    """Differences between the modes that only the command line shows."""
    notes: tuple[str, ...] = ()
    """Words that were taken for what they are not."""
    experiment_file: str | None = None
    """Where the experiment began, before the options."""
