"""The generator of deviates that know their place: Philox4x32-10, keyed by a seed, counted by what a number is for.

Salmon, Moraes, Dror & Shaw, Proc. SC'11 (2011), 16. Four words of 32 bits are a function of four others, the counter,
and of a key of two: here (pixel, frame, purpose, block) and the seed. So a pixel's deviates depend on nothing that was
drawn before, not on threads, regions or the order of frames; and they are the same on every processor.

A word is a uint64 below 2³²: two of them are multiplied in one instruction, and none overflows in plain Python.
"""

from enum import IntEnum

import numpy as np

from ..compile.equation import merged


class Purpose(IntEnum):
    """What deviates are for. A number stays what it is: new ones are added at the end."""

    POISSON = 1
    READOUT = 2
    CALIBRATION = 3
    """A pattern that stays: its key is a seed of its own, its frame 0."""
    FLICKER = 4
    SHARING = 5
    ZINGER = 6
    BAD = 7
    SWANK = 8
    DEADTIME = 9
    MOSAIC = 10
    ORIENTATION = 11
    SPECTRUM = 12
    PIXEL_FLICKER = 13


SHARED = 256
"""Added to a purpose where a counter has deviates of two neighbours, 2j and 2j + 1, and j in the pixel's place."""

ROUNDS = 10
WORD = np.uint64(0xFFFFFFFF)
HALF = np.uint64(32)
MULTIPLIERS = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
WEYL = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
LOW_PLACES, DROPPED = np.uint64(20), np.uint64(12)
QUANTUM = 2.0**-52


@merged
def philox(pixel, frame, purpose, block, key):
    """Four words of a counter of four, under the two words of ``key``; all uint64."""
    c0, c1, c2, c3 = pixel & WORD, frame & WORD, purpose & WORD, block & WORD
    k0, k1 = key & WORD, key >> HALF
    for _ in range(ROUNDS):
        first, second = MULTIPLIERS[0] * c0, MULTIPLIERS[1] * c2
        c0, c1, c2, c3 = (second >> HALF) ^ c1 ^ k0, second & WORD, (first >> HALF) ^ c3 ^ k1, first & WORD
        k0, k1 = (k0 + WEYL[0]) & WORD, (k1 + WEYL[1]) & WORD
    return c0, c1, c2, c3


@merged
def uniform_of(high, low):
    """(n + ½)·2⁻⁵² of the first 52 bits of two words: 0 < u < 1, and u and 1 − u are as likely."""
    return (np.float64((high << LOW_PLACES) | (low >> DROPPED)) + 0.5) * QUANTUM
