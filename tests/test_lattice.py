"""Cell, reciprocal cell and orientation; and the amplitude of a lattice of each shape."""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbnumba.errors import NbnumbaWarning
from nbnumba.experiment import Beam, Crystal, Experiment, changed
from nbnumba.experiment.quirks import NANOBRAGG, PHYSICS, Quirks
from nbnumba.kernels import choices
from nbnumba.kernels.choices import GAUSS, ROUND
from nbnumba.kernels.equations.lattice_factor import interference, lattice_factor, sphere_amplitude, sphere_series
from nbnumba.kernels.equations.polarization import polarization_factor
from nbnumba.kernels.equations.vectors import rotated_about, rotated_xyz, unit
from nbnumba.setup.inputs import Inputs
from nbnumba.setup.lattice import Lattice, orient_crystal, reciprocal_axes
from nbnumba.setup.resolve import resolve
from nbnumba.testing.properties import xyz_angles_deg
from nbnumba.testing.strategies import cells, grid
from nbnumba.unit_cell import cell_volume

radians = st.tuples(*[grid(-180, 180).map(math.radians)] * 3)
misset = radians
NO_TURN = (0.0, 0.0, 0.0)


def oriented(
    cell: Any, misset_rad: Any = NO_TURN, matrix: Any = None, wavelength: float = 1.0, quirks: Quirks = PHYSICS
) -> Lattice:
    return orient_crystal(Crystal(cell=cell), Beam(), matrix, wavelength, misset_rad, quirks)


def rows(lattice: Lattice) -> tuple[np.ndarray, np.ndarray]:
    return (
        np.array([lattice.a, lattice.b, lattice.c]),
        np.array([lattice.a_star, lattice.b_star, lattice.c_star]),
    )


def metric(cell: Any) -> np.ndarray:
    """Dot products of the edges a, b, c."""
    edges = np.array(cell[:3])
    alpha, beta, gamma = np.cos(np.radians(cell[3:]))
    cosines = np.array([[1.0, gamma, beta], [gamma, 1.0, alpha], [beta, alpha, 1.0]])
    return np.outer(edges, edges) * cosines


@given(cell=cells(), angles=misset)
def test_cell_comes_back_in_any_orientation(cell: Any, angles: Any) -> None:
    lattice = oriented(cell, angles)
    real, reciprocal = rows(lattice)
    np.testing.assert_allclose(real @ real.T, metric(cell), atol=1e-9)
    np.testing.assert_allclose(real @ reciprocal.T, np.identity(3), atol=1e-12)
    np.testing.assert_allclose(lattice.cell, cell, atol=1e-6)
    assert lattice.volume == pytest.approx(math.sqrt(np.linalg.det(metric(cell))), rel=1e-10)
    assert np.linalg.det(real) == pytest.approx(cell_volume(cell), rel=1e-10)


@given(cell=cells(), angles=misset, counts=st.tuples(*[st.integers(1, 3000)] * 3))
def test_an_edge_of_just_so_many_cells_has_that_many(cell: Any, angles: Any, counts: tuple[int, int, int]) -> None:
    edges_mm = tuple(count * edge * 1e-7 for count, edge in zip(counts, cell[:3], strict=True))
    crystal = Crystal(cell=cell, size_mm=edges_mm)
    assert orient_crystal(crystal, Beam(size_mm=10.0), None, 1.0, angles).cells == counts


@given(cell=cells(), angles=misset, wavelength=grid(0.5, 3))
def test_a_matrix_holds_the_reciprocal_cell(cell: Any, angles: Any, wavelength: float) -> None:
    matrix = rows(oriented(cell, angles))[1].T * wavelength
    again = oriented(None, NO_TURN, matrix, wavelength)
    np.testing.assert_allclose(rows(again), rows(oriented(cell, angles)), rtol=1e-10, atol=1e-13)


@given(cell=cells())
def test_reciprocal_axes_lie_by_the_convention(cell: Any) -> None:
    a, b, c = reciprocal_axes(cell)
    assert (a[1], a[2], b[2]) == (0.0, 0.0, 0.0)
    assert min(a[0], b[1], c[2]) > 0.0


def test_mode_c_tilts_an_oblique_cell_as_the_reference_does() -> None:
    """C-19: its angles are known from the reference's own report."""
    oblique = (70.0, 80.0, 90.0, 75.0, 85.0, 95.0)
    np.testing.assert_allclose(oriented(oblique, quirks=NANOBRAGG).cell[3:], (75.0391, 85.0136, 95.0081), atol=6e-5)
    monoclinic = (60.0, 55.0, 82.0, 90.0, 112.5, 90.0)
    np.testing.assert_allclose(oriented(monoclinic, quirks=NANOBRAGG).cell, monoclinic, rtol=1e-12)


@given(angles=radians)
def test_misset_is_a_rotation_and_its_angles_come_back(angles: Any) -> None:
    matrix = np.column_stack([rotated_xyz(axis, *angles) for axis in np.identity(3).tolist()])
    np.testing.assert_allclose(matrix @ matrix.T, np.identity(3), atol=1e-14)
    assert np.linalg.det(matrix) == pytest.approx(1.0, rel=1e-14)
    again = [rotated_xyz(axis, *np.radians(xyz_angles_deg(matrix))) for axis in np.identity(3).tolist()]
    np.testing.assert_allclose(np.column_stack(again), matrix, atol=1e-13)


@pytest.mark.parametrize(("size_mm", "counts"), [(0.1, (17, 15, 2)), (4e-5, (17, 5, 2)), (0.0, (17, 4, 2))])
def test_sample_is_clipped_to_the_beam_across_it(size_mm: float, counts: tuple[int, int, int]) -> None:
    """A beam of no size leaves no edge along b, so that the number of cells counts, as in the reference."""
    crystal = Crystal(cell=(60, 80, 90, 90, 90, 90), size_mm=(1e-4, 1.15e-4, None), cells=(3, 4, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NbnumbaWarning)
        assert orient_crystal(crystal, Beam(size_mm=size_mm), None, 1.0, NO_TURN).cells == counts


@pytest.mark.parametrize(
    ("beam", "fluence"),
    [
        (Beam(flux_per_s=3.0, exposure_s=2.0, size_mm=10.0), 6e4),
        (Beam(flux_per_s=3.0, exposure_s=0.0, fluence_per_m2=7.0), 7.0),
        (Beam(flux_per_s=3.0, size_mm=0.0, fluence_per_m2=7.0), 7.0),
    ],
)
def test_flux_needs_an_exposure_and_a_beam_size(beam: Beam, fluence: float) -> None:
    experiment = changed(Experiment.from_args("-cell 70 80 90 -default_F 1 -detpixels 8".split()), beam=vars(beam))
    ignored = pytest.warns(NbnumbaWarning, match="-flux 3 is ignored") if fluence == 7.0 else contextlib.nullcontext()
    with ignored:
        assert resolve(experiment, Inputs()).fluence_per_m2 == pytest.approx(fluence)


def test_rotations_are_right_handed() -> None:
    quarter = math.pi / 2
    np.testing.assert_allclose(rotated_about((1.0, 0.0, 0.0), (0.0, 0.0, 1.0), quarter), (0, 1, 0), atol=1e-15)
    np.testing.assert_allclose(rotated_xyz((0.0, 1.0, 0.0), quarter, 0.0, 0.0), (0, 0, 1), atol=1e-15)
    np.testing.assert_allclose(rotated_xyz((0.0, 1.0, 0.0), quarter, quarter, 0.0), (1, 0, 0), atol=1e-15)


# F_latt ------------------------------------------------------------------------------------------------------------


class Shape(NamedTuple):
    """What the lattice factor reads of a crystal."""

    shape: int
    cells: tuple[int, int, int] = (4, 5, 7)
    fudge: float = 1.0
    a_star: Any = (0.02, 0.0, 0.0)
    b_star: Any = (0.001, 0.018, 0.0)
    c_star: Any = (0.002, -0.001, 0.015)


shapes = pytest.mark.parametrize("shape", choices.Shape, ids=lambda shape: shape.name)
indices = st.tuples(*[st.just(0.0) | st.integers(-9, 9).map(float) | grid(-9, 9, 1000)] * 3)


def amplitude(shape: Shape, hkl: Any) -> float:
    delta = np.array(hkl) - np.ceil(np.array(hkl) - 0.5)
    return lattice_factor(shape, *hkl, *delta.tolist())


@shapes
@given(hkl=indices, axis=st.integers(0, 2))
def test_lattice_factor_has_the_period_of_the_lattice(shape: int, hkl: Any, axis: int) -> None:
    further = [index + (axis == n) for n, index in enumerate(hkl)]
    expected = abs(amplitude(Shape(shape), hkl))
    assert abs(amplitude(Shape(shape), further)) == pytest.approx(expected, rel=1e-9, abs=1e-9)


@shapes
@given(hkl=indices)
def test_lattice_factor_is_centrosymmetric_and_below_its_peak(shape: int, hkl: Any) -> None:
    crystal = Shape(shape)
    value = amplitude(crystal, hkl)
    if all(abs(index % 1.0 - 0.5) > 1e-9 for index in hkl):  # halfway, either neighbour is the nearest
        assert abs(amplitude(crystal, [-index for index in hkl])) == pytest.approx(abs(value), rel=1e-9, abs=1e-9)
    assert abs(value) <= math.prod(crystal.cells) * (1 + 1e-12)


@shapes
def test_lattice_factor_peaks_at_reflections(shape: int) -> None:
    peak = math.prod(Shape(shape).cells) * (0.723601254558268 if shape == ROUND else 1.0)
    assert abs(amplitude(Shape(shape), (3.0, -2.0, 0.0))) == pytest.approx(peak, rel=1e-12)


@pytest.mark.parametrize("shape", [ROUND, GAUSS])
def test_fudge_scales_the_width(shape: int) -> None:
    """The same amplitude at half the distance from the reflection."""
    near = amplitude(Shape(shape, fudge=4.0), (0.01, 0.02, -0.015))
    assert near == pytest.approx(amplitude(Shape(shape), (0.02, 0.04, -0.03)), rel=1e-12)


@given(h=grid(-5, 5, 1000), count=st.integers(1, 60))
def test_interference_is_the_sum_over_cells(h: float, count: int) -> None:
    waves = np.exp(2j * np.pi * h * np.arange(count))
    assert abs(interference(h, count)) == pytest.approx(abs(waves.sum()), abs=1e-9)


@pytest.mark.parametrize("function", [sphere_amplitude, lambda x: sphere_series(x * x)])
def test_sphere_is_smooth_where_its_series_ends(function: Callable[[float], float]) -> None:
    from scipy.special import spherical_jn

    for x in (1e-6, 0.1, 0.2499, 0.25):
        assert function(x) == pytest.approx(3.0 * spherical_jn(1, x) / x, rel=1e-11)


# Polarization ------------------------------------------------------------------------------------------------------

directions = st.tuples(*[grid(-1, 1)] * 3).filter(lambda v: any(v)).map(unit)


@given(kahn=grid(-1, 1), diffracted=directions)
def test_polarization_lies_between_its_bounds(kahn: float, diffracted: Any) -> None:
    factor = polarization_factor(kahn, (1.0, 0.0, 0.0), diffracted, (0.0, 0.0, 1.0))
    cosine = diffracted[0]
    sine_sqr = 1.0 - cosine**2
    unpolarized = 0.5 * (1.0 + cosine**2)
    assert abs(factor - unpolarized) <= abs(kahn) * sine_sqr / 2 + 1e-15
    assert -1e-15 <= factor <= 1.0 + 1e-15


def test_nothing_is_scattered_along_the_field() -> None:
    beam, field, across = (1.0, 0.0, 0.0), (0.0, 0.0, 1.0), (0.0, 1.0, 0.0)
    assert polarization_factor(1.0, beam, field, field) == pytest.approx(0.0, abs=1e-15)
    assert polarization_factor(1.0, beam, across, field) == pytest.approx(1.0, rel=1e-15)
    assert polarization_factor(0.7, beam, beam, field) == pytest.approx(1.0, rel=1e-15)
