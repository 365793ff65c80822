"""Reads and writes of a block's arrays in a form that the compiler turns into SIMD instructions.

A loop that looks up a table and writes sums is not vectorized as long as the compiler must assume that a sum may
lie inside the table. These accesses carry a label each (LLVM's type-based alias metadata) that says: what is read
as block data, looked up in a table or added to a sum never overlaps.
"""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic


def _label(module, name):
    root = module.add_metadata([ir.MetaDataString(module, "nbnumba arrays")])
    offset = ir.Constant(ir.IntType(64), 0)
    kind = module.add_metadata([ir.MetaDataString(module, name), root, offset])
    return module.add_metadata([kind, kind, offset])


def _element(context, builder, array_type, array, index):
    data = context.make_array(array_type)(context, builder, array).data
    return builder.gep(data, [builder.zext(index, ir.IntType(64))], inbounds=True)


def _reader(name):
    def read(typing_context, array, index):
        def codegen(context, builder, signature, arguments):
            value = builder.load(_element(context, builder, signature.args[0], *arguments))
            value.set_metadata("tbaa", _label(builder.module, name))
            return value

        return array.dtype(array, types.uint32), codegen

    return read


read = intrinsic(_reader("block data"))
"""read(array, index): an element of a contiguous array that nobody writes meanwhile."""

look_up = intrinsic(_reader("table"))
"""look_up(table, index): an element of a flat table at a computed index."""


@intrinsic
def write(typing_context, array, index, value):
    """write(array, index, value): an element of a contiguous array that nobody reads meanwhile."""

    def codegen(context, builder, signature, arguments):
        stored = builder.store(arguments[2], _element(context, builder, signature.args[0], *arguments[:2]))
        stored.set_metadata("tbaa", _label(builder.module, "result"))
        return context.get_dummy_value()

    return types.void(array, types.uint32, array.dtype), codegen


@intrinsic
def add_to(typing_context, sums, index, value):
    """add_to(sums, index, value): sums[index] += value."""

    def codegen(context, builder, signature, arguments):
        pointer = _element(context, builder, signature.args[0], *arguments[:2])
        label = _label(builder.module, "sum")
        before = builder.load(pointer)
        before.set_metadata("tbaa", label)
        # Only fused here: whether a caller's own product is fused with this sum must not depend on the caller.
        after = builder.store(builder.fadd(before, arguments[2]), pointer)
        after.set_metadata("tbaa", label)
        return context.get_dummy_value()

    return types.void(sums, types.uint32, sums.dtype), codegen
