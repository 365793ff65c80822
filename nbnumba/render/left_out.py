"""What backends tell of samples that they left out, and what of it holds for a whole image."""

from collections.abc import Sequence

import numpy as np

from ..kernels.plan import Plan
from ..left_out import LeftOut

DARK, PLAIN = "nothing scatters", "the plain renderer leaves nothing out"
NO_CRYSTAL = "no crystal scatters"


def why_ignored(plan: Plan) -> str:
    """Why a plan's tolerance counts nothing, whoever renders; "" where it does."""
    if plan.running_product:
        return "mode c evaluates in serial order, where factors are oversampled (C-11)"
    if plan.factors.interpolate == 2:
        return "mode c evaluates in serial order, where it interpolates (C-10)"
    return ""


def all_evaluated(plan: Plan, why: str) -> LeftOut | None:
    """What is told of a plan whose every sample was evaluated, and why; None where its tolerance is 0."""
    return LeftOut(1.0, 0.0, why_ignored(plan) or why) if plan.tolerance > 0.0 else None


def together(plans: Sequence[Plan], told: Sequence[LeftOut | None], lattices: int) -> LeftOut | None:
    """What holds for an image: ``told`` of its plans, panel by panel those of all lattices.

    What lattices left out of a pixel adds up; the share is that of all samples.
    """
    known = [one for one in told if one is not None]
    if not known:
        return None
    spent = np.array([0.0 if one is None else one.spent_photons for one in told]).reshape(-1, lattices)
    share = np.array([1.0 if one is None else one.share for one in told])
    samples = np.array([_samples(plan) for plan in plans])
    mean = float(share @ samples / samples.sum()) if samples.any() else 1.0
    reasons = dict.fromkeys(one.why for one in known if one.why)
    return LeftOut(mean, float(spent.sum(axis=1).max()), "; ".join(reasons))


def _samples(plan: Plan) -> float:
    """Of all pixels in a plan's region of interest."""
    fast0, fast1, slow0, slow1 = plan.detector.roi
    pixel = plan.oversample**2 * plan.detector.layers * len(plan.sources.weight)
    return float(fast1 - fast0 + 1) * (slow1 - slow0 + 1) * pixel * len(plan.crystal.phi) * len(plan.crystal.domains)
