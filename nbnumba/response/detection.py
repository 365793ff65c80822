"""What a detector makes of expected photons: one chain of steps for each kind, panel by panel and band by band.

Steps of single pixels come in two parts, with what neighbours have to do with one another between them. What is spread
decides on the noise: a detector that counts moves photons to other pixels and counts them there, so that counts stay
Poisson deviates; one that integrates spreads the light of photons that it has stopped, and so smooths their noise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from ..experiment import Experiment, Generator, PointSpread, Readout
from ..experiment.quirks import quirks_of
from ..formats.frame import PanelGeometry
from ..units import seconds_from_ns
from . import deviates, flaws, switching
from .amplification import amplified, as_light, calibrated, counted, flickering, offset, pixels_flickering, rounded
from .band import Band, Counting, Tally
from .chain import NoiseImage, photon_counts
from .counting import SerialCounting
from .deviates import Window
from .integers import bands, cut
from .psf import Edges, spread

Photons = npt.NDArray[np.float32]
Step = Callable[[Any, Band], Any]
INT32 = int(np.iinfo(np.int32).max)
UINT16 = int(np.iinfo(np.uint16).max)


@dataclass(frozen=True)
class DetectorChain:
    """Steps in their order, and the integers at their end."""

    before: tuple[Step, ...]
    """From expected photons to what is spread."""
    after: tuple[Step, ...]
    """From what has been spread to what integers hold the whole part of."""
    largest: float
    """To which values are cut."""
    integers: type[np.integer[Any]]
    psf: PointSpread = "none"
    saturation: float | None = None
    """The largest count to be trusted; None: no count can be told from others."""

    @property
    def offset_alone(self) -> float | None:
        """What is added to counts, where each pixel's photons are counted and nothing else is done; else None."""
        if self.before or self.psf != "none" or len(self.after) != 2:
            return None
        count, last = self.after
        if count is not counted or not isinstance(last, partial) or last.func is not offset:
            return None
        return float(last.keywords["adc_offset"])


def chain_of(readout: Readout, exposure_s: float, photon_kev: float) -> DetectorChain:
    """The steps of a read-out from which nothing is left open.

    Parameters
    ----------
    readout : Readout
    exposure_s, photon_kev : float
        Exposure, and energy of a photon.
    """
    if readout.kind == "counting":
        return _counting(readout, exposure_s)
    if readout.kind == "integrating":
        return _integrating(readout)
    if readout.kind == "switching":
        return _switching(readout, photon_kev)
    steps: tuple[Step, ...] = (counted, partial(offset, adc_offset=readout.adc_offset or 0.0))
    largest = 2 ** (readout.bits or 16) - 1
    return DetectorChain((), steps, largest, np.uint16 if largest <= UINT16 else np.int32, saturation=largest - 1)


def _counting(readout: Readout, exposure_s: float) -> DetectorChain:
    """Photons are lost or moved before they are counted; a counter adds no noise of its own."""
    dead_s = seconds_from_ns(readout.deadtime_ns or 0.0)
    count: Step = counted
    if dead_s:
        from .deadtime import DeadTime, counted_while_dead  # with kernels of its own

        dead = DeadTime(dead_s / exposure_s, bool(readout.paralyzable), bool(readout.rate_correction))
        count = partial(counted_while_dead, dead=dead)
    largest = float(min(2 ** (readout.bits or 32) - 1, INT32))
    if readout.cutoff_per_s is not None:
        largest = min(largest, float(np.floor(readout.cutoff_per_s * exposure_s)))
    last = partial(offset, adc_offset=readout.adc_offset or 0.0)
    after: tuple[Step, ...] = (count, *_noisy(readout), last, *_dead_and_hot(readout, largest))
    before = (*_flickers(readout), *_calibration(readout))
    return DetectorChain(before, after, largest, np.int32, readout.psf or "none", largest - 1)


def _integrating(readout: Readout) -> DetectorChain:
    """Photons are stopped, and their light is spread, collected and converted."""
    light = (partial(as_light, swank=readout.swank),) if readout.swank not in (None, 1.0) else ()
    largest = float(2 ** (readout.bits or 16) - 1)
    converter = partial(
        amplified,
        gain=readout.gain or 1.0,
        adc_offset=readout.adc_offset or 0.0,
        read_noise=readout.read_noise or 0.0,
    )
    before: tuple[Step, ...] = (*_flickers(readout), counted, *light, *_calibration(readout))
    after: tuple[Step, ...] = (*_noisy(readout), converter, rounded, *_dead_and_hot(readout, largest))
    return DetectorChain(before, after, largest, np.uint16, readout.psf or "none", largest - 1)


def _switching(readout: Readout, photon_kev: float) -> DetectorChain:
    """The charge of photons decides which amplifier's number is read."""
    words = partial(switching.as_words, photon_kev=photon_kev)
    steps: tuple[Step, ...] = (*_flickers(readout), counted, *_calibration(readout), *_noisy(readout), words)
    if readout.words == "raw":
        return DetectorChain((), (*steps, *_dead_and_hot(readout, UINT16)), UINT16, np.uint16)
    gain, zero = readout.gain or 1.0, readout.adc_offset or 0.0
    back = partial(switching.converted, photon_kev=photon_kev, gain=gain, adc_offset=zero)
    largest = min(float(np.floor(switching.MOST_KEV / photon_kev * gain + zero)), INT32)
    steps = (*steps, back, rounded, *_dead_and_hot(readout, largest))
    return DetectorChain((), steps, largest, np.int32, saturation=largest - 1)


def _flickers(readout: Readout) -> Iterator[Step]:
    if readout.flicker:
        yield partial(flickering, flicker=readout.flicker)
    if readout.pixel_flicker:
        yield partial(pixels_flickering, flicker=readout.pixel_flicker)


def _calibration(readout: Readout) -> Iterator[Step]:
    if readout.calibration:
        yield partial(calibrated, calibration=readout.calibration, seed=readout.calibration_seed or 0)


def _noisy(readout: Readout) -> Iterator[Step]:
    if _has_flaws(readout):
        yield partial(flaws.with_noisy, seed=readout.bad_seed or 0)


def _dead_and_hot(readout: Readout, largest: float) -> Iterator[Step]:
    if _has_flaws(readout):
        yield partial(flaws.with_dead_and_hot, largest=largest)


def _has_flaws(readout: Readout) -> bool:
    return bool(readout.bad_fraction) or readout.bad_pixel_file is not None


def generator_of(experiment: Experiment) -> Generator:
    """Who draws the photon counts of an experiment."""
    return "ran1" if quirks_of(experiment).counted_in_order else "philox"


def detected(
    photons: Photons,
    panels: Sequence[PanelGeometry],
    readout: Readout,
    seed: int,
    frame: int,
    rng: Generator,
    exposure_s: float,
    photon_kev: float,
    listed: Sequence[npt.NDArray[np.int64]] = (),
    threads: int | None = None,
) -> NoiseImage:
    """What the detector reads of expected photons.

    A pixel's deviates depend on its place, seed and frame alone, so that a region is the crop of the whole image: but
    for the light that comes from outside it with a point spread, and but for ``rng`` "ran1", which draws pixels in
    their order.

    Parameters
    ----------
    photons : float32 array, shape (slow, fast)
        Expected photons; of several panels, all one above the other, each from column 0 on. What is not measured is
        taken for dark.
    panels : sequence of PanelGeometry
        Their pixels, and which of these are measured.
    readout : Readout
        From which nothing is left open.
    seed, frame : int
        The same two give the same counts.
    rng : {"philox", "ran1"}
        Who draws photon counts; all else is philox's. An ideal detector of 16 bits that ran1 draws for has the offset
        in masked pixels, too: nanoBragg's image, to the last bit.
    exposure_s, photon_kev : float
        Exposure, and energy of a photon.
    listed : sequence of int64 arrays, each of shape (n, 3)
        For each panel fast, slow and kind of bad pixels.
    threads : int, optional
        At most so many, by default as many as this machine has cores; they change nothing but the time.
    """
    if readout.kind == "ideal" and readout.bits in (None, 16) and rng == "ran1":
        return photon_counts(photons, panels[0].roi if len(panels) == 1 else None, seed, readout, frame)
    chain = chain_of(readout, exposure_s, photon_kev)
    counts, tally = np.zeros(photons.shape, chain.integers), Tally()
    bad = np.zeros(photons.shape, bool) if _has_flaws(readout) else None
    count: Counting = partial(deviates.poisson, seed=seed, frame=frame, threads=threads)
    if rng == "ran1":
        serial = SerialCounting(seed, frame)
        count = lambda expected, window: serial(expected.astype(np.float32, copy=False))  # noqa: E731
    first = row = 0
    for number, panel in enumerate(panels):
        here = slice(row, row + panel.slow_pixels), slice(0, panel.fast_pixels)
        wrong = _flaws_of(panel, first, readout, listed[number] if listed else None)
        if bad is not None and wrong is not None:
            bad[here] = (wrong != 0) & panel.measured
        place = partial(Band, seed=seed, frame=frame, count=count, tally=tally, threads=threads)
        _detect(chain, photons[here], panel, first, wrong, readout.psf_fwhm_um or 0.0, place, counts[here])
        first, row = first + panel.slow_pixels * panel.fast_pixels, row + panel.slow_pixels
    return NoiseImage(counts, round(tally.photons), tally.overloads, chain.saturation, bad)


def _flaws_of(
    panel: PanelGeometry, first: int, readout: Readout, listed: npt.NDArray[np.int64] | None
) -> flaws.Flaws | None:
    if not _has_flaws(readout):
        return None
    shape, window = (panel.slow_pixels, panel.fast_pixels), Window(first, panel.fast_pixels)
    kinds = flaws.random_flaws(shape, window, readout.bad_fraction or 0.0, readout.bad_seed or 0)
    if listed is not None:
        flaws.marked(kinds, listed)
    return kinds


def _detect(
    chain: DetectorChain,
    photons: Photons,
    panel: PanelGeometry,
    first: int,
    wrong: flaws.Flaws | None,
    fwhm_um: float,
    place: Callable[..., Band],
    out: npt.NDArray[Any],
) -> None:
    """Fill one panel."""
    dark = None if panel.mask is None else panel.mask == 0

    def band_of(rows: slice, columns: slice) -> Band:
        window = Window(first + rows.start * panel.fast_pixels + columns.start, panel.fast_pixels)
        return place(window, flaws=None if wrong is None else wrong[rows, columns])

    def arriving(part: tuple[slice, slice]) -> Any:
        """What is spread of some pixels, or counted."""
        values: Any = photons[part]
        if dark is not None and (hidden := dark[part]).any():
            values = np.where(hidden, np.float32(0.0), values)
        band = band_of(*part)
        for step in chain.before:
            values = step(values, band)
        return values

    whole = None
    if chain.psf != "none":
        whole = np.zeros(photons.shape)
        for part in bands(photons.shape, panel.roi):
            whole[part] = arriving(part)
        threads = band_of(slice(0, 1), slice(0, 1)).threads
        whole = spread(whole, chain.psf, edges_of(panel, fwhm_um), threads)
    for part in bands(photons.shape, panel.roi):
        values, band = arriving(part) if whole is None else whole[part], band_of(*part)
        for step in chain.after:
            values = step(values, band)
        if dark is not None:
            values[dark[part]] = 0.0
        band.tally.overloads += cut(values, chain.largest)
        out[part] = values


def edges_of(panel: PanelGeometry, fwhm_um: float) -> Edges:
    """Edges of a pixel along slow and fast, in units of a full width at half maximum."""
    slow, fast = (float(np.linalg.norm(step)) * panel.pixel_mm * 1000.0 / fwhm_um for step in (panel.slow, panel.fast))
    return slow, fast
