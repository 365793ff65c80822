"""A simulated image: photons, the experiment they come from, and the files they can be saved as."""

from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from os import PathLike
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from .arrays import HoldsArrays
from .dials_header import MASKED, check_header
from .experiment import Experiment
from .experiment.quirks import quirks_of
from .formats.files import Path
from .formats.pgm import write_pgm
from .formats.raw import write_raw
from .formats.smv import HeaderStyle, SmvGeometry, smv_header, write_smv
from .prediction import Oriented
from .response.counting import NoiseImage, photon_counts
from .response.integers import auto_gray_scale, auto_scale, gray_levels, scaled_counts
from .setup.geometry import Geometry, beam_center_of_fast_slow
from .setup.panels import unstacked
from .setup.reach import pixels_of_direct_beam
from .setup.resolve import Resolved
from .statistics import Statistics, image_statistics


@dataclass(frozen=True, eq=False, repr=False)
class Image(Oriented, HoldsArrays):
    """Expected photons of every pixel, float32 (slow, fast), and what they were simulated from."""

    resolved: Resolved
    """The experiment in SI, nothing left open."""
    photons: NDArray[np.float32]
    """Expected photons, shape (slow, fast); 0 where masked and outside the region of interest. Of several panels, all
    one above the other in their order, each from column 0 on."""

    @property
    def panels(self) -> tuple[NDArray[np.float32], ...]:
        """Photons of each panel (slow, fast): parts of the same array."""
        return unstacked(self.photons, [(panel.slow_pixels, panel.fast_pixels) for panel in self.resolved.panels])

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
        if quirks_of(resolved.experiment).scaled_to_direct_beam:
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

    def noise(self, seed: int | None = None, adc_offset: float = 40.0) -> NoiseImage:
        """The image as photons are counted: Poisson noise on the expected photons.

        Parameters
        ----------
        seed : int, optional
            The same one gives the same counts; that of the experiment by default.
        adc_offset : float
            Added to every count inside the region of interest.

        Returns
        -------
        NoiseImage
            Counts, uint16 (slow, fast), and how many photons and overloads are in them.
        """
        if seed is None:
            seed = self.experiment.noise.seed or 0
        return photon_counts(self.photons, self._roi, seed, adc_offset)

    def save_raw(self, path: Path) -> None:
        """Write the photons as native float32, fast axis fastest, without a header.

        Parameters
        ----------
        path : str or path
            File to be replaced.

        Raises
        ------
        ResourceError
            The file cannot be written.
        """
        write_raw(path, self.photons)

    def save_smv(
        self, path: Path, scale: float | None = None, adc_offset: float = 40.0, header: HeaderStyle = "c"
    ) -> None:
        """Write an SMV image of photons · scale + adc_offset as uint16.

        Parameters
        ----------
        path : str or path
            File to be replaced.
        scale : float, optional
            Counts per photon; by default :attr:`int_scale`.
        adc_offset : float
            Count of no photons.
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
        check_header(self.resolved, header, adc_offset, [path])
        counts = scaled_counts(self.photons, scale or self.int_scale, adc_offset, self._roi)
        self._write_smv(path, counts, adc_offset, header)

    def save_noise(
        self, path: Path, seed: int | None = None, adc_offset: float = 40.0, header: HeaderStyle = "c"
    ) -> NoiseImage:
        """Write an SMV image of counted photons + adc_offset as uint16.

        Parameters
        ----------
        path : str or path
            File to be replaced.
        seed : int, optional
            As in :meth:`noise`.
        adc_offset : float
            Count of no photons.
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
        check_header(self.resolved, header, adc_offset, [path])
        noise = self.noise(seed, adc_offset)
        self._write_smv(path, noise.counts, adc_offset, header)
        return noise

    def _write_smv(self, path: Path, counts: np.ndarray, adc_offset: float, header: HeaderStyle) -> None:
        if header == "dials":
            counts[~self._measured] = MASKED
        write_smv(path, smv_header(self.smv_geometry, header, adc_offset), counts)

    @property
    def _measured(self) -> np.ndarray:
        """Which pixels are in the region and not masked (slow, fast)."""
        fast0, fast1, slow0, slow1 = self._roi
        measured = np.zeros(self.photons.shape, bool)
        measured[slow0 : slow1 + 1, fast0 : fast1 + 1] = True
        mask = self.resolved.mask
        return measured if mask is None else measured & (mask != 0)

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
        scale = scale or self.pgm_scale()
        write_pgm(path, gray_levels(self.photons, scale, self._roi), scale)

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
        if self.experiment.detector.panels is not None:
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
        from .formats.png import ring_curve, ring_spacings, save_png

        geometry, wavelength = self.geometry, self.resolved.wavelength_angstrom
        rings = [
            (
                f"{d:g} Å",
                ring_curve(
                    d, wavelength, geometry.origin_m, geometry.fast, geometry.slow, geometry.beam, geometry.pixel_m
                ),
            )
            for d in ring_spacings(self.resolved.edge_angstrom)
        ]
        title = (
            f"{wavelength:.5g} Å, {geometry.distance_m * 1000.0:.5g} mm, "
            f"brightest pixel {self.statistics.maximum:.4g} photons"
        )
        save_png(path, self.photons, beam_center_px=geometry.beam_center_px, rings=rings, title=title)

    @property
    def smv_geometry(self) -> SmvGeometry:
        """What an SMV header says about the experiment."""
        return smv_geometry(self.resolved)

    @property
    def _roi(self) -> tuple[int, int, int, int]:
        return self.resolved.roi


def smv_geometry(resolved: Resolved) -> SmvGeometry:
    """What an SMV header says about an experiment."""
    geometry, mm = resolved.geometry, 1000.0
    x, y = geometry.xbeam_m, geometry.ybeam_m
    if not quirks_of(resolved.experiment).header_center_as_given:
        # Who reads the file knows the pixels, not what size the detector was given.
        slow_size = geometry.pixel_m * geometry.slow_pixels
        x, y = beam_center_of_fast_slow(
            geometry.convention, geometry.fbeam_m, geometry.sbeam_m, geometry.pixel_m, slow_size
        )
    return SmvGeometry(
        fast_pixels=geometry.fast_pixels,
        slow_pixels=geometry.slow_pixels,
        pixel_mm=geometry.pixel_m * mm,
        distance_mm=geometry.distance_m * mm,
        wavelength_angstrom=resolved.wavelength_angstrom,
        beam_center_mm=(x * mm, y * mm),
        fbeam_mm=geometry.fbeam_m * mm,
        sbeam_mm=geometry.sbeam_m * mm,
        slow_size_mm=geometry.slow_size_m * mm,
        dials_origin_mm=geometry.dials_origin_mm,
        orgx=geometry.orgx_px,
        orgy=geometry.orgy_px,
        close_distance_mm=geometry.close_distance_m * mm,
        phi_deg=resolved.scan.start_deg,
        oscillation_deg=resolved.scan.oscillation_deg,
        twotheta_deg=resolved.experiment.detector.twotheta_deg or 0.0,
    )
