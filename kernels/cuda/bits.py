"""Miller indices as integers: the arithmetic of precision "mixed" on a GPU, for square crystals.

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

Where float64 is slow, the scalar products themselves go in float32. A number is a pair, high + low, of float32 (48
bits), packed into the words of a float64. Each of the three products is cut at multiples of 2⁻¹²:

- high·high + 1.5·2¹¹, rounded, is a float32 with a quantum of 2⁻¹²: its pattern counts such steps as an integer, and
  integers add without error.
- What rounding took away comes out of one fused multiplication, exactly but for the last bit; the mixed products
  high·low join it. These rests are below 2⁻¹¹, where float32 has a quantum of 2⁻³⁴.

Steps and rest make the same two words as above, for |h| of up to ``MOST_PAIR_INDEX``.

The functions here that touch bits are plain Python, for set-up and simulator; those compiled for a GPU are in
``provider.py``, those at the end of this file let tests run the same arithmetic on the CPU.
"""

import struct

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload

from ..compile.equation import inlined

TO_WORDS = 1.5 * 2.0**20
WHOLE_BITS = 0x41380000
"""High word of ``TO_WORDS``."""
MOST_CELLS = 300
MOST_INDEX = 2.0**19

TO_STEPS = np.float32(1.5 * 2.0**11)
STEP_BITS = 0x45400000
"""Pattern of ``TO_STEPS``."""
STEPS_SHIFT = 20
"""A step of 2⁻¹² is so many binary places above the fraction's unit of 2⁻³²."""
TO_UNITS = np.float32(1.5 * 2.0**23)
UNIT_BITS = 0x4B400000
"""Pattern of ``TO_UNITS``."""
MOST_PAIR_INDEX = 2.0**10


def low_word(x):
    """The low 32 bits of a float64 as a signed integer."""
    return struct.unpack("<ii", struct.pack("<d", x))[0]


def high_word(x):
    """The high 32 bits of a float64 as a signed integer."""
    return struct.unpack("<ii", struct.pack("<d", x))[1]


def float_bits(x):
    """The pattern of a float32 as a signed integer."""
    return struct.unpack("<i", struct.pack("<f", x))[0]


def bits_float(i):
    """The float32 of a pattern."""
    return np.float32(struct.unpack("<f", struct.pack("<i", i))[0])


def fused(x, y, z):
    """x·y + z in float32, rounded once."""
    return np.float32(float(x) * float(y) + float(z))


def packed_pairs(array):
    """Numbers as pairs of float32, packed: the high words hold the nearest float32, the low words what is left."""
    high = array.astype(np.float32)
    low = (array - high).astype(np.float32)
    return np.stack([low, high], axis=-1).view(np.float64)[..., 0]


def wrapped(i):
    """An integer kept to 32 bits, signed."""
    return (int(i) + 2**31) % 2**32 - 2**31


def reciprocal(x):
    """1/x in float32, to the last bit or so; for an x that is not denormal."""
    return np.float32(1.0) / x


@inlined
def unsigned(i):
    """An integer kept to 32 bits, unsigned: one below 0 becomes larger than any size."""
    return np.uint32(int(i) & 0xFFFFFFFF)


@inlined
def nearest_whole(high, low):
    """h0 + ``WHOLE_BITS`` from the words of h + ``TO_WORDS``."""
    return high + ((low & 0x80000000) >> 31)


@inlined
def steps_and_rest(a, q_high, q_low):
    """a·q for a packed pair a and the pair of q: whole steps of 2⁻¹², plus ``STEP_BITS``, and the rest."""
    high, low = bits_float(high_word(a)), bits_float(low_word(a))
    shifted = fused(high, q_high, TO_STEPS)
    rest = fused(high, q_high, TO_STEPS - shifted)
    return float_bits(shifted), fused(low, q_high, fused(high, q_low, rest))


@inlined
def words_of_steps(steps, rest):
    """h0 and the low word of h from the sums of its three products' steps and rests."""
    units = wrapped(float_bits(fused(rest, np.float32(2.0**32), TO_UNITS)) - UNIT_BITS)
    # Half an index is added, and what lies below a whole one is dropped: the sign of the low word says the same.
    rounded = wrapped(steps + (units >> STEPS_SHIFT) + (1 << (31 - STEPS_SHIFT)) - 3 * STEP_BITS)
    return rounded >> (32 - STEPS_SHIFT), wrapped((wrapped(steps - 3 * STEP_BITS) << STEPS_SHIFT) + units)


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


@overload(low_word, target="cpu")
def _compiled_low_word(x):
    return lambda x: _low_word(x)


@overload(high_word, target="cpu")
def _compiled_high_word(x):
    return lambda x: _high_word(x)


@intrinsic
def _float_bits(typing_context, x):
    def codegen(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.IntType(32))

    return types.int32(types.float32), codegen


@intrinsic
def _bits_float(typing_context, i):
    def codegen(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.int32), codegen


@intrinsic
def _fused(typing_context, x, y, z):
    def codegen(context, builder, signature, arguments):
        return builder.fma(*arguments)

    return types.float32(types.float32, types.float32, types.float32), codegen


@overload(float_bits, target="cpu")
def _compiled_float_bits(x):
    return lambda x: _float_bits(x)


@overload(bits_float, target="cpu")
def _compiled_bits_float(i):
    return lambda i: _bits_float(i)


@overload(fused, target="cpu")
def _compiled_fused(x, y, z):
    return lambda x, y, z: _fused(x, y, z)


@overload(wrapped, target="cpu")
def _compiled_wrapped(i):
    return lambda i: np.int32(i)


@overload(reciprocal, target="cpu")
def _compiled_reciprocal(x):
    return lambda x: np.float32(1.0) / x
