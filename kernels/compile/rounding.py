"""Arithmetic with the same bits on every processor: where no product is fused with a sum, and no library is called.

Compilers for cards make one instruction of a product and a sum, which rounds once where two instructions round twice.
What goes through :func:`product` they leave alone: a card's is in ``cuda/provider.py``. Sums, quotients and square
roots are what IEEE 754 says, everywhere.
"""

import math

from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload

from .equation import MERGED, merged
from .polynomials import LN_2, LOG2_E, ROUND_TO_WHOLE
from .polynomials import times_power_of_two as _times_power_of_two

LN_2_HIGH = 0.6931471805598903
"""Its first 44 bits, so that a whole number of up to 9 of them is exact."""
LN_2_LOW = 5.497923018708371e-14
SQRT_HALF = 0.7071067811865476
SQRT_HALF_BITS = 0x3FE6A09E667F3BCD


def product(x, y):
    """x·y, rounded before anything is added to it."""
    return x * y


@overload(product, target="cpu", jit_options=MERGED)
def _compiled_product(x, y):
    return lambda x, y: x * y


def parts(x):
    """m and e of a positive x = m·2^e that is not denormal, √½ ≤ m < √2: both float64, and exact."""
    mantissa, exponent = math.frexp(x)
    if mantissa < SQRT_HALF:
        mantissa, exponent = 2.0 * mantissa, exponent - 1
    return mantissa, float(exponent)


@intrinsic
def _parts(typing_context, x):
    def codegen(context, builder, signature, arguments):
        integer = ir.IntType(64)
        bits = builder.bitcast(arguments[0], integer)
        above = builder.sub(bits, ir.Constant(integer, SQRT_HALF_BITS))
        exponent = builder.ashr(above, ir.Constant(integer, 52))
        mantissa = builder.sub(bits, builder.shl(exponent, ir.Constant(integer, 52)))
        both = builder.bitcast(mantissa, ir.DoubleType()), builder.sitofp(exponent, ir.DoubleType())
        return context.make_tuple(builder, signature.return_type, both)

    return types.UniTuple(types.float64, 2)(types.float64), codegen


@overload(parts, target="cpu", jit_options=MERGED)
def _compiled_parts(x):
    return lambda x: _parts(x)


def times_power_of_two(value, shifted):
    """value · 2^n for n = ``shifted`` − ROUND_TO_WHOLE."""
    return math.ldexp(value, int(shifted - ROUND_TO_WHOLE))


@overload(times_power_of_two, target="cpu", jit_options=MERGED)
def _compiled_times_power_of_two(value, shifted):
    return lambda value, shifted: _times_power_of_two(value, shifted)


@merged
def artanh_series(s):
    """(artanh f / f − 1) / s of s = f², |f| ≤ 0.172."""
    series = 1 / 23
    series = 1 / 21 + product(s, series)
    series = 1 / 19 + product(s, series)
    series = 1 / 17 + product(s, series)
    series = 1 / 15 + product(s, series)
    series = 1 / 13 + product(s, series)
    series = 1 / 11 + product(s, series)
    series = 1 / 9 + product(s, series)
    series = 1 / 7 + product(s, series)
    series = 1 / 5 + product(s, series)
    return 1 / 3 + product(s, series)


@merged
def log(x):
    """ln x of a positive x that is not denormal, to 3e-16 of it or, near 1, of x − 1."""
    mantissa, exponent = parts(x)
    f = (mantissa - 1.0) / (mantissa + 1.0)
    s = product(f, f)
    return product(exponent, LN_2) + (2.0 * f + product(product(2.0 * f, s), artanh_series(s)))


@merged
def exp_minus(x):
    """exp(−x) for 0 ≤ x ≤ 128, to 4e-16 of it."""
    shifted = product(x, -LOG2_E) + ROUND_TO_WHOLE
    whole = shifted - ROUND_TO_WHOLE
    r = (-x - product(whole, LN_2_HIGH)) - product(whole, LN_2_LOW)
    series = 1.0 + product(r, 1 / 13)
    series = 1.0 + product(product(r, 1 / 12), series)
    series = 1.0 + product(product(r, 1 / 11), series)
    series = 1.0 + product(product(r, 1 / 10), series)
    series = 1.0 + product(product(r, 1 / 9), series)
    series = 1.0 + product(product(r, 1 / 8), series)
    series = 1.0 + product(product(r, 1 / 7), series)
    series = 1.0 + product(product(r, 1 / 6), series)
    series = 1.0 + product(product(r, 1 / 5), series)
    series = 1.0 + product(product(r, 1 / 4), series)
    series = 1.0 + product(product(r, 1 / 3), series)
    series = 1.0 + product(product(r, 1 / 2), series)
    return times_power_of_two(1.0 + product(r, series), shifted)


@merged
def sin_half_turns(x):
    """sin πx for |x| ≤ ½, to 2e-16; with the coefficients of ``polynomials.py``."""
    s = product(x, x)
    series = -2.1122952927771243e-05
    series = 0.00046597761697805216 + product(s, series)
    series = -0.007370361071668179 + product(s, series)
    series = 0.08214587825655009 + product(s, series)
    series = -0.5992645287757095 + product(s, series)
    series = 2.5501640398597765 + product(s, series)
    series = -5.167712780049753 + product(s, series)
    return product(x, 3.1415926535897927 + product(s, series))
