"""How the square of the lattice factor changes: with the distance from the reflection, with the number of cells.

In a form that vectorizes, as the squares in ``lattice_factor.py``. Each gives F_latt²; its derivatives by δh, δk, δl;
and three numbers more, which the number of cells and the shape's scale need: for the square shape the derivatives by
Na, Nb and Nc; where the shape depends on ρ² = fudge · Σ N_i²δ_i² their parts dF_latt²/dρ² · δ_i²; for a Gaussian spot
that depends on the cell, Σ δ_i ∂F_latt²/∂δ_i and nothing.
"""

import numpy as np

from ..choices import GAUSS, ROUND, SQUARE, TOPHAT, shape_without_branch
from ..compile.jit import internal
from ..compile.polynomials import cos_pi, cos_pi_short, cos_pi_single, exp_clamped, sin_pi, sin_pi_single
from .lattice_factor import (
    GAUSS_WIDTH,
    SERIES_BELOW,
    SPHERE_VOLUME,
    index_distance_sqr,
    peak,
    sphere_series,
    tophat_sqr,
)

NEAREST = 1e-8
"""N|δ| is taken to be at least this: L' is then wrong by 2.5e-8 of its largest value, and where it is all but 0."""
NEAREST_SINGLE = 1e-4
"""The same where δ becomes a float32: by 1e-3."""
SLOPE_SERIES_BELOW = 0.5
"""x of a sphere below which the slope of its amplitude comes from a series."""

# Once each, where the renderer of photons has a copy in every place: those would take longer to compile than all else.
fused = internal(forceinline=True, fastmath={"contract"})
sine, cosine, cosine_short = fused(sin_pi), fused(cos_pi), fused(cos_pi_short)
sine_single, cosine_single = fused(sin_pi_single), fused(cos_pi_single)


@fused
def lattice_slopes(crystal, follows, dh, dk, dl, shape):
    """F_latt² of the shape that is chosen, its three slopes, and the three numbers that it has besides."""
    if len(shape) == ROUND:
        slopes = round_slopes(crystal, dh, dk, dl)
    elif len(shape) == GAUSS:
        slopes = gauss_slopes(crystal, follows, dh, dk, dl)
    elif len(shape) == TOPHAT:
        slopes = tophat_sqr(crystal, dh, dk, dl), (0.0, 0.0, 0.0), (0.0, 0.0, 0.0)
    elif len(shape) == SQUARE:
        slopes = square_slopes(crystal, dh, dk, dl)
    else:
        slopes = shape_without_branch(shape)
    return slopes


@fused
def apart(cells, delta, nearest):
    """δ with its sign, not nearer to 0 than ``nearest``/N: there the closed form of L' is 0/0."""
    return np.copysign(max(abs(delta), nearest / cells), delta)


@fused
def along_an_axis(cells, delta):
    """s = sin πδ, t = sin πNδ, and s²/π times L' and ∂L/∂N of L = t/s."""
    delta = apart(cells, delta, NEAREST)
    turn = cells * delta
    turn -= np.rint(turn)
    s, t, c = sine(delta), sine(turn), cosine_short(turn)
    return s, t, cells * c * s - t * cosine_short(delta), delta * c * s


@fused
def square_slopes(crystal, dh, dk, dl):
    """Of (Π L_i)², L = sin πNδ / sin πδ: L' = π(N cos πNδ − L cos πδ)/sin πδ, ∂L/∂N = πδ cos πNδ / sin πδ.

    One division serves all three axes; no slope is divided by L, which has zeros.
    """
    sh, th, gh, ch = along_an_axis(float(crystal.cells[0]), dh)
    sk, tk, gk, ck = along_an_axis(float(crystal.cells[1]), dk)
    sl, tl, gl, cl = along_an_axis(float(crystal.cells[2]), dl)
    r = 1.0 / (sh * sk * sl)
    r_sqr = r * r
    xh, xk, xl = sh * th, sk * tk, sl * tl
    xkl, xhl, xhk = xk * xl, xh * xl, xh * xk
    amplitude = (xh * xkl) * r_sqr
    common = (2.0 * np.pi) * amplitude * r_sqr
    slopes = common * xkl * gh, common * xhl * gk, common * xhk * gl
    return amplitude * amplitude, slopes, (common * xkl * ch, common * xhl * ck, common * xhk * cl)


@fused
def square_slopes_single(na, nb, nc, dh, dk, dl, mh, mk, ml):
    """The same in float32, of δ that are :func:`apart` and of Nδ less its nearest whole number."""
    sh, sk, sl = sine_single(dh), sine_single(dk), sine_single(dl)
    skl, shl, shk = sk * sl, sh * sl, sh * sk
    r = np.float32(1.0) / (sh * skl)
    lh, gh, ch = along_in_single(na, dh, mh, skl * r)
    lk, gk, ck = along_in_single(nb, dk, mk, shl * r)
    ll, gl, cl = along_in_single(nc, dl, ml, shk * r)
    lkl, lhl, lhk = lk * ll, lh * ll, lh * lk
    amplitude = lh * lkl
    common = np.float32(2.0 * np.pi) * amplitude
    slopes = common * gh * lkl, common * gk * lhl, common * gl * lhk
    return amplitude * amplitude, slopes, (common * ch * lkl, common * ck * lhl, common * cl * lhk)


@fused
def along_in_single(cells, delta, turn, inverse):
    """L, L'/π and (∂L/∂N)/π of an axis, given 1/sin πδ."""
    c = cosine_single(turn)
    along = sine_single(turn) * inverse
    return along, (cells * c - along * cosine_single(delta)) * inverse, delta * c * inverse


@fused
def sphere_slope_series(square):
    """dj/d(x²) of j = 3(sin x/x − cos x)/x² for a small x, given x²."""
    return -1 / 10 + square * (
        2 / 280
        + square * (-3 / 15120 + square * (4 / 1330560 + square * (-5 / 172972800 + square * (6 / 31135104000))))
    )


@fused
def round_slopes(crystal, dh, dk, dl):
    """Of (N · j(π ρ))², ρ² = fudge · Σ N_i²δ_i²; dj/d(x²) = (3 sin x/x² − 3 j/x) / 2x."""
    na, nb, nc = float(crystal.cells[0]), float(crystal.cells[1]), float(crystal.cells[2])
    radius_sqr = index_distance_sqr(crystal, dh, dk, dl) * crystal.fudge
    radius = np.sqrt(radius_sqr)
    x = np.pi * max(radius, 1e-9)
    turn = radius - np.rint(radius)
    # sin and cos of x share a sign, which is lost in the product of both.
    wave, square = sine(turn), np.pi * np.pi * radius_sqr
    closed = 3.0 * (wave / x - cosine(turn)) / (x * x)
    slope = (3.0 * wave / (x * x) - 3.0 * closed / x) / (2.0 * x)
    volume = peak(crystal) * SPHERE_VOLUME
    amplitude = volume * (sphere_series(square) if x < SERIES_BELOW else closed)
    amplitude_slope = volume * (sphere_slope_series(square) if x < SLOPE_SERIES_BELOW else slope)
    change = (2.0 * np.pi * np.pi) * amplitude * amplitude_slope
    twice = 2.0 * crystal.fudge * change
    slopes = twice * na * na * dh, twice * nb * nb * dk, twice * nc * nc * dl
    return amplitude * amplitude, slopes, (change * dh * dh, change * dk * dk, change * dl * dl)


@fused
def gauss_slopes(crystal, follows, dh, dk, dl):
    """Of (N · exp(−ρ²/0.63))², ρ the distance in Å⁻¹ times N; its metric is the cell's where ``follows`` is 1."""
    a, b, c = crystal.a_star, crystal.b_star, crystal.c_star
    x = dh * a[0] + dk * b[0] + dl * c[0]
    y = dh * a[1] + dk * b[1] + dl * c[1]
    z = dh * a[2] + dk * b[2] + dl * c[2]
    cells = peak(crystal)
    sharpness = crystal.fudge / GAUSS_WIDTH
    amplitude = cells * exp_clamped(-((x * x + y * y + z * z) * (cells * cells * sharpness)))
    latt_sqr = amplitude * amplitude
    common = -4.0 * (cells * cells * sharpness) * latt_sqr
    gh = common * (a[0] * x + a[1] * y + a[2] * z)
    gk = common * (b[0] * x + b[1] * y + b[2] * z)
    gl = common * (c[0] * x + c[1] * y + c[2] * z)
    # d/dρ² is −2/0.63 F_latt².
    change = (-2.0 / GAUSS_WIDTH) * latt_sqr
    along = gh * dh + gk * dk + gl * dl
    first = along if follows > 0.0 else change * dh * dh
    second = 0.0 if follows > 0.0 else change * dk * dk
    third = 0.0 if follows > 0.0 else change * dl * dl
    return latt_sqr, (gh, gk, gl), (first, second, third)
