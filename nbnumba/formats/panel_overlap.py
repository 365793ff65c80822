"""By how much panels hide one another from the sample."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ..experiment import Panel


def overlaps_px(panels: Sequence[Panel]) -> npt.NDArray[np.float64]:
    """By how many pixels any two panels overlap as the sample sees them; 0 or less where they do not.

    Seen in the plane z = 1 panels are convex, and two of them apart where some edge of one has all of the other beyond
    it. Panels that reach behind the sample count as apart from all.

    Returns
    -------
    ndarray of float64, shape (panels, panels)
        Symmetric; of no meaning on the diagonal.
    """
    corners = np.array([_corners_mm(panel) for panel in panels])
    depth = corners[:, :, 2]
    is_before = (depth > 0.0).all(axis=1)
    seen = corners[:, :, :2] / np.where(depth > 0.0, depth, 1.0)[:, :, np.newaxis]
    edges = np.roll(seen, -1, axis=1) - seen
    across = edges[:, :, ::-1] * (-1.0, 1.0) / np.linalg.norm(edges, axis=2, keepdims=True)
    along = np.einsum("iax,jcx->iajc", across, seen)
    low, high = along.min(axis=3), along.max(axis=3)
    own = np.arange(len(panels))
    own_low, own_high = low[own, :, own][:, :, np.newaxis], high[own, :, own][:, :, np.newaxis]
    overlap = np.minimum(own_high - low, high - own_low).min(axis=1)
    overlap *= (depth.mean(axis=1) / [_pixel_mm(panel) for panel in panels])[:, np.newaxis]
    overlap = np.minimum(overlap, overlap.T)
    overlap[~is_before] = overlap[:, ~is_before] = 0.0
    return np.asarray(overlap, np.float64)


def _corners_mm(panel: Panel) -> npt.NDArray[np.float64]:
    """In order around it, (4, 3)."""
    origin, fast, slow = (np.array(v) for v in (panel.origin_mm, panel.fast_step_mm, panel.slow_step_mm))
    across, down = (panel.fast_pixels or 0) * fast, (panel.slow_pixels or 0) * slow
    return np.array([origin, origin + across, origin + across + down, origin + down])


def _pixel_mm(panel: Panel) -> float:
    return float(np.linalg.norm(panel.fast_step_mm or 0.0))
