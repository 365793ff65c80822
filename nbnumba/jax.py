"""Images in JAX's programs: ``nbnumba.jax.image``. Needs JAX, which nothing else here does."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from .differentiation.model import Differentiable
from .errors import ResourceError

try:
    import jax
    import jax.numpy as jnp
except ImportError as error:
    raise ResourceError(f"nbnumba.jax needs JAX ({error}): pip install nbnumba[jax]") from error


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def image(model: Differentiable, values: Any) -> Any:
    """Photons as a function of a model's numbers, through which JAX's gradients go; also under ``jit``.

    Parameters
    ----------
    model : Differentiable
    values : array (n,)
        In the order of ``model.names``. JAX's are float32 unless ``jax_enable_x64`` is set, which is few digits for a
        misset.

    Returns
    -------
    array (slow, fast)
        Of the type of ``values``; what is rendered is float64, on the CPU.

    Raises
    ------
    UsageError
        Values of another shape, or with which nothing can be simulated; as JAX tells the errors of callbacks.
    """
    values = jnp.asarray(values)

    def render(numbers: Any) -> Any:
        return model.image(np.asarray(numbers)).astype(values.dtype)

    return jax.pure_callback(render, jax.ShapeDtypeStruct(model.shape, values.dtype), values)


def _forward(model: Differentiable, values: Any) -> tuple[Any, Any]:
    return image(model, values), values


def _backward(model: Differentiable, values: Any, cotangent: Any) -> tuple[Any]:
    values = jnp.asarray(values)

    def render(numbers: Any, weights: Any) -> Any:
        return model.vjp(np.asarray(numbers), np.asarray(weights))[1].astype(values.dtype)

    return (jax.pure_callback(render, jax.ShapeDtypeStruct(values.shape, values.dtype), values, cotangent),)


image.defvjp(_forward, _backward)
