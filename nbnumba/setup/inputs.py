"""The input files of an experiment, read once into arrays; and what image headers say about it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np

from ..arrays import HoldsArrays
from ..errors import InputFileError, UsageError
from ..experiment import Experiment, Mask, nouns, with_right_values
from ..experiment.field import declared
from ..experiment.quirks import Quirks
from ..formats.added import read_added_image, read_profile
from ..formats.amorphous import read_amorphous
from ..formats.bad_pixels import read_bad_pixels
from ..formats.dispersion import DispersionCurve, read_dispersion
from ..formats.found import Found, read_found
from ..formats.images.smv import SmvImage, header_value, read_smv
from ..formats.matrix import MosflmMatrix, read_matrix
from ..formats.sources import read_sources
from ..formats.spectrum import Spectrum, read_spectra
from ..structure_factors.keeping import Itself, kept_while_same, kept_while_unchanged
from ..structure_factors.provider import FactorSource, dumped_factors, model_of, reflections_in, reflections_in_memory
from .found import with_found

T = TypeVar("T")

_spectra_in = kept_while_unchanged(read_spectra)
"""Each frame of a series takes one of a file's."""
_table_in, _image_in = kept_while_unchanged(read_amorphous), kept_while_unchanged(read_added_image)
_profile_in, _mask_in = kept_while_unchanged(read_profile), kept_while_unchanged(read_smv)

KEYWORDS = {
    "pixel_mm": "PIXEL_SIZE",
    "distance_mm": "DISTANCE",
    "close_distance_mm": "CLOSE_DISTANCE",
    "wavelength_angstrom": "WAVELENGTH",
    "oscillation_deg": "OSC_RANGE",
}
"""What image headers call the fields that cannot be any number."""


@dataclass(frozen=True, eq=False, repr=False)
class Inputs(HoldsArrays):
    """What the files named by an experiment hold; None where none is named."""

    matrix: MosflmMatrix | None = None
    lattice_matrices: tuple[MosflmMatrix | None, ...] = ()
    """Of the further lattices."""
    factors: FactorSource | None = None
    """What F are from."""
    sources: np.ndarray | None = None
    """x, y, z, weight, wavelength in m (n, 5), NaN where not given."""
    spectrum: Spectrum | None = None
    """Of a file."""
    curves: Mapping[str, DispersionCurve] = field(default_factory=dict)
    """f' and f'' by element, of those that have a file of them."""
    amorphous: np.ndarray | None = None
    """Two columns (n, 2): the axis of the file in Å⁻¹, F in electrons."""
    materials: tuple[np.ndarray | None, ...] = ()
    """The same of each material, None of those that have a name."""
    added_image: np.ndarray | None = None
    """Photons of each pixel (slow, fast), or of a file that does not tell its shape (pixels,)."""
    added_profile: np.ndarray | None = None
    """Two columns (n, 2): the axis of the file, photons per pixel."""
    bad: np.ndarray | None = None
    """Pixels that never count rightly: panel, fast, slow and what is wrong (n, 4)."""
    mask: SmvImage | None = None
    header: SmvImage | Found | None = None

    @property
    def smv_images(self) -> tuple[SmvImage, ...]:
        """The header's, then the mask's, those that there are."""
        return tuple(image for image in (self.header, self.mask) if isinstance(image, SmvImage))

    @property
    def found(self) -> Found | None:
        """What a file of another format than SMV describes."""
        return self.header if isinstance(self.header, Found) else None


def read_inputs(experiment: Experiment) -> Inputs:
    """Read every file that the experiment names; F of reflections and coordinates are made later, when more is known.

    Lists and masks that the experiment itself holds take the place of their files. Its matrices do not come here:
    they need no wavelength.

    Raises
    ------
    InputFileError
        A file that is missing, unreadable or not what it should be, by name and line.
    """
    detector, background = experiment.detector, experiment.background

    def read(reader: Callable[[str], T], path: str | None) -> T | None:
        return None if path is None else reader(path)

    beam, mask = experiment.beam, detector.mask
    return Inputs(
        matrix=read(read_matrix, experiment.crystal.matrix_file),
        lattice_matrices=tuple(read(read_matrix, one.matrix_file) for one in experiment.crystal.lattices or ()),
        factors=read_factors(experiment),
        sources=read(read_sources, beam.source_file) if beam.sources is None else np.array(beam.sources, float),
        spectrum=read(lambda path: _spectra_in(path).numbered(beam.spectrum_number), beam.spectrum_file),
        curves=read_curves(experiment),
        amorphous=read(_table_in, background.amorphous_file),
        materials=tuple(read(_table_in, one.table_file) for one in background.materials or ()),
        added_image=read(_image_in, background.image_file),
        added_profile=read(_profile_in, background.profile_file),
        bad=read(read_bad_pixels, experiment.readout.bad_pixel_file),
        mask=read(_mask_in, detector.mask_file) if mask is None else _without_header(mask),
        header=read(read_found, detector.header_file),
    )


def read_curves(experiment: Experiment) -> dict[str, DispersionCurve]:
    """f' and f'' of the elements that have a file of them; errors as of :func:`read_inputs`."""
    named = experiment.structure_factors.curve_files
    return {element: read_dispersion(file) for element, file in named.items() if file is not None}


@kept_while_same(Itself)
def _without_header(mask: Mask) -> SmvImage:
    return SmvImage("detector.mask", "", np.asarray(mask).astype(np.uint16))


def with_headers(experiment: Experiment, inputs: Inputs, quirks: Quirks) -> Experiment:
    """The experiment with what is not given in it taken from the file of -img, then from the mask's header.

    Parameters
    ----------
    quirks : Quirks
        Which decide on whole keywords, or the last place where the text of a keyword occurs (C-14).
    """
    whole = not quirks.header_keyword_anywhere
    detector = experiment.detector
    if detector.panels is None:
        detector = with_right_values(detector, pivot=detector.chosen_pivot)
        experiment = with_right_values(experiment, detector=detector)
    if inputs.found is not None:
        experiment = with_found(experiment, inputs.found)
    elif isinstance(inputs.header, SmvImage):
        if detector.panels is not None:
            raise UsageError(
                f"-img {inputs.header.path} beside detector.panels: its header is of one panel; leave out one of them"
            )
        experiment = _with_header(experiment, inputs.header, whole, y_from_top=False)
    if experiment.detector.mask is not None:
        experiment = _with_size(experiment, experiment.detector.mask)
    elif inputs.mask is not None:
        experiment = _with_header(experiment, inputs.mask, whole, y_from_top=True)
    return experiment


def _with_size(experiment: Experiment, mask: Mask) -> Experiment:
    """As a header's, a mask's size counts where none is given."""
    detector = experiment.detector
    fast = mask.fast_pixels if detector.fast_pixels is None else detector.fast_pixels
    slow = mask.slow_pixels if detector.slow_pixels is None else detector.slow_pixels
    return replace(experiment, detector=replace(detector, fast_pixels=fast, slow_pixels=slow))


def header_number(image: SmvImage, keyword: str, whole: bool) -> float | None:
    """The number that an image's header gives for a keyword, as :func:`nbnumba.formats.images.smv.header_value`."""
    try:
        return header_value(image.header, keyword, whole)
    except InputFileError as error:
        raise InputFileError(f"{image.path}: {error}") from error


def read_factors(experiment: Experiment) -> FactorSource | None:
    """What the experiment's F are from; None where it gives but a constant.

    Raises
    ------
    InputFileError
        As :func:`read_inputs`.
    UsageError
        Reflections beside coordinates.
    """
    factors = experiment.structure_factors
    if factors.hkl_file is None:
        for option, value in (("-labels", factors.labels), ("-space_group", factors.space_group)):
            if value is not None:
                raise UsageError(f"{option} without -hkl: it is of a file of reflections")
    if factors.coordinate_file is not None:
        if factors.hkl_file is not None or factors.reflections is not None:
            other = "structure_factors.reflections" if factors.hkl_file is None else f"-hkl {factors.hkl_file}"
            raise UsageError(
                f"{other} beside -pdb {factors.coordinate_file}: F are from one of them; -cell gives a cell alone"
            )
        return model_of(factors.coordinate_file, experiment.crystal.cell)
    if factors.reflections is not None:
        return reflections_in_memory(factors.reflections)
    if factors.hkl_file is not None:
        return reflections_in(factors.hkl_file, factors.hkl_format, factors.labels, factors.space_group)
    if factors.dump_file is not None and os.path.exists(factors.dump_file):
        return dumped_factors(factors.dump_file, factors.default_f)
    return None


def _with_header(experiment: Experiment, image: SmvImage, whole: bool, y_from_top: bool) -> Experiment:

    def value(keyword: str) -> float | None:
        return header_number(image, keyword, whole)

    slow_pixels, fast_pixels = image.pixels.shape
    pixel, y = value("PIXEL_SIZE"), value("BEAM_CENTER_Y")
    if y_from_top and y is not None:
        y = (0.1 if pixel is None else pixel) * slow_pixels - y
    orgx, orgy, phi = value("ORGX"), value("ORGY"), value("PHI")
    if whole:
        start = value("OSC_START")
        phi = phi if start is None else start
        orgx = value("XDS_ORGX") if orgx is None else orgx
        orgy = value("XDS_ORGY") if orgy is None else orgy
    found = {
        "detector": {
            "fast_pixels": fast_pixels,
            "slow_pixels": slow_pixels,
            "pixel_mm": pixel,
            "distance_mm": value("DISTANCE"),
            "close_distance_mm": value("CLOSE_DISTANCE"),
            "beam_x_mm": value("BEAM_CENTER_X"),
            "beam_y_mm": y,
            "orgx_px": orgx,
            "orgy_px": orgy,
            "twotheta_deg": value("TWOTHETA") if whole else None,
        },
        "beam": {"wavelength_angstrom": value("WAVELENGTH")},
        "scan": {"phi_deg": phi, "oscillation_deg": value("OSC_RANGE")},
    }
    for group, values in found.items():
        noun = getattr(experiment, group)
        missing = {name: v for name, v in values.items() if v is not None and getattr(noun, name) is None}
        for name in KEYWORDS.keys() & missing:
            least = declared(nouns()[group])[name].right[0]
            if not least.holds(missing[name]):
                raise InputFileError(
                    f"{image.path}: SMV header: {KEYWORDS[name]}={missing[name]:g} must {least.wants}, "
                    "or given by option"
                )
        experiment = replace(experiment, **{group: replace(noun, **missing)})
    return experiment
