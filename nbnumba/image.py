"""A simulated image: photons, the experiment they come from, and the files they can be saved as."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from io import BytesIO
from os import PathLike
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from .arrays import HoldsArrays
from .choices import listed
from .description import described, predicted_reflections
from .errors import UsageError
from .experiment import Experiment, Readout
from .experiment.quirks import quirks_of
from .formats import registry
from .formats.files import Path
from .formats.frame import CONTENTS, Content, Description, Frame, PanelGeometry
from .formats.images.smv import HeaderStyle, SmvGeometry, smv_geometry
from .left_out import LeftOut
from .prediction import Oriented
from .response.chain import LARGEST, NoiseImage, gray_levels, scaled_counts
from .response.integers import auto_gray_scale, auto_scale
from .setup.geometry import Geometry
from .setup.panels import PlacedPanel, unstacked
from .setup.reach import pixels_of_direct_beam
from .setup.resolve import Resolved
from .statistics import Statistics, image_statistics
from .units import kev_from_angstrom


@dataclass(frozen=True, eq=False, repr=False)
class Image(Oriented, HoldsArrays):
    """Expected photons of every pixel, float32 (slow, fast), and what they were simulated from."""

    resolved: Resolved
    """The experiment in SI, nothing left open."""
    photons: NDArray[np.float32]
    """Expected photons, shape (slow, fast); 0 where masked and outside the region of interest. Of several panels, all
    one above the other in their order, each from column 0 on."""
    left_out: LeftOut | None = None
    """What ``sampling.tolerance_photons`` left out, and what that may cost a pixel; None where nothing may be."""

    @property
    def panels(self) -> tuple[NDArray[np.float32], ...]:
        """Photons of each panel (slow, fast): parts of the same array."""
        return _by_panel(self.photons, self.resolved.panels)

    @property
    def summary(self) -> str:
        """Size, brightest pixel and wavelength."""
        slow, fast = self.photons.shape
        brightest, wavelength = self.statistics.maximum, self.resolved.wavelength_angstrom
        return f"{fast} x {slow} pixels, brightest {brightest:.3g} photons, {wavelength:.5g} Å"

    @property
    def experiment(self) -> Experiment:
        """With what headers gave and the seed that was drawn: simulated again, it gives the same image."""
        return self.resolved.experiment

    @property
    def geometry(self) -> Geometry:
        """Where the detector stands, in SI."""
        return self.resolved.geometry

    @cached_property
    def statistics(self) -> Statistics:
        """Maximum, mean, rms and rmsd over the rendered pixels."""
        return image_statistics(self.photons, self._roi, self.resolved.mask)

    @cached_property
    def statistics_beside_beam(self) -> Statistics:
        """The same without the pixels that F(0 0 0) alone outshines; with them in mode c, as the reference has it."""
        resolved = self.resolved
        if quirks_of(resolved.experiment).scaled_to_direct_beam or not resolved.has_crystal:
            return self.statistics
        direct = pixels_of_direct_beam(resolved.panels, resolved.lattice, resolved.sources, resolved.plans[0].factors)
        if direct is None:
            return self.statistics
        mask = resolved.mask
        beside = ~direct if mask is None else ~direct & (mask > 0)
        photons = np.where(beside, self.photons, np.float32(0.0))
        found = image_statistics(photons, self._roi, beside)
        return found if found.pixels else self.statistics

    @property
    def int_scale(self) -> float:
        """The scale that brings the largest pixel to 55000 (mode spec: the largest beside the direct beam's spot)."""
        return auto_scale(self.statistics_beside_beam.maximum)

    def noise(self, seed: int | None = None, adc_offset: float | None = None, threads: int | None = None) -> NoiseImage:
        """The image as the detector of the experiment reads it (docs/detectors.md).

        Parameters
        ----------
        seed : int, optional
            The same one gives the same counts; that of the experiment by default.
        adc_offset : float, optional
            Added to every count inside the region of interest; that of the experiment's readout by default.
        threads : int, optional
            At most so many, by default as many as this machine has cores; they change nothing but the time.

        Returns
        -------
        NoiseImage
            Counts, (slow, fast), and how many photons and overloads are in them.
        """
        if seed is None:
            seed = self.experiment.noise.seed or 0
        return read_out(self.resolved, self.description, self.photons, self._readout(adc_offset), seed, threads)

    def frame(
        self,
        content: Content = "photons",
        scale: float | None = None,
        adc_offset: float | None = None,
        seed: int | None = None,
        threads: int | None = None,
    ) -> Frame:
        """Pixels and all that a file can tell of them, for any format that holds such pixels.

        Parameters
        ----------
        content : {"photons", "picture", "gray", "scaled", "counted", "experiment", "reflections"}
            What the pixels are: expected photons, as data or to be looked at; their gray levels; photons · scale +
            adc_offset; counted photons + adc_offset. Or none: what else there is to tell, with or without where
            reflections are predicted.
        scale : float, optional
            Counts or gray levels for each photon; by default :attr:`int_scale` or :meth:`pgm_scale`.
        adc_offset : float, optional
            Count of no photons; that of the experiment's readout by default.
        seed, threads : int, optional
            As in :meth:`noise`.

        Returns
        -------
        Frame
            What a format or a sink takes.

        Raises
        ------
        UsageError
            There is no such content.
        """
        if content not in CONTENTS:
            raise UsageError(f"content {content!r}: give {listed(tuple(CONTENTS))}")
        if content == "experiment":
            return Frame(self.description, (), content, saturation=self._saturation)
        if content == "reflections":
            return Frame(self.description, (), content, reflections=predicted_reflections(self.resolved))
        readout = self._readout(adc_offset)
        offset = readout.adc_offset or 0.0
        if content == "counted":
            return counted_frame(self.description, readout, self.noise(seed, readout.adc_offset, threads))
        if content == "scaled":
            scale = scale or self.int_scale
            counts = _by_panel(scaled_counts(self.photons, self._roi, scale, readout), self.resolved.panels)
            return Frame(self.description, counts, content, scale, offset, saturation=LARGEST - 1.0)
        if content == "gray":
            scale = scale or self.pgm_scale()
            levels = _by_panel(gray_levels(self.photons, self._roi, scale), self.resolved.panels)
            return Frame(self.description, levels, content, scale)
        return Frame(self.description, self.panels, content)

    @property
    def _saturation(self) -> float | None:
        """The largest count to be trusted that the detector makes."""
        from .response.detection import chain_of  # which most images can do without

        kev = kev_from_angstrom(self.resolved.wavelength_angstrom)
        return chain_of(self.experiment.readout, self.experiment.beam.exposure_s, kev).saturation

    def _readout(self, adc_offset: float | None) -> Readout:
        readout = self.experiment.readout
        return readout if adc_offset is None else replace(readout, adc_offset=adc_offset)

    def save(
        self,
        path: Path,
        content: Content | None = None,
        scale: float | None = None,
        adc_offset: float | None = None,
        seed: int | None = None,
        **options: str,
    ) -> Frame:
        """Write the image in the format that the file's suffix names.

        Parameters
        ----------
        path : str or path
            File to be replaced: .img (SMV), .bin (float32 without a header), .npy, .pgm or .png.
        content : {"photons", "picture", "gray", "scaled", "counted", "experiment", "reflections"}, optional
            As in :meth:`frame`; by default what the format is for.
        scale : float, optional
            As in :meth:`frame`.
        adc_offset : float, optional
            As in :meth:`frame`.
        seed : int, optional
            As in :meth:`noise`.
        **options : str
            Of the format: ``header="dials"`` of SMV.

        Returns
        -------
        Frame
            What is in the file.

        Raises
        ------
        UsageError
            An unknown suffix, or a content or an option that the format does not have; an image that it cannot hold.
        ResourceError
            The file cannot be written.

        Warns
        -----
        NbnumbaWarning
            What the file leaves out.
        """
        image_format = registry.by_suffix(path)
        content = registry.content_of(image_format, content)
        return self._save_as(image_format.name, path, content, scale, adc_offset, seed, **options)

    def _save_as(
        self,
        format_name: str,
        path: Any,
        content: Content,
        scale: float | None = None,
        adc_offset: float | None = None,
        seed: int | None = None,
        **options: str,
    ) -> Frame:
        image_format = registry.named(format_name)
        options = registry.options_of(image_format, options)
        registry.check_panels(image_format, content, len(self.panels))
        image_format.check(path, self.description, self._readout(adc_offset).adc_offset or 0.0, **options)
        return registry.write(image_format, path, self.frame(content, scale, adc_offset, seed), **options)

    def save_raw(self, path: Path) -> None:
        """Write the photons as native float32, fast axis fastest, panel after panel, without a header.

        Parameters
        ----------
        path : str or path
            File to be replaced.

        Raises
        ------
        ResourceError
            The file cannot be written.
        """
        self._save_as("float32", path, "photons")

    def save_smv(
        self, path: Path, scale: float | None = None, adc_offset: float | None = None, header: HeaderStyle = "c"
    ) -> None:
        """Write an SMV image of photons · scale + adc_offset as uint16.

        Parameters
        ----------
        path : str or path
            File to be replaced.
        scale : float, optional
            Counts per photon; by default :attr:`int_scale`.
        adc_offset : float, optional
            Count of no photons; that of the experiment's readout by default.
        header : {"c", "dials"}
            As nanoBragg writes it, or such that DIALS reads the exact geometry; pixels that are masked or outside
            the region are then 65535, which DIALS leaves out.

        Raises
        ------
        UsageError
            An unknown ``header``; or "dials" for a geometry that SMV cannot say: a detector that is curved, seen from
            behind or not across the beam, or a scan about another axis than fast.
        ResourceError
            The file cannot be written.

        Warns
        -----
        NbnumbaWarning
            What a header "dials" leaves out: polarization, sensor, mask, the number in a file's name.
        """
        self._save_as("SMV", path, "scaled", scale, adc_offset, header=header)

    def save_noise(
        self, path: Path, seed: int | None = None, adc_offset: float | None = None, header: HeaderStyle = "c"
    ) -> NoiseImage:
        """Write an SMV image of counted photons + adc_offset as uint16.

        Parameters
        ----------
        path : str or path
            File to be replaced.
        seed : int, optional
            As in :meth:`noise`.
        adc_offset : float, optional
            As in :meth:`save_smv`.
        header : {"c", "dials"}
            As in :meth:`save_smv`.

        Returns
        -------
        NoiseImage
            What is in the file.

        Raises
        ------
        UsageError, ResourceError
            As in :meth:`save_smv`.

        Warns
        -----
        NbnumbaWarning
            As in :meth:`save_smv`.
        """
        frame = self._save_as("SMV", path, "counted", None, adc_offset, seed, header=header)
        return NoiseImage(frame.pixels[0], frame.photons or 0, frame.overloads or 0)

    def save_pgm(self, path: Path, scale: float | None = None) -> None:
        """Write a portable gray map: the integer part of photons · scale, at most 255.

        Parameters
        ----------
        path : str or path
            File to be replaced.
        scale : float, optional
            Gray levels per photon; by default :meth:`pgm_scale`.

        Raises
        ------
        ResourceError
            The file cannot be written.
        """
        self._save_as("PGM", path, "gray", scale)

    def pgm_scale(self, int_scale: float | None = None) -> float:
        """The scale by which five times the rmsd beside the direct beam becomes gray level 250.

        Parameters
        ----------
        int_scale : float, optional
            Taken where all pixels are alike; by default :attr:`int_scale`.

        Returns
        -------
        float
            Gray levels per photon.
        """
        return auto_gray_scale(self.statistics_beside_beam.rmsd, int_scale or self.int_scale)

    def _repr_png_(self) -> bytes | None:
        """How a notebook shows it: the picture of :meth:`save_png`, which there is of one panel alone."""
        if len(self.panels) > 1:
            return None
        picture = BytesIO()
        self.save_png(picture)
        return picture.getvalue()

    def save_png(self, path: str | PathLike[str] | BinaryIO) -> None:
        """Write a picture on a logarithmic scale, with beam centre and resolution rings.

        Parameters
        ----------
        path : str, path or binary file
            File to be replaced, or an open one to write into.

        Raises
        ------
        ResourceError
            The file cannot be written.
        """
        self._save_as("PNG", path, "picture")

    @cached_property
    def description(self) -> Description:
        """What files tell of the experiment, in the units of the field."""
        return described(self.resolved)

    @property
    def smv_geometry(self) -> SmvGeometry:
        """What an SMV header says about the experiment."""
        return smv_geometry(self.description)

    @property
    def _roi(self) -> tuple[int, int, int, int]:
        return self.resolved.roi


def read_out(
    resolved: Resolved,
    description: Description,
    photons: NDArray[np.float32],
    readout: Readout,
    seed: int,
    threads: int | None = None,
) -> NoiseImage:
    """What the detector of an experiment, as files are told of it, reads of photons (slow, fast)."""
    from .response.detection import detected, generator_of  # with kernels that most images can do without

    experiment = resolved.experiment
    return detected(
        photons, description.panels, readout, seed, experiment.noise.frame, generator_of(experiment),
        experiment.beam.exposure_s, kev_from_angstrom(resolved.wavelength_angstrom), resolved.bad_pixels, threads,
    )  # fmt: skip


def counted_frame(description: Description, readout: Readout, noise: NoiseImage) -> Frame:
    """Counts with what files can tell of them."""
    return Frame(
        description,
        _by_panel(noise.counts, description.panels),
        "counted",
        scale=1.0,
        adc_offset=readout.adc_offset or 0.0,
        photons=noise.photons,
        overloads=noise.overloads,
        saturation=noise.saturation,
        bad=None if noise.bad is None else _by_panel(noise.bad, description.panels),
    )


def _by_panel(image: NDArray[Any], panels: Sequence[PlacedPanel | PanelGeometry]) -> tuple[NDArray[Any], ...]:
    return unstacked(image, [(panel.slow_pixels, panel.fast_pixels) for panel in panels])
