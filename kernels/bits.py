"""Miller indices as integers: the arithmetic of precision "mixed".

Add 1.5·2²⁰ to a fractional index h, |h| < 2¹⁹. The sum lies between 2²⁰ and 2²¹, where float64 has a quantum of 2⁻³²:
the low 32 bits of its pattern are then the fraction of h in units of 2⁻³², the high 32 bits its whole part (and a
constant).

- Read as a signed integer, the low word is δ = h − h0 in those units, −½ ≤ δ < ½, for the nearest whole h0.
- Its sign bit says whether h was rounded up: h0 = high word + sign bit − ``WHOLE_BITS``.
- The product N · low word, kept to 32 bits, is N·δ less its nearest whole number: what wraps around is a number
  of whole turns. No rounding, no float64 from here on.
- With its last bit set, a low word is never 0: 0/0 at a reflection becomes N, and δ moves by 2⁻³² at most.

For N ≤ ``MOST_CELLS`` the quantum stays invisible: samples near the minima of fringes are off by some 1e-5 of their
value, their sum over a spot by 1e-8.

The functions here that touch bits are plain Python, for set-up and simulator; each backend has a compiled form.
"""

import struct

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload

from .equation import inlined

TO_WORDS = 1.5 * 2.0**20
WHOLE_BITS = 0x41380000
"""High word of ``TO_WORDS``."""
MOST_CELLS = 300
MOST_INDEX = 2.0**19


def low_word(x):
    """The low 32 bits of a float64 as a signed integer."""
    return struct.unpack("<ii", struct.pack("<d", x))[0]


def high_word(x):
    """The high 32 bits of a float64 as a signed integer."""
    return struct.unpack("<ii", struct.pack("<d", x))[1]


def wrapped(i):
    """An integer kept to 32 bits, signed."""
    return (int(i) + 2**31) % 2**32 - 2**31


def reciprocal(x):
    """1/x in float32, to the last bit or so; for an x that is not denormal."""
    return np.float32(1.0) / x


@inlined
def unsigned(i):
    """An integer kept to 32 bits, unsigned: one below 0 becomes larger than any size."""
    return np.uint32(i & 0xFFFFFFFF)


@inlined
def nearest_whole(high, low):
    """h0 + ``WHOLE_BITS`` from the words of h + ``TO_WORDS``."""
    return high + ((low & 0x80000000) >> 31)


@inlined
def half_turns(word):
    """A signed 32-bit fraction of a turn as a float32 between −½ and ½."""
    return np.float32(word) * np.float32(2.0**-32)


def _word(shift):
    @intrinsic
    def word(typing_context, x):
        def codegen(context, builder, signature, arguments):
            pattern = builder.bitcast(arguments[0], ir.IntType(64))
            return builder.trunc(builder.lshr(pattern, ir.Constant(ir.IntType(64), shift)), ir.IntType(32))

        return types.int32(types.float64), codegen

    return word


_low_word, _high_word = _word(0), _word(32)


@overload(low_word, inline="always", target="cpu")
def _compiled_low_word(x):
    return lambda x: _low_word(x)


@overload(high_word, inline="always", target="cpu")
def _compiled_high_word(x):
    return lambda x: _high_word(x)


@overload(wrapped, inline="always", target="cpu")
def _compiled_wrapped(i):
    return lambda i: np.int32(i)


@overload(reciprocal, inline="always", target="cpu")
def _compiled_reciprocal(x):
    return lambda x: np.float32(1.0) / x
