"""Vectors of sixteen float32: comparisons as the bits of one number, what such numbers are asked for, and sums."""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .memory import _element

WIDTH = 16
EIGHT = 8
"""Limits at a time."""


@intrinsic
def above(typing_context, values, at, limits):
    """above(values, at, limits): bit i is set unless values[at + i] ≤ limits[i], of 16 float32 each: NaN is above."""

    def codegen(context, builder, signature, arguments):
        vector = ir.VectorType(ir.FloatType(), WIDTH).as_pointer()
        zero = ir.Constant(ir.IntType(32), 0)
        first = _element(context, builder, signature.args[0], arguments[0], arguments[1])
        limit = _element(context, builder, signature.args[2], arguments[2], zero)
        pair = [builder.load(builder.bitcast(pointer, vector), align=4) for pointer in (first, limit)]
        bits = builder.bitcast(builder.fcmp_unordered(">", *pair), ir.IntType(WIDTH))
        return builder.zext(bits, ir.IntType(32))

    return types.uint32(values, types.uint32, limits), codegen


@intrinsic
def lowest(typing_context, bits):
    """lowest(bits): number of the lowest bit that is set, of a uint32 that is not 0."""

    def codegen(context, builder, signature, arguments):
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.uint32(types.uint32), codegen


@intrinsic
def ones(typing_context, bits):
    """ones(bits): how many bits of a uint32 are set."""

    def codegen(context, builder, signature, arguments):
        return builder.ctpop(arguments[0])

    return types.uint32(types.uint32), codegen


@intrinsic
def cell_at(typing_context, i, j, m, plane, row):
    """cell_at(i, j, m, plane, row): i·plane + j·row + m of whole float32 and uint32, in 32 bits: exact."""

    def codegen(context, builder, signature, arguments):
        i, j, m = (builder.fptosi(argument, ir.IntType(32)) for argument in arguments[:3])
        return builder.add(builder.add(builder.mul(i, arguments[3]), builder.mul(j, arguments[4])), m)

    whole = types.float32, types.float32, types.float32
    return types.uint32(*whole, types.uint32, types.uint32), codegen


@intrinsic
def sums_below(typing_context, values, count, limits, sums):
    """sums_below(values, count, limits, sums): sums[n, i] = Σ of the values[s, i] that do not exceed limits[n, i].

    All flat float32; i is one of 16, n of 8, whose sums stay in registers.
    """

    def codegen(context, builder, signature, arguments):
        vector, whole = ir.VectorType(ir.FloatType(), WIDTH), ir.IntType(64)
        data = [
            builder.bitcast(context.make_array(kind)(context, builder, array).data, vector.as_pointer())
            for kind, array in zip(
                (signature.args[0], signature.args[2], signature.args[3]),
                (arguments[0], arguments[2], arguments[3]),
                strict=True,
            )
        ]
        values, limits, sums = data

        def at(pointer, place):
            return builder.gep(pointer, [place])

        nothing = ir.Constant(vector, [0.0] * WIDTH)
        places = [ir.Constant(whole, n) for n in range(EIGHT)]
        bounds = [builder.load(at(limits, place), align=4) for place in places]
        totals = [cgutils.alloca_once_value(builder, nothing) for _ in places]
        with cgutils.for_range(builder, arguments[1]) as loop:
            value = builder.load(at(values, loop.index), align=4)
            for bound, total in zip(bounds, totals, strict=True):
                counted = builder.select(builder.fcmp_ordered("<=", value, bound), value, nothing)
                builder.store(builder.fadd(builder.load(total), counted), total)
        for place, total in zip(places, totals, strict=True):
            builder.store(builder.load(total), at(sums, place), align=4)
        return context.get_dummy_value()

    return types.void(values, types.int64, limits, sums), codegen
