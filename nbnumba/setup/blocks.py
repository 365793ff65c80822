"""How many blocks of a crystal scatter, each for itself: what the beam meets of it over the volume of one."""

import math
import warnings

from ..errors import NbnumbaWarning, UsageError
from ..experiment import Beam, Crystal
from ..units import METRES_PER_ANGSTROM, metres_from_mm
from .lattice import Lattice


def spot_scale(crystal: Crystal, beam: Beam, lattice: Lattice) -> float:
    """By which the photons that one block of Na·Nb·Nc cells scatters are multiplied.

    As given, 0 being a beam that misses the crystal; or, with the size of the whole crystal, the volume that the beam
    meets over that of a block, as ``determine_spot_scale`` of simtbx has it for a cube in a square beam.

    Raises
    ------
    UsageError
        A scale and the size that would say it; a size in a beam that has none.

    Warns
    -----
    NbnumbaWarning
        The whole crystal is smaller than a block of it.
    """
    size_mm = crystal.whole_size_mm
    if size_mm is None:
        return 1.0 if crystal.spot_scale is None else crystal.spot_scale
    words = f"-crystal_mm {' '.join(f'{edge:g}' for edge in size_mm)}"
    if crystal.spot_scale is not None:
        raise UsageError(f"-spot_scale {crystal.spot_scale:g} beside {words}, which says it too: give one of them")
    if beam.size_mm == 0.0:
        raise UsageError(f"{words} in a beam of -beamsize 0, which meets nothing of it: give the size of the beam")
    block = math.prod(lattice.cells) * abs(lattice.volume) * METRES_PER_ANGSTROM**3
    along, horizontal, vertical = (metres_from_mm(edge) for edge in size_mm)
    if along * horizontal * vertical < block:
        warnings.warn(
            f"{words}: the whole crystal is smaller than one block of {' x '.join(map(str, lattice.cells))} cells: "
            "give fewer cells (-N)",
            NbnumbaWarning,
            stacklevel=3,
        )
    across = _across(horizontal, beam) * _across(vertical, beam)
    return along * across / block


def _across(edge_m: float, beam: Beam) -> float:
    """The integral of the beam's profile over an edge that is centred in it, in m.

    The profile is 1 throughout a box of the beam's size s. A Gaussian of s full width at half maximum has the same
    integral s over all, of which ``erf(√(ln 2) · edge / s)`` lies on the edge. So the product for two edges and the
    depth of the crystal is ∫ fluence(x, y) · depth dx dy over flux · exposure / s².
    """
    size = metres_from_mm(beam.size_mm)
    if beam.profile == "gauss":
        return size * math.erf(math.sqrt(math.log(2.0)) * edge_m / size)
    return min(edge_m, size)
