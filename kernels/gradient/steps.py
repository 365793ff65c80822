"""What a step of the innermost loops is made of, however F is found: indices, and the sums that it is added to."""

import numpy as np

from ..compile.jit import internal
from ..compile.memory import add_to, read, write
from .change import CELL
from .room import BLOCK, COLUMNS, GH, GK, GL, NA, NB, NC, QX, QY, QZ, SQR, UX, UY, UZ

M0, M1, M2, M3, M4, M5, M6, M7, M8 = (np.uint32(COLUMNS + (CELL + n) * BLOCK) for n in range(9))


@internal(forceinline=True, fastmath={"contract"})
def along(axis, x, y, z):
    """The product of two vectors."""
    return axis[0] * x + axis[1] * y + axis[2] * z


@internal(forceinline=True)
def indices_at(axes, rows, p):
    """h, k and l of a pixel: the products of its scattering vector with a, b and c."""
    a, b, c = axes
    x, y, z = read(rows, p + QX), read(rows, p + QY), read(rows, p + QZ)
    return along(a, x, y, z), along(b, x, y, z), along(c, x, y, z)


@internal(forceinline=True, fastmath={"contract"})
def add_moments(rows, p, gh, gk, gl, h, k, l):
    """g·hᵀ."""
    add_to(rows, p + M0, gh * h)
    add_to(rows, p + M1, gh * k)
    add_to(rows, p + M2, gh * l)
    add_to(rows, p + M3, gk * h)
    add_to(rows, p + M4, gk * k)
    add_to(rows, p + M5, gk * l)
    add_to(rows, p + M6, gl * h)
    add_to(rows, p + M7, gl * k)
    add_to(rows, p + M8, gl * l)


@internal(forceinline=True, fastmath={"contract"})
def add_direction(rows, p, axes, gh, gk, gl):
    """Mᵀg, in m."""
    a, b, c = axes
    add_to(rows, p + UX, a[0] * gh + b[0] * gk + c[0] * gl)
    add_to(rows, p + UY, a[1] * gh + b[1] * gk + c[1] * gl)
    add_to(rows, p + UZ, a[2] * gh + b[2] * gk + c[2] * gl)


@internal(forceinline=True)
def keep_step(rows, p, g, counts, latt_sqr):
    """Keep what is not always summed: g, what the shape gives besides, F_latt²; all weighed."""
    write(rows, p + GH, g[0])
    write(rows, p + GK, g[1])
    write(rows, p + GL, g[2])
    write(rows, p + NA, counts[0])
    write(rows, p + NB, counts[1])
    write(rows, p + NC, counts[2])
    write(rows, p + SQR, latt_sqr)
