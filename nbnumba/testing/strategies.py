"""Hypothesis strategies: random experiments, noun by noun, that render in milliseconds and name no file.

Numbers lie on a grid of round values, so that 0, whole Miller indices, single unit cells and equal edges do occur
and a failing example reads well.
"""

from __future__ import annotations

from typing import Any, get_args

from hypothesis import strategies as st

from ..experiment import (
    OWN_PIVOT,
    Background,
    Beam,
    Crystal,
    Detector,
    Experiment,
    Goniometer,
    Mode,
    Noise,
    Pivot,
    Sampling,
    Scan,
    Shape,
    StructureFactors,
    Vector,
    changed,
)
from ..experiment.quirks import QUIRKS
from ..nanobragg.words import as_command_line
from .contents import amorphous_rows as amorphous_rows
from .contents import grid, vectors_near
from .contents import reflections as reflections
from .contents import source_rows as source_rows
from .contents import spectrum_rows as spectrum_rows

FRAMES: tuple[tuple[Vector, Vector, Vector], ...] = (
    ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
    ((1.0, 0.0, 0.0), (0.0, -1.0, 0.0), (0.0, 0.0, 1.0)),
    ((0.0, 0.0, 1.0), (0.0, -1.0, 0.0), (1.0, 0.0, 0.0)),
    ((0.0, 1.0, 0.0), (0.0, 0.0, -1.0), (-1.0, 0.0, 0.0)),
)
"""Fast, slow and normal of custom detectors, right-handed and left-handed."""

# The nouns ---------------------------------------------------------------------------------------------------------


def _sampled_range(name: str) -> st.SearchStrategy[dict[str, Any]]:
    """Range, step and count of one divergence, in every combination that may be given."""
    span, step, count = f"{name}_divergence_mrad", f"{name}_divergence_step_mrad", f"{name}_divergence_steps"
    width, several = grid(0.1, 10), st.integers(2, 3)
    # Ranges of no whole number of steps: rounding cannot decide how many there are.
    covered = st.tuples(width, several).map(lambda x: {step: x[0], span: x[0] * (x[1] - 0.5)})
    off_centre = st.tuples(width, several).map(lambda x: {step: x[0], span: 0.75 * x[0] * x[1], count: x[1]})
    return st.one_of(
        st.just({}),
        st.fixed_dictionaries({span: width, count: st.integers(1, 3)}),
        st.fixed_dictionaries({step: width}),
        covered,
        st.fixed_dictionaries({count: several}),
        off_centre,
    )


@st.composite
def beams(draw: st.DrawFn) -> Beam:
    """Wavelength, spectrum, divergence, polarization and fluence: 1 to 18 sources.

    Returns
    -------
    SearchStrategy
        Of Beam.
    """
    divergence = draw(st.sampled_from(["none", "horizontal", "vertical", "both"]))
    given: dict[str, Any] = {}
    if divergence in ("horizontal", "both"):
        given |= draw(_sampled_range("horizontal"))
    if divergence in ("vertical", "both"):
        given |= draw(_sampled_range("vertical"))
    if draw(st.booleans()):
        given |= {"dispersion_percent": draw(grid(0, 3)), "dispersion_steps": draw(st.none() | st.integers(1, 2))}
    if draw(st.booleans()):
        given |= {"flux_per_s": draw(grid(0, 2)) * 1e18, "exposure_s": draw(grid(0.1, 2)), "size_mm": 0.05}
    return Beam(
        wavelength_angstrom=draw(grid(0.5, 3)),
        round_divergence=draw(st.booleans()),
        kahn_factor=draw(st.sampled_from([0.0, 1.0, -1.0]) | grid(-1, 1)),
        polarization_correction=draw(st.booleans()),
        fluence_per_m2=draw(st.sampled_from([Beam.fluence_per_m2, 1e26, 3e30])),
        **given,
    )


@st.composite
def detectors(draw: st.DrawFn, mode: Mode = "spec") -> Detector:
    """Flat and curved detectors of up to 12 × 12 pixels, in every convention, turned about either pivot.

    Parameters
    ----------
    mode : {"spec", "c"}
        In mode c each convention has its own pivot, as in nanoBragg.

    Returns
    -------
    SearchStrategy
        Of Detector.
    """
    pixel = draw(st.sampled_from([0.1, 0.4, 1.0]))
    fast_pixels, slow_pixels = draw(st.integers(2, 12)), draw(st.integers(2, 12))
    convention: Any = draw(st.sampled_from([*OWN_PIVOT]))
    pivot: Any
    if convention == "custom":
        pivot = draw(st.sampled_from(get_args(Pivot)))
    elif QUIRKS[mode].pivot_by_convention:
        pivot = OWN_PIVOT[convention]
    else:
        pivot = draw(st.none() | st.sampled_from(get_args(Pivot)))
    return Detector(
        convention=convention,
        pivot=pivot,
        fast_pixels=fast_pixels,
        slow_pixels=slow_pixels,
        pixel_mm=pixel,
        point_pixel=draw(st.booleans()),
        curved=draw(st.sampled_from([False, False, True])),
        roi=draw(st.none() | rois(fast_pixels, slow_pixels)),
        **draw(_distances()),
        **draw(_centres(pixel)),
        **draw(_rotations()),
        **draw(_sensors()),
    )


def _distances() -> st.SearchStrategy[dict[str, Any]]:
    distance = grid(50, 300, 1)
    return st.one_of(
        st.just({}),
        st.fixed_dictionaries({"distance_mm": distance}),
        st.fixed_dictionaries({"close_distance_mm": distance}),
        st.fixed_dictionaries({"distance_mm": distance, "close_distance_mm": distance}),
    )


def _centres(pixel: float) -> st.SearchStrategy[dict[str, Any]]:
    """Beam centre and nearest point; often exactly on a pixel's edge or centre."""
    mm = st.integers(0, 24).map(lambda half: half * pixel / 2) | grid(-5, 15)
    return st.one_of(
        st.just({}),
        st.fixed_dictionaries({"beam_x_mm": mm, "beam_y_mm": mm}),
        st.fixed_dictionaries({"beam_x_mm": mm}),
        st.fixed_dictionaries({"close_x_mm": mm, "close_y_mm": mm}),
        st.fixed_dictionaries({"orgx_px": grid(-5, 15, 2), "orgy_px": grid(-5, 15, 2)}),
        st.fixed_dictionaries({"orgx_px": grid(-5, 15, 2), "beam_y_mm": mm}),
    )


def _rotations() -> st.SearchStrategy[dict[str, Any]]:
    """Turned by so little that the beam always meets the detector's face."""
    angle = st.just(0.0) | grid(-15, 15)
    return st.just({}) | st.fixed_dictionaries(
        {"rotx_deg": angle, "roty_deg": angle, "rotz_deg": angle, "twotheta_deg": grid(-20, 20)}
    )


def _sensors() -> st.SearchStrategy[dict[str, Any]]:
    thickness = st.sampled_from([0.0, 100.0, 450.0])
    depth = st.sampled_from([50.0, 500.0, float("inf")])
    return st.one_of(
        st.just({}),
        st.fixed_dictionaries({"thickness_um": thickness}),
        st.fixed_dictionaries(
            {"thickness_um": thickness, "attenuation_depth_um": depth, "layers": st.none() | st.integers(1, 3)}
        ),
    )


@st.composite
def rois(draw: st.DrawFn, fast_pixels: int, slow_pixels: int) -> tuple[int, int, int, int]:
    """First and last fast, first and last slow pixel of a region of a detector.

    Parameters
    ----------
    fast_pixels : int
        Of the detector.
    slow_pixels : int
        Of the detector.

    Returns
    -------
    SearchStrategy
        Of tuple of 4 ints.
    """
    fast = sorted(draw(st.tuples(*[st.integers(0, fast_pixels - 1)] * 2)))
    slow = sorted(draw(st.tuples(*[st.integers(0, slow_pixels - 1)] * 2)))
    return (fast[0], fast[1], slow[0], slow[1])


@st.composite
def custom_axes(draw: st.DrawFn, experiment: Experiment) -> Experiment:
    """The experiment with vectors of its own for beam, detector, two-theta, polarization and spindle.

    Parameters
    ----------
    experiment : Experiment
        Whose detector is of convention "custom".

    Returns
    -------
    SearchStrategy
        Of Experiment.
    """
    fast, slow, normal = draw(st.sampled_from(FRAMES))
    longer = (1.25 * normal[0], 1.25 * normal[1], 1.25 * normal[2])
    anywhere = st.tuples(grid(-1, 1), grid(-1, 1), grid(0.5, 1))
    return changed(
        experiment,
        beam={"direction": draw(vectors_near(normal)), "polarization_axis": draw(vectors_near(fast))},
        detector={
            "fast_axis": draw(vectors_near(fast)),
            "slow_axis": draw(vectors_near(slow)),
            "normal_axis": draw(st.sampled_from([normal, longer])),
            "twotheta_axis": draw(anywhere),
        },
        goniometer={"spindle_axis": draw(anywhere)},
    )


def scans() -> st.SearchStrategy[Scan]:
    """Stills and scans of up to 4 steps, some of which start at, or pass through, a φ of exactly 0.

    Returns
    -------
    SearchStrategy
        Of Scan.
    """
    start = st.none() | st.just(0.0) | grid(-180, 180)
    width = grid(0.1, 10)
    through_zero = st.tuples(width, st.integers(0, 3)).map(
        lambda x: Scan(phi_deg=-x[0] * x[1] / 4, oscillation_deg=x[0], steps=4)
    )
    covered = st.tuples(start, width, st.integers(0, 3)).map(
        lambda x: Scan(phi_deg=x[0], oscillation_deg=x[1] * (x[2] + 0.5), step_deg=x[1])
    )
    return st.one_of(
        st.just(Scan()),
        st.builds(Scan, phi_deg=start),
        st.builds(Scan, phi_deg=start, oscillation_deg=width),
        st.builds(Scan, phi_deg=start, step_deg=width),
        st.builds(Scan, phi_deg=start, steps=st.integers(1, 4)),
        st.builds(Scan, phi_deg=start, oscillation_deg=width, steps=st.integers(1, 4)),
        st.builds(Scan, phi_deg=start, oscillation_deg=width, steps=st.integers(1, 3), step_deg=width),
        covered,
        through_zero,
    )


def cells() -> st.SearchStrategy[tuple[float, float, float, float, float, float]]:
    """From cubic to triclinic: a, b, c in Å and α, β, γ in degrees.

    Returns
    -------
    SearchStrategy
        Of tuple of 6 floats.
    """
    edge, angle, right = grid(20, 120, 1), grid(70, 115, 2), st.just(90.0)
    return st.one_of(
        edge.map(lambda a: (a, a, a, 90.0, 90.0, 90.0)),
        st.tuples(edge, edge, edge, right, right, right),
        st.tuples(edge, edge, edge, right, angle, right),
        st.tuples(edge, edge, edge, right, angle, angle),
        st.tuples(edge, edge, edge, angle, angle, angle),
    )


@st.composite
def crystals(draw: st.DrawFn) -> Crystal:
    """Every shape, 1 to 15 cells along an edge, any orientation, up to 3 mosaic domains.

    Returns
    -------
    SearchStrategy
        Of Crystal.
    """
    count = st.sampled_from([0, 1, 2]) | st.integers(3, 15)
    given: dict[str, Any] = {}
    if draw(st.booleans()):
        given["mosaic_domains"] = draw(st.integers(1, 3))
        given["mosaic_spread_deg"] = draw(st.none() | grid(0, 2))
    if draw(st.sampled_from([False, False, True])):
        # Never a whole number of edges: rounding cannot decide how many there are.
        size = grid(1, 20, 1).map(lambda n: (n + 0.375) * 1e-5)
        given["size_mm"] = draw(st.tuples(*[st.none() | size] * 3))
    angle = grid(-180, 180)
    misset: st.SearchStrategy[Any] = st.just((0.0, 0.0, 0.0)) | st.tuples(angle, angle, angle) | st.just("random")
    return Crystal(
        cell=draw(cells()),
        misset_deg=draw(misset),
        misset_seed=draw(st.none() | st.integers(1, 10**9)),
        cells=draw(count.map(lambda n: (n, n, n)) | st.tuples(count, count, count)),
        shape=draw(st.sampled_from(["square", *get_args(Shape)])),
        fudge=draw(st.just(1.0) | grid(0.1, 3)),
        mosaic_seed=draw(st.integers(1, 10**9)),
        **given,
    )


def samplings() -> st.SearchStrategy[Sampling]:
    """One or two sub-pixels along an edge, with and without the factors of each, and resolution limits.

    No tolerance: properties are of all samples.

    Returns
    -------
    SearchStrategy
        Of Sampling.
    """
    return st.builds(
        Sampling,
        oversample=st.integers(1, 2),
        oversample_thick=st.booleans(),
        oversample_polar=st.booleans(),
        oversample_omega=st.booleans(),
        dmin_angstrom=st.just(0.0) | grid(1, 40, 1),
    )


def backgrounds() -> st.SearchStrategy[Background]:
    """No water, or so little that spots stand out.

    Returns
    -------
    SearchStrategy
        Of Background.
    """
    return st.builds(Background, water_um=st.sampled_from([0.0, 0.0, 0.01, 0.1]))


def structure_factors() -> st.SearchStrategy[StructureFactors]:
    """The same F everywhere; a table needs a file, see :func:`reflections`.

    Returns
    -------
    SearchStrategy
        Of StructureFactors.
    """
    return st.builds(StructureFactors, default_f=grid(1, 300, 1))


# The whole -----------------------------------------------------------------------------------------------------------


@st.composite
def experiments(draw: st.DrawFn, mode: Mode = "spec") -> Experiment:
    """Whole experiments without files.

    Parameters
    ----------
    mode : {"spec", "c"}
        In mode c each convention has its own pivot, as in nanoBragg.

    Returns
    -------
    SearchStrategy
        Of Experiment.
    """
    experiment = Experiment(
        beam=draw(beams()),
        detector=draw(detectors(mode)),
        goniometer=Goniometer(),
        scan=draw(scans()),
        crystal=draw(crystals()),
        structure_factors=draw(structure_factors()),
        background=draw(backgrounds()),
        sampling=draw(samplings()),
        noise=Noise(seed=draw(st.integers(1, 10**9))),
        mode=mode,
    )
    if experiment.detector.convention == "custom":
        experiment = draw(custom_axes(experiment))
    if _sub_pixels_asked_for(experiment) < 2.0 and draw(st.booleans()):
        experiment = changed(experiment, sampling={"oversample": 0})
    return experiment


def _sub_pixels_asked_for(experiment: Experiment) -> float:
    """Upper bound on the sub-pixels along an edge that the crystal's size will ask for."""
    crystal, detector = experiment.crystal, experiment.detector
    edges = [count * edge for count, edge in zip(crystal.cells, crystal.cell or (), strict=False)]
    longest = max(*edges, *((size or 0.0) * 1e7 + 120.0 for size in crystal.size_mm))
    nearest = min(detector.distance_mm or 100.0, detector.close_distance_mm or 100.0)
    return 3.0 * longest * (detector.pixel_mm or 0.1) / ((experiment.beam.wavelength_angstrom or 1.0) * nearest)


def command_lines(mode: Mode = "spec") -> st.SearchStrategy[list[str]]:
    """Experiments as nanoBragg's options, for other programs that take them.

    Parameters
    ----------
    mode : {"spec", "c"}
        In mode c each convention has its own pivot, as in nanoBragg.

    Returns
    -------
    SearchStrategy
        Of list of str.
    """
    return experiments(mode).map(as_command_line)
