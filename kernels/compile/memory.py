"""Reads and writes of a block's arrays in a form that the compiler turns into SIMD instructions.

A loop that looks up a table and writes sums is not vectorized as long as the compiler must assume that a sum may
lie inside the table. These accesses carry a label each (LLVM's type-based alias metadata) that says: what is read
as block data, looked up in a table or added to a sum never overlaps.
"""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

FUSED = ("contract",)
"""A product and a sum may become one instruction."""


def _label(module, name):
    root = module.add_metadata([ir.MetaDataString(module, "nbnumba arrays")])
    offset = ir.Constant(ir.IntType(64), 0)
    kind = module.add_metadata([ir.MetaDataString(module, name), root, offset])
    return module.add_metadata([kind, kind, offset])


def _use_widest_vectors(function):
    """Where LLVM would take half of AVX-512's vectors, take whole ones: these loops then run 1.5 times as fast."""
    # llvmlite's own ``add`` lets only attributes without a value through.
    set.add(function.attributes, '"prefer-vector-width"="512"')


def _element(context, builder, array_type, array, index):
    _use_widest_vectors(builder.function)
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


read_back = intrinsic(_reader("result"))
"""read_back(array, index): an element that :func:`write` wrote."""


@intrinsic
def cubic_sum(typing_context, table, start, plane, wh, wk, wl):
    """Σ wh[u]·wk[v]·wl[w]·F over 4×4×4 neighbours, where a table has four along k for each along l, side by side.

    The 16 of one h are two vectors at ``start`` + u·``plane``, both counted in fours.
    """
    weights = types.UniTuple(types.float64, 4)

    def codegen(context, builder, signature, arguments):
        _use_widest_vectors(builder.function)
        index, number = ir.IntType(64), ir.DoubleType()
        half, four = ir.VectorType(number, 8), ir.VectorType(number, 4)
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        start, plane = (builder.zext(argument, index) for argument in arguments[1:3])
        wh, wk, wl = ([builder.extract_value(weight, n) for n in range(4)] for weight in arguments[3:])

        def shuffled(vector, order):
            order = ir.Constant(ir.VectorType(ir.IntType(32), len(order)), order)
            return builder.shuffle_vector(vector, ir.Constant(vector.type, ir.Undefined), order)

        def all_of(value, kind):
            vector = builder.insert_element(ir.Constant(kind, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
            return shuffled(vector, [0] * kind.count)

        def neighbours(u, n):
            fours = builder.add(start, builder.mul(plane, ir.Constant(index, u)))
            at = builder.add(builder.mul(fours, ir.Constant(index, 4)), ir.Constant(index, 8 * n))
            place = builder.gep(data, [at], inbounds=True)
            return builder.load(builder.bitcast(place, half.as_pointer()), align=8)

        def weighted(weights, vectors):
            total = builder.fmul(weights[0], vectors[0], flags=FUSED)
            for weight, vector in zip(weights[1:], vectors[1:], strict=True):
                total = builder.fadd(builder.fmul(weight, vector, flags=FUSED), total, flags=FUSED)
            return total

        across = [all_of(value, half) for value in wh]
        halves = [weighted(across, [neighbours(u, n) for u in range(4)]) for n in range(2)]
        lines = [shuffled(part, list(range(at, at + 4))) for part in halves for at in (0, 4)]
        total = weighted([all_of(value, four) for value in wl], lines)
        terms = [builder.extract_element(total, ir.Constant(ir.IntType(32), n)) for n in range(4)]
        return weighted(wk, terms)

    return types.float64(table, types.uint32, types.uint32, weights, weights, weights), codegen


@intrinsic
def add_to(typing_context, sums, index, value):
    """add_to(sums, index, value): sums[index] += value."""

    def codegen(context, builder, signature, arguments):
        pointer = _element(context, builder, signature.args[0], *arguments[:2])
        label = _label(builder.module, "sum")
        before = builder.load(pointer)
        before.set_metadata("tbaa", label)
        # No flag of its own: whether it is fused with a product that the caller made is for the caller's rules to say.
        after = builder.store(builder.fadd(before, arguments[2]), pointer)
        after.set_metadata("tbaa", label)
        return context.get_dummy_value()

    return types.void(sums, types.uint32, sums.dtype), codegen


@intrinsic
def settle(typing_context):
    """settle(): what was written before is read after it. By their labels alone, reads might be moved before writes.

    Loops that are of as many turns as the compiler counts are none to it, so that nothing else keeps them apart.
    """

    def codegen(context, builder, signature, arguments):
        builder.fence("seq_cst", targetscope="singlethread")
        return context.get_dummy_value()

    return types.void(), codegen


@intrinsic
def take(typing_context, counter):
    """take(counter): counter[0], which is one more from then on; no two threads get the same number."""

    def codegen(context, builder, signature, arguments):
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        return builder.atomic_rmw("add", data, ir.Constant(ir.IntType(64), 1), "monotonic")

    return types.int64(counter), codegen
