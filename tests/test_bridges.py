"""Images in the graphs of PyTorch and JAX, where these are installed."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from typing import Any

import numpy as np
import pytest

from nbnumba import Differentiable, Experiment

EXPERIMENT = Experiment.from_args(
    "-cell 40 45 50 75 85 95 -misset 10 20 30 -default_F 100 -N 5 -detpixels 16 -pixel 0.25 -distance 100 "
    "-oversample 2 -nointerpolate -fluence 1e24".split()
)
FREE = ("crystal.cell", "crystal.misset_deg", "detector.distance_mm", "scale")


@cache
def model() -> Differentiable:
    return Differentiable(EXPERIMENT, FREE, threads=1)


def test_torch_checks_the_gradients() -> None:
    torch = pytest.importorskip("torch")
    from nbnumba.torch import image

    values = torch.tensor(model().values, requires_grad=True)
    largest = float(model().image(model().values).max())
    assert torch.autograd.gradcheck(lambda numbers: image(model(), numbers) / largest, values, eps=1e-6, rtol=1e-5)


def test_torch_keeps_type_and_gives_what_the_model_gives() -> None:
    torch = pytest.importorskip("torch")
    from nbnumba.torch import image

    values = torch.tensor(model().values, dtype=torch.float32, requires_grad=True)
    photons = image(model(), values)
    assert photons.dtype == torch.float32
    photons.sum().backward()
    _, wanted = model().vjp(values.detach().numpy(), np.ones((16, 16)))
    np.testing.assert_allclose(values.grad.numpy(), wanted, rtol=1e-6)


def test_jax_checks_the_gradients() -> None:
    jax = pytest.importorskip("jax")
    from jax.test_util import check_grads

    from nbnumba.jax import image

    with jax.enable_x64(True) if hasattr(jax, "enable_x64") else jax.experimental.enable_x64():
        values = jax.numpy.asarray(model().values)
        largest = float(model().image(model().values).max())

        def relative(numbers: Any) -> Any:
            return image(model(), numbers) / largest

        check_grads(relative, (values,), order=1, modes=["rev"], eps=1e-6, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(jax.jit(relative)(values), relative(values))
        total = jax.grad(lambda numbers: relative(numbers).sum())
        np.testing.assert_array_equal(jax.jit(total)(values), total(values))


@pytest.mark.parametrize(("name", "program"), [("torch", "PyTorch"), ("jax", "JAX")])
def test_who_has_it_not_is_told_what_to_install(name: str, program: str) -> None:
    code = (
        f"import sys; sys.modules[{name!r}] = None\n"
        f"import nbnumba\ntry:\n    import nbnumba.{name}\nexcept nbnumba.ResourceError as error:\n    print(error)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.startswith(f"nbnumba.{name} needs {program} (")
    assert said.endswith(f"pip install nbnumba[{name}]\n")


def test_nothing_imports_them_unasked() -> None:
    code = "import sys, nbnumba; nbnumba.Differentiable; print({'torch', 'jax'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
