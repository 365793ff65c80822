"""Images in PyTorch's graphs: ``nbnumba.torch.image``. Needs PyTorch, which nothing else here does."""

from __future__ import annotations

from typing import Any

from .differentiation.model import Differentiable
from .errors import ResourceError

try:
    import torch
    from torch.autograd.function import once_differentiable
except ImportError as error:
    raise ResourceError(f"nbnumba.torch needs PyTorch ({error}): pip install nbnumba[torch]") from error


def image(model: Differentiable, values: torch.Tensor) -> torch.Tensor:
    """Photons as a function of a model's numbers, through which PyTorch's gradients go.

    Parameters
    ----------
    model : Differentiable
    values : Tensor (n,)
        In the order of ``model.names``; on whichever device.

    Returns
    -------
    Tensor (slow, fast)
        Of the type and on the device of ``values``; what is rendered is float64, on the CPU.

    Raises
    ------
    UsageError
        Values of another shape, or with which nothing can be simulated.
    """
    photons: torch.Tensor = _Image.apply(values, model)
    return photons


class _Image(torch.autograd.Function):  # type: ignore[misc]
    """Forward renders; backward renders again, with derivatives, so that nothing is kept but the numbers."""

    @staticmethod
    def forward(ctx: Any, values: torch.Tensor, model: Differentiable) -> torch.Tensor:
        ctx.model = model
        ctx.save_for_backward(values)
        return torch.from_numpy(model.image(_numpy(values))).to(values)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, cotangent: torch.Tensor) -> tuple[torch.Tensor, None]:
        (values,) = ctx.saved_tensors
        _, gradient = ctx.model.vjp(_numpy(values), _numpy(cotangent))
        return torch.from_numpy(gradient).to(values), None


def _numpy(tensor: torch.Tensor) -> Any:
    return tensor.detach().to("cpu", torch.float64).numpy()
