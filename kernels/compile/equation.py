"""Marks the scalar functions of the physics, each the one home of an equation.

An equation stays a plain Python function: the set-up calls it as it is, compiled kernels by the same name. It may take
others as arguments, also in a named tuple that compiled code makes. Code for a GPU calls twins of its own (see
``cuda/provider.py``), for which the marked functions are listed, callees first.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from numba.extending import register_jitable

Equation = TypeVar("Equation", bound=Callable[..., Any])

EQUATIONS: list[Callable[..., Any]] = []
MERGED = {"error_model": "numpy", "_nrt": False, "forceinline": True}
"""Options of what is :func:`merged`."""


def equation(function: Equation) -> Equation:
    """Let compiled code call ``function``, which may read arrays but makes and returns none.

    So it need not count who holds them: for the arrays of a plan, that would take longer than most equations.
    """
    EQUATIONS.append(function)
    return register_jitable(error_model="numpy", _nrt=False)(function)


def inlined(function: Equation) -> Equation:
    """Let compiled code hold a copy of ``function``, under the caller's floating-point rules: for innermost loops."""
    EQUATIONS.append(function)
    return register_jitable(inline="always", error_model="numpy")(function)


def merged(function: Equation) -> Equation:
    """As :func:`equation`, for functions of a few lines: what the compiler makes of them is put into their callers.

    It then vectorizes their loops, as what is :func:`inlined`, but compiles many of them in a fraction of the time.
    """
    EQUATIONS.append(function)
    return register_jitable(**MERGED)(function)
