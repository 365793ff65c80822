"""What input files say that can hardly be meant: told before the work, as an error where it cannot be meant at all."""

import warnings
from itertools import islice

import numpy as np

from ..errors import InputFileError, NbnumbaWarning, UsageError
from ..experiment import Beam, Crystal, Experiment, with_right_values
from ..experiment.quirks import quirks_of
from ..formats.images.smv import dtrek_records
from ..formats.matrix import MosflmMatrix
from ..formats.sources import source_rows
from ..kernels.equations.vectors import Vector
from .geometry import DEFAULT_DISTANCE_MM, DEFAULT_PIXEL_MM
from .inputs import Inputs, header_number
from .lattice import orient_crystal
from .lattices import crystals
from .spectrum import has_spectrum

SHORTEST_CELL_ANGSTROM = 1.0
"""No crystal's longest edge is as short: where a matrix says so, it holds the edges themselves."""
CELLS_AGREE = 1e-3
"""Relative difference of two cells' edges that rounding explains, and so that of two wavelengths."""
ANGLES_AGREE_DEG = 0.1


def check_inputs(given: Experiment, experiment: Experiment, inputs: Inputs, beam: Vector, wavelength: float) -> None:
    """Check what the files hold against each other and against the options.

    Parameters
    ----------
    given, experiment : Experiment
        Without and with what the image headers say.
    inputs : Inputs
        Contents of the files.
    beam : tuple of 3 floats
        Unit vector along which it travels.
    wavelength : float
        In Å, that which counts.

    Raises
    ------
    InputFileError
        In mode spec: a matrix of direct axes, a source on the detector's side, in a file.
    UsageError
        The same in the experiment itself.

    Warns
    -----
    NbnumbaWarning
        What mode spec refuses, in mode c; headers that lack or contradict something; a matrix made for another
        wavelength, or left-handed.
    """
    _check_headers(experiment, inputs, wavelength)
    if given.scan.phi_deg is None and not quirks_of(experiment).header_keyword_anywhere:
        _check_start(inputs)
    for crystal, matrix in zip(crystals(experiment.crystal), (inputs.matrix, *inputs.lattice_matrices), strict=True):
        one = with_right_values(experiment, crystal=crystal)
        if matrix is not None:
            _check_matrix(one, matrix, wavelength)
        if crystal.a_matrix is not None:
            _check_a_matrix(one, np.array(crystal.a_matrix))
    if inputs.sources is not None:
        _check_sources(experiment, inputs.sources, beam)


def _check_headers(experiment: Experiment, inputs: Inputs, wavelength: float) -> None:
    """Say which default counts because neither a header nor an option gives a value."""
    images = [image for image in inputs.smv_images if image.header]
    dtrek = [record for image in images for record in dtrek_records(image.header)]
    missing = dict(_missing(experiment, inputs, wavelength))
    found = inputs.found
    if found is not None and "WAVELENGTH" in missing:
        _warn(f"{found.path}: no wavelength in the file, nor by option: the default counts, {missing['WAVELENGTH']}")
    if found is not None or not images or not missing or (list(missing) == ["beam centre"] and not dtrek):
        return
    text = f"{' and '.join(image.path for image in images)}: no {', '.join(missing)} in the header, nor by option"
    text += f": the default counts, {', '.join(missing.values())}"
    if dtrek:
        text += f"; d*TREK's keywords are not read, give options for {'; '.join(dtrek)}"
    _warn(text)


def _missing(experiment: Experiment, inputs: Inputs, wavelength: float) -> list[tuple[str, str]]:
    """What is not given, and its default in words."""
    detector = experiment.detector
    placed = detector.origin_mm is not None
    centre = (detector.beam_x_mm, detector.beam_y_mm, detector.close_x_mm, detector.close_y_mm)
    by_list = inputs.sources is not None and not np.isnan(inputs.sources[:, 4]).any()
    spectrum = by_list or has_spectrum(experiment.beam)
    is_given = {
        ("PIXEL_SIZE", f"{DEFAULT_PIXEL_MM:g} mm"): detector.pixel_mm is not None,
        ("DISTANCE", f"{DEFAULT_DISTANCE_MM:g} mm"): placed
        or detector.distance_mm is not None
        or detector.close_distance_mm is not None,
        ("WAVELENGTH", f"{wavelength:g} Å"): spectrum or experiment.beam.wavelength_angstrom is not None,
        ("beam centre", "the detector's centre"): placed
        or any(value is not None for value in (*centre, detector.orgx_px, detector.orgy_px)),
    }
    return [names for names, known in is_given.items() if not known]


def _check_start(inputs: Inputs) -> None:
    """Say that a header gives two spindle angles; the first image that gives any is the one that counts."""
    for image in inputs.smv_images:
        start, phi = (header_number(image, keyword, whole=True) for keyword in ("OSC_START", "PHI"))
        if start is not None and phi is not None and start != phi:
            _warn(f"{image.path}: OSC_START={start:g} counts, not PHI={phi:g}; -phi would decide")
        if start is not None or phi is not None:
            return


def _check_matrix(experiment: Experiment, matrix: MosflmMatrix, wavelength: float) -> None:
    path, by_cell = experiment.crystal.matrix_file, experiment.crystal.cell is not None
    _warn_of_left_hand(str(path), matrix.elements)
    if by_cell:  # Then the matrix gives directions alone.
        return
    at_one = orient_crystal(Crystal(), Beam(), matrix.elements, 1.0, (0.0, 0.0, 0.0)).cell
    edges = [wavelength * edge for edge in at_one[:3]]
    is_of = f"at -lambda {wavelength:g} its matrix is that of a cell of {_words(edges)} Å"
    if max(edges) < SHORTEST_CELL_ANGSTROM:
        text = f"{path}: {is_of}, which no crystal has: give a*, b*, c* in 1/Å times the wavelength, not axes in Å"
        _refuse_or_warn(experiment, InputFileError(text))
    elif matrix.cell is not None and not _agree((*edges, *at_one[3:]), matrix.cell):
        made_for = float(np.mean(np.divide(matrix.cell[:3], at_one[:3])))
        remedy = "and no wavelength makes them agree"
        if _agree((*(made_for * edge for edge in at_one[:3]), *at_one[3:]), matrix.cell):
            remedy = f"they agree at -lambda {made_for:.4g}"
        _warn(f"{path} gives its cell as {_words(matrix.cell)}, but {is_of}; {remedy}")
    elif matrix.cell is None and experiment.beam.wavelength_angstrom is None:
        by = "the mean wavelength of the spectrum," if has_spectrum(experiment.beam) else "the default wavelength of"
        _warn(f"-mat {path} without -lambda: its elements are divided by {by} {wavelength:g} Å")


def _check_a_matrix(experiment: Experiment, elements: np.ndarray) -> None:
    """The same of a matrix that the experiment holds, which no wavelength scales."""
    _warn_of_left_hand("crystal.a_matrix", elements)
    edges = orient_crystal(Crystal(), Beam(), elements, 1.0, (0.0, 0.0, 0.0)).cell[:3]
    if experiment.crystal.cell is None and max(edges) < SHORTEST_CELL_ANGSTROM:
        text = f"crystal.a_matrix: it is that of a cell of {_words(edges)} Å, which no crystal has: "
        _refuse_or_warn(experiment, UsageError(text + "give a*, b*, c* in 1/Å, not axes in Å"))


def _warn_of_left_hand(name: str, elements: np.ndarray) -> None:
    if np.linalg.det(elements / np.abs(elements).max()) < 0.0:
        _warn(
            f"{name}: a*, b*, c* are left-handed (a determinant below 0), so h k l are those of the mirror image: "
            "check the signs and the order of its rows and columns"
        )


def _agree(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return bool(
        np.allclose(one[:3], other[:3], rtol=CELLS_AGREE, atol=0.0)
        and np.allclose(one[3:], other[3:], rtol=0.0, atol=ANGLES_AGREE_DEG)
    )


def _check_sources(experiment: Experiment, sources: np.ndarray, beam: Vector) -> None:
    """Refuse a source that the beam travels towards."""
    behind = np.flatnonzero(sources[:, :3] @ np.array(beam) > 0.0)
    if len(behind) == 0:
        return
    path = experiment.beam.source_file
    problem = "a source on the detector's side of the sample, whose beam travels away from the detector: turn the signs"
    if path is None:
        _refuse_or_warn(experiment, UsageError(f"beam.sources row {behind[0]}: {problem}"))
        return
    try:
        error = next(islice(source_rows(path), int(behind[0]), None)).error(problem)
    except (InputFileError, StopIteration):  # a pipe, which is read once
        error = InputFileError(f"{path}: source {behind[0] + 1}: {problem}")
    _refuse_or_warn(experiment, error)


def _refuse_or_warn(experiment: Experiment, error: InputFileError | UsageError) -> None:
    if not quirks_of(experiment).bad_inputs_read:
        raise error
    _warn(str(error))


def _words(numbers: object) -> str:
    return " ".join(f"{x:.6g}" for x in np.ravel(np.asarray(numbers)))


def _warn(text: str) -> None:
    warnings.warn(text, NbnumbaWarning, stacklevel=4)
