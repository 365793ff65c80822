"""What is simulated, in the words and units of the field: frozen, comparable, and free of arithmetic.

``None`` in a field means "not given": an image header, another field or a default then decides, in
:func:`nbnumba.setup.resolve.resolve`, which is also where values are checked. Every length, angle and count
carries its unit in its name. A noun takes lists, NumPy's scalars and arrays, and paths for tuples, numbers and
texts, and keeps tuples, numbers and texts; what is not of a field's type is a :class:`UsageError` that names the field.
"""

from .detector import OWN_PIVOT, Detector, Panel
from .experiment import Experiment, changed, nouns, with_right_values
from .nouns import (
    Background,
    Beam,
    Crystal,
    FurtherLattice,
    Goniometer,
    Material,
    Noise,
    Readout,
    Sampling,
    Scan,
    StructureFactors,
)
from .types import (
    Cell,
    Convention,
    Generator,
    Mask,
    Matrix,
    Mode,
    Pivot,
    PointSpread,
    ReadoutKind,
    Shape,
    SourceRow,
    Vector,
)

__all__ = [
    "OWN_PIVOT", "Background", "Beam", "Cell", "Convention", "Crystal", "Detector", "Experiment", "FurtherLattice",
    "Generator", "Goniometer", "Mask", "Material", "Matrix", "Mode", "Noise", "Panel", "Pivot", "PointSpread",
    "Readout", "ReadoutKind", "Sampling", "Scan", "Shape", "SourceRow", "StructureFactors", "Vector", "changed",
    "nouns", "with_right_values",
]  # fmt: skip
