"""The crystal's unit cell in the laboratory: from cell constants or an A matrix to a, b, c and a*, b*, c*."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import NbnumbaWarning, UsageError
from ..experiment import Beam, Cell, Crystal, Matrix
from ..experiment.quirks import PHYSICS, Quirks
from ..formats.matrix import is_singular
from ..kernels.equations.vectors import Vector, cross, dot, length, rotated_xyz, scaled
from ..unit_cell import cell_volume
from ..units import METRES_PER_ANGSTROM, RTD, metres_from_mm, radians_from_degrees

SAME_EDGE, SAME_ANGLE_DEG = 0.005, 0.3
"""Two cells that differ by less, relatively and in degrees, may be those of one crystal at two temperatures."""
WHOLE_WITHIN = 1e-9
"""So little more than a whole number of cells is rounding."""
ROTATES_WITHIN = 1e-5
"""Lengths and cosines of the columns of a rotation, as people round them."""


@dataclass(frozen=True)
class Lattice:
    """Cell edges in Å, reciprocal edges in Å⁻¹ (rows of the inverse transpose), volume in Å³."""

    a: Vector
    b: Vector
    c: Vector
    a_star: Vector
    b_star: Vector
    c_star: Vector
    volume: float
    misset_rad: Vector
    cells: tuple[int, int, int]

    @property
    def cell(self) -> Cell:
        """a, b, c in Å and α, β, γ in degrees."""
        return _constants(self.a, self.b, self.c)

    @property
    def reciprocal_cell(self) -> Cell:
        """a*, b*, c* in Å⁻¹ and α*, β*, γ* in degrees."""
        return _constants(self.a_star, self.b_star, self.c_star)


_X, _Y, _Z = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)
NO_LATTICE = Lattice(_X, _Y, _Z, _X, _Y, _Z, 1.0, (0.0, 0.0, 0.0), (1, 1, 1))
"""Of a crystal of which nothing is said, and nothing scatters."""


def orient_crystal(crystal: Crystal, beam: Beam, matrix: np.ndarray | None, wavelength_angstrom: float,
                   misset_rad: Vector, quirks: Quirks = PHYSICS) -> Lattice:  # fmt: skip
    """Reciprocal axes from the cell or the matrix, turned by the misset, and all that follows from them.

    Parameters
    ----------
    matrix : ndarray (3, 3) or None
        MOSFLM A matrix as in the file: columns a*, b*, c* in units of 1/λ.
    wavelength_angstrom : float
        λ by which the matrix is divided.
    misset_rad : tuple of 3 floats
        Rotation about the lab's x, then y, then z.
    quirks : Quirks
        Which tilt c* where two or three angles are oblique, and let rounding add a cell.

    Raises
    ------
    UsageError
        Neither cell nor matrix, or angles and lengths that close no cell.
    """
    stars = [rotated_xyz(star, *misset_rad) for star in _unturned(crystal, matrix, wavelength_angstrom, quirks)]

    crosses = [cross(stars[1], stars[2]), cross(stars[2], stars[0]), cross(stars[0], stars[1])]
    star_volume = dot(stars[0], crosses[0])
    if crystal.cell is not None:
        direct_volume = cell_volume(crystal.cell)
        edges = crystal.cell[:3]
        crosses = [scaled(v, edge / direct_volume / length(v)) for v, edge in zip(crosses, edges, strict=True)]
        star_volume = 1.0 / direct_volume
    # Twice the inverse, last bits included, as the reference has it: they can decide how many sub-pixels it takes.
    volume = 1.0 / star_volume
    a, b, c = (scaled(v, volume) for v in crosses)
    a_star, b_star, c_star = (scaled(v, star_volume) for v in (cross(b, c), cross(c, a), cross(a, b)))
    return Lattice(a, b, c, a_star, b_star, c_star, volume, misset_rad, _cells(crystal, beam, (a, b, c), quirks))


def widest(lattices: Sequence[Lattice]) -> Lattice:
    """Of the smallest cell, whose neighbouring reflections are farthest apart."""
    if len(lattices) == 1:
        return lattices[0]
    return max(lattices, key=lambda lattice: sum(map(length, (lattice.a_star, lattice.b_star, lattice.c_star))))


def axes_of_edges(cells: tuple[int, int, int]) -> tuple[Vector, Vector, Vector]:
    """In place of a*, b* and c*: with them the distance² of a Gaussian shape, times (NaNbNc)², is Σ(N·δ)².

    So a spot has the width of the square crystal's along each edge, where N counts that edge's cells alone.
    """
    na, nb, nc = cells
    return (1.0 / (nb * nc), 0.0, 0.0), (0.0, 1.0 / (nc * na), 0.0), (0.0, 0.0, 1.0 / (na * nb))


def warn_of_other_cell(cell: Cell, own: Cell, by_matrix: bool, wavelength_angstrom: float) -> None:
    """Warn that F are used with a cell that is not that of their file.

    Parameters
    ----------
    cell, own : tuple of 6 floats
        a, b, c in Å and α, β, γ in degrees of the crystal and of the file of F.
    by_matrix : bool
        The cell is that of an A matrix at ``wavelength_angstrom``: another wavelength would scale it.
    """
    edges = np.array(cell[:3]) / np.array(own[:3])
    angles = np.abs(np.array(cell[3:]) - np.array(own[3:]))
    if np.abs(edges - 1.0).max() <= SAME_EDGE and angles.max() <= SAME_ANGLE_DEG:
        return
    text = f"F are of a crystal with the cell {_text(own)} and are used with one of {_text(cell)}"
    scale = float(edges.mean())
    if by_matrix and np.abs(edges / scale - 1.0).max() <= SAME_EDGE and angles.max() <= SAME_ANGLE_DEG:
        text += f"; they agree at -lambda {wavelength_angstrom / scale:.6g}"
    warnings.warn(text, NbnumbaWarning, stacklevel=4)


def _text(cell: Cell) -> str:
    return " ".join(f"{constant:.6g}" for constant in cell)


def _unturned(crystal: Crystal, matrix: np.ndarray | None, wavelength_angstrom: float, quirks: Quirks) -> Matrix:
    """a*, b*, c* before the misset; Å⁻¹."""
    if crystal.a_matrix is not None:
        return _columns(crystal.a_matrix)
    if matrix is not None:
        x, y, z = (matrix / wavelength_angstrom).tolist()
        return _columns((x, y, z))
    if crystal.cell is None:
        raise UsageError(
            "no unit cell: give -cell a b c alpha beta gamma, -mat, -pdb or reflections that have one (-mtz, -cif_sf)"
        )
    stars = reciprocal_axes(crystal.cell, quirks.tilted_c_star)
    if crystal.u_matrix is None:
        return stars
    x, y, z = crystal.u_matrix
    a_star, b_star, c_star = ((dot(x, star), dot(y, star), dot(z, star)) for star in stars)
    return (a_star, b_star, c_star)


def reciprocal_axes(cell: Cell, tilted: bool = False) -> tuple[Vector, Vector, Vector]:
    """a* along x, b* in the xy plane, c* with z > 0; Å⁻¹.

    ``tilted``: c*'s third component is taken from the direct cell's volume, which is wrong where two or three
    angles are oblique (C-19).
    """
    a, b, c = cell[:3]
    alpha, beta, gamma = (radians_from_degrees(angle) for angle in cell[3:])
    # Operation by operation as in the reference, of which mode c needs the last bits too.
    volume = cell_volume(cell)
    star_volume = 1.0 / volume
    a_star, b_star, c_star = (
        b * c * math.sin(alpha) * star_volume,
        c * a * math.sin(beta) * star_volume,
        a * b * math.sin(gamma) * star_volume,
    )
    sin_gamma_star = min(1.0, c * star_volume / a_star / b_star)
    cos_alpha_star = (math.cos(beta) * math.cos(gamma) - math.cos(alpha)) / (math.sin(beta) * math.sin(gamma))
    cos_beta_star = (math.cos(gamma) * math.cos(alpha) - math.cos(beta)) / (math.sin(gamma) * math.sin(alpha))
    cos_gamma_star = (math.cos(alpha) * math.cos(beta) - math.cos(gamma)) / (math.sin(alpha) * math.sin(beta))
    leaning = cos_alpha_star - cos_beta_star * cos_gamma_star
    x, y = cos_beta_star, leaning / sin_gamma_star
    if tilted:
        z_of_c = c_star * volume / (a * b * c * sin_gamma_star)
    else:
        z_of_c = c_star * math.sqrt(max(0.0, 1.0 - x * x - y * y))
    return (
        (a_star, 0.0, 0.0),
        (b_star * cos_gamma_star, b_star * sin_gamma_star, 0.0),
        (c_star * x, c_star * leaning / sin_gamma_star, z_of_c),
    )


def why_no_axes(matrix: Matrix) -> str | None:
    """Why the columns of a matrix span no cell; None if they do."""
    if not is_singular(np.array(matrix)):
        return None
    return "is singular: its columns a*, b*, c* lie in one plane, or one of them is zero"


def why_no_rotation(matrix: Matrix) -> str | None:
    """Why a matrix does not rotate; None if it does."""
    columns = _columns(matrix)
    off = max(abs(dot(u, v) - (i == j)) for i, u in enumerate(columns) for j, v in enumerate(columns))
    if off > ROTATES_WITHIN:
        return f"is no rotation: its columns are not of length 1 and at right angles, but {off:.2g} off"
    if dot(columns[0], cross(columns[1], columns[2])) < 0.0:
        return "is no rotation: it turns a right hand into a left one (its determinant is -1)"
    return None


def _columns(matrix: Matrix) -> Matrix:
    x, y, z = matrix
    return ((x[0], y[0], z[0]), (x[1], y[1], z[1]), (x[2], y[2], z[2]))


def _angle(sine: float, cosine: float) -> float:
    return math.atan2(max(-1.0, min(1.0, sine)), max(-1.0, min(1.0, cosine)))


def _constants(u: Vector, v: Vector, w: Vector) -> Cell:
    def degrees(p: Vector, q: Vector) -> float:
        return _angle(length(cross(p, q)) / (length(p) * length(q)), dot(p, q) / (length(p) * length(q))) * RTD

    return (length(u), length(v), length(w), degrees(v, w), degrees(w, u), degrees(u, v))


def _cells(crystal: Crystal, beam: Beam, axes: tuple[Vector, Vector, Vector], quirks: Quirks) -> tuple[int, int, int]:
    """Unit cells along each axis: as given, or as many as the sample's edge takes; at least 1.

    As in the reference, rounding may have it that an edge of just so many cells has one more.
    """
    size_mm = list(crystal.size_mm)
    for axis, name in ((1, "y"), (2, "z")):
        edge = size_mm[axis]
        if edge is not None and edge > beam.size_mm:
            warnings.warn(
                f"sample {name} of {edge:g} mm is clipped to the beam, -beamsize {beam.size_mm:g} mm",
                NbnumbaWarning,
                stacklevel=3,
            )
            size_mm[axis] = beam.size_mm
    counts = []
    for edge, vector, count in zip(size_mm, axes, crystal.cells, strict=True):
        if edge is not None and edge > 0.0:
            fitting = metres_from_mm(edge) / length(scaled(vector, METRES_PER_ANGSTROM))
            count = math.ceil(fitting)
            if not quirks.rounding_adds_cell and fitting <= (count - 1) * (1.0 + WHOLE_WITHIN):
                count -= 1
        counts.append(max(1, count))
    return counts[0], counts[1], counts[2]
