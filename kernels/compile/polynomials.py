"""Elementary functions without branches, which vectorize: the libraries' do not."""

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .equation import inlined

LOG2_E = 1.4426950408889634
LN_2 = 0.6931471805599453
ROUND_TO_WHOLE = 1.5 * 2.0**52
"""Added to a float64, it leaves the nearest whole number in the low bits."""


@intrinsic
def times_power_of_two(typing_context, value, shifted):
    """value · 2^n for the n in the low bits of ``shifted`` = n + ROUND_TO_WHOLE: n is added to value's exponent."""

    def codegen(context, builder, signature, arguments):
        integer = ir.IntType(64)
        exponent = builder.shl(builder.bitcast(arguments[1], integer), ir.Constant(integer, 52))
        return builder.bitcast(builder.add(builder.bitcast(arguments[0], integer), exponent), ir.DoubleType())

    return types.float64(types.float64, types.float64), codegen


@inlined
def sin_pi(x):
    """sin πx for |x| ≤ ½, to 1e-16."""
    s = x * x
    return x * (
        3.1415926535897927
        + s * (-5.167712780049753
        + s * (2.5501640398597765
        + s * (-0.5992645287757095
        + s * (0.08214587825655009
        + s * (-0.007370361071668179
        + s * (0.00046597761697805216
        + s * -2.1122952927771243e-05))))))
    )  # fmt: skip


@inlined
def sin_pi_single(x):
    """sin πx for a float32 |x| ≤ ½, to 5e-9 before rounding."""
    s = x * x
    return x * (
        np.float32(3.1415926368954117)
        + s * (np.float32(-5.167709684799477)
        + s * (np.float32(2.5500697263299963)
        + s * (np.float32(-0.5982421263420936)
        + s * np.float32(0.07756038679079723))))
    )  # fmt: skip


@inlined
def cos_pi(x):
    """cos πx for |x| ≤ ½."""
    half = sin_pi(0.5 * x)
    return 1.0 - 2.0 * half * half


@inlined
def cos_pi_short(x):
    """cos πx for |x| ≤ ½, to 3e-12, and exactly 1 at 0: for slopes."""
    s = x * x
    return 1.0 + s * (
        -4.934802200532585
        + s * (4.0587121229329455
        + s * (-1.3352626061553212
        + s * (0.23532784935188983
        + s * (-0.025785374788406677
        + s * 0.0018525902544749779))))
    )  # fmt: skip


@inlined
def cos_pi_single(x):
    """The same for a float32 |x| ≤ ½, to 9e-10 before rounding."""
    s = x * x
    return np.float32(1.0) + s * (
        np.float32(-4.934802196986985)
        + s * (np.float32(4.0587114146834375)
        + s * (np.float32(-1.3352399607008951)
        + s * (np.float32(0.23507436832239592)
        + s * np.float32(-0.024627111595228457))))
    )  # fmt: skip


@inlined
def exp_clamped(x):
    """exp x; beyond ±300 that of ±300, whose square, too, is an ordinary number: denormal ones are slow."""
    x = min(max(x, -300.0), 300.0)
    shifted = x * LOG2_E + ROUND_TO_WHOLE
    r = x - (shifted - ROUND_TO_WHOLE) * LN_2
    series = 1.0 + r * (1.0 + r * (1 / 2 + r * (1 / 6 + r * (1 / 24 + r * (1 / 120 + r * (1 / 720 + r * (
        1 / 5040 + r * (1 / 40320 + r * (1 / 362880 + r * (1 / 3628800 + r / 39916800))))))))))  # fmt: skip
    return times_power_of_two(series, shifted)
