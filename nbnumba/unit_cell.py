"""A unit cell from its constants."""

import math

from .experiment import Cell
from .units import radians_from_degrees


def cell_volume(cell: Cell) -> float:
    """V = 2abc·sqrt(sin σ sin(σ−α) sin(σ−β) sin(σ−γ)), σ half the sum of the angles; Å³."""
    a, b, c = cell[:3]
    alpha, beta, gamma = (radians_from_degrees(angle) for angle in cell[3:])
    sigma = (alpha + beta + gamma) / 2.0
    skew = math.sin(sigma) * math.sin(sigma - alpha) * math.sin(sigma - beta) * math.sin(sigma - gamma)
    return 2.0 * a * b * c * math.sqrt(abs(skew))


def why_no_cell(cell: Cell) -> str | None:
    """Why such a cell cannot exist, after its constants; None if it can."""
    text = " ".join(f"{x:g}" for x in cell)
    a, b, c, alpha, beta, gamma = cell
    if not all(0.0 < edge < math.inf for edge in (a, b, c)):
        return f"{text}: the edges must be above 0 Å"
    if not all(0.0 < angle < 180.0 for angle in (alpha, beta, gamma)):
        return f"{text}: the angles must lie between 0 and 180 degrees"
    closes = alpha + beta + gamma < 360.0 and alpha < beta + gamma and beta < alpha + gamma and gamma < alpha + beta
    if not closes or cell_volume(cell) < 1e-6 * a * b * c:
        return f"{text}: these angles close no cell; each must be less than the sum of the others, all less than 360"
    return None
