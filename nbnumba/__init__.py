"""X-ray diffraction images of crystals, photon by photon: nanoBragg's method in Python and Numba.

>>> import nbnumba
>>> experiment = nbnumba.Experiment.from_args(
...     ["-cell", "70", "80", "90", "75", "85", "95", "-default_F", "100", "-N", "5", "-detpixels", "64"])
>>> image = nbnumba.simulate(experiment)
>>> image.photons.shape, str(image.photons.dtype)
((64, 64), 'float32')
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .errors import InputFileError, NbnumbaError, NbnumbaWarning, ResourceError, UsageError
from .version import __version__

__all__ = [
    "Background",
    "Beam",
    "Campaign",
    "CampaignDataset",
    "Crystal",
    "Detector",
    "Differentiable",
    "Experiment",
    "FurtherLattice",
    "Goniometer",
    "Image",
    "InputFileError",
    "Material",
    "NbnumbaError",
    "NbnumbaWarning",
    "Noise",
    "Panel",
    "Predictions",
    "Readout",
    "ResourceError",
    "Sampling",
    "Scan",
    "StructureFactors",
    "UsageError",
    "__version__",
    "changed",
    "gradients",
    "hkl_map",
    "predict",
    "refine",
    "refine_many",
    "rotation_series",
    "simulate",
    "simulate_many",
]


if TYPE_CHECKING:
    from .campaign.campaign import Campaign
    from .campaign.dataset import CampaignDataset
    from .differentiation.model import Differentiable, gradients
    from .experiment import (
        Background,
        Beam,
        Crystal,
        Detector,
        Experiment,
        FurtherLattice,
        Goniometer,
        Material,
        Noise,
        Panel,
        Readout,
        Sampling,
        Scan,
        StructureFactors,
        changed,
    )
    from .image import Image
    from .prediction import Predictions, hkl_map, predict
    from .refinement.many import refine_many
    from .refinement.refine import refine
    from .simulation import rotation_series, simulate, simulate_many
else:
    _HEAVY = {
        "Campaign": "campaign.campaign",
        "CampaignDataset": "campaign.dataset",
        "Differentiable": "differentiation.model",
        "Image": "image",
        "Predictions": "prediction",
        "gradients": "differentiation.model",
        "hkl_map": "prediction",
        "predict": "prediction",
        "refine": "refinement.refine",
        "refine_many": "refinement.many",
        "rotation_series": "simulation",
        "simulate": "simulation",
        "simulate_many": "simulation",
    }

    def __getattr__(name: str) -> Any:
        """Import what is asked for, and with it NumPy and Numba where needed: ``nbnumba -h`` answers at once."""
        if name in _HEAVY:
            from .interruption import out_of_reach

            return getattr(out_of_reach(lambda: import_module(f".{_HEAVY[name]}", __name__)), name)
        if name in __all__:
            return getattr(import_module(".experiment", __name__), name)
        raise AttributeError(f"module 'nbnumba' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
