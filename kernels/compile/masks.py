"""Sixteen comparisons as the bits of one number, and what such numbers are asked for."""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .memory import _element

WIDTH = 16


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
