"""The crystal at every spindle angle and in every mosaic domain."""

import numpy as np

from ..compile.jit import compiled
from .vectors import rotated_about, rotated_by


@compiled()
def turn_cell(crystal, phi, turned):
    """The cell at spindle angle φ, rows a, b, c of ``turned``; mode c leaves it alone where φ is exactly 0."""
    if phi == 0.0 and crystal.phi_carryover:
        return
    a = rotated_about(crystal.a, crystal.spindle, phi)
    b = rotated_about(crystal.b, crystal.spindle, phi)
    c = rotated_about(crystal.c, crystal.spindle, phi)
    for axis in range(3):
        turned[0, axis], turned[1, axis], turned[2, axis] = a[axis], b[axis], c[axis]


@compiled()
def unrotated_cell(crystal):
    """a, b, c as the rows of an array, m."""
    return np.array([list(crystal.a), list(crystal.b), list(crystal.c)])


@compiled()
def oriented_cells(crystal):
    """a, b, c (m) of every φ step and mosaic domain, φ outermost: (φ steps · domains, 9).

    A step that keeps the cell of the step before it finds, if it is the first, that of the sweep's last step.
    """
    domains = crystal.domains.shape[0]
    cells = np.empty((crystal.phi.shape[0] * domains, 9))
    turned = unrotated_cell(crystal)
    for phi in crystal.phi:
        turn_cell(crystal, phi, turned)
    for step in range(crystal.phi.shape[0]):
        turn_cell(crystal, crystal.phi[step], turned)
        for domain in range(domains):
            for edge in range(3):
                vector = (turned[edge, 0], turned[edge, 1], turned[edge, 2])
                rotated = rotated_by(vector, crystal.domains[domain])
                for axis in range(3):
                    cells[step * domains + domain, 3 * edge + axis] = rotated[axis]
    return cells
