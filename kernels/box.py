"""A parcel for the way into a parallel loop.

The threads of ``prange`` take numbers and arrays; a plan is a tuple of tuples. It is handed over by its address.
"""

from llvmlite import ir
from numba.core import cgutils
from numba.core.imputils import impl_ret_borrowed
from numba.extending import intrinsic, models, register_model, types

ADDRESS = ir.IntType(8).as_pointer()


class Box(types.Type):
    """The address of a value that lives as long as the function that boxed it."""

    def __init__(self, content):
        self.content = content
        super().__init__(name=f"Box({content})")


@register_model(Box)
class BoxModel(models.PrimitiveModel):
    """In memory: an address."""

    def __init__(self, manager, box):
        super().__init__(manager, box, ADDRESS)


@intrinsic
def boxed(typing_context, value):
    """The value's address."""

    def codegen(context, builder, signature, arguments):
        return builder.bitcast(cgutils.alloca_once_value(builder, arguments[0]), ADDRESS)

    return Box(value)(value), codegen


@intrinsic
def unboxed(typing_context, box):
    """The value at the address."""

    def codegen(context, builder, signature, arguments):
        kind = context.get_value_type(signature.return_type)
        value = builder.load(builder.bitcast(arguments[0], kind.as_pointer()))
        return impl_ret_borrowed(context, builder, signature.return_type, value)

    return box.content(box), codegen
