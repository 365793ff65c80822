"""The nouns of an experiment but for the detector: beam, scan, crystal, and what is around them."""

import math
from dataclasses import dataclass
from typing import Literal

from ..units import DEFAULT_FLUENCE_PER_M2
from .field import AT_LEAST_SMALLEST, COUNT, NOT_NEGATIVE, POSITIVE, ZERO_OR_SMALLEST, at_most, between, field
from .noun import Noun
from .types import (
    NOT_GIVEN,
    SINGLE,
    UNSIZED,
    UNTURNED,
    GivenCell,
    GivenFile,
    GivenMatrix,
    GivenRows,
    GivenVector,
    GivenWords,
    Shape,
    Sizes,
    Taking,
    Values,
    Vector,
)

MOST_DEGREES = 1e6
"""Far more than a mosaic spread can mean, far less than overflows a float32."""


@dataclass(frozen=True)
class Beam(Noun):
    """The X-rays: spectrum, divergence, polarization and how many photons.

    Each of the three samplings (two divergences and the dispersion) is given by any of range, step and
    count; :func:`nbnumba.setup.sources.sampled` says how the missing ones follow.
    """

    wavelength_angstrom: float | None = field(None, POSITIVE, slip=(0.01, 1e4))
    """Central wavelength (1 Å where neither this nor a header gives it)."""
    dispersion_percent: float = field(0.0, NOT_NEGATIVE, slip=(0.0, 100.0))
    """Width of the spectrum, as a percentage of the central wavelength."""
    dispersion_steps: int | None = field(None, COUNT)
    """Wavelengths across the spectrum, alike in weight; None: 2 where it has a width, else 1."""
    horizontal_divergence_mrad: float | None = field(None, NOT_NEGATIVE, slip=(0.0, 200.0))
    """Range of directions along the polarization axis, from end to end."""
    horizontal_divergence_step_mrad: float | None = field(None, NOT_NEGATIVE)
    """Angle between two of them."""
    horizontal_divergence_steps: int | None = field(None, COUNT)
    """How many directions."""
    vertical_divergence_mrad: float | None = field(None, NOT_NEGATIVE, slip=(0.0, 200.0))
    """Range of directions across beam and polarization axis, from end to end."""
    vertical_divergence_step_mrad: float | None = field(None, NOT_NEGATIVE)
    """Angle between two of them."""
    vertical_divergence_steps: int | None = field(None, COUNT)
    """How many directions."""
    round_divergence: bool = True
    """Drop the corners of the divergence grid."""
    source_file: GivenFile = NOT_GIVEN
    """Rows of x y z weight wavelength in m; replaces divergence and dispersion."""
    sources: GivenRows = field(NOT_GIVEN, in_place_of="source_file")
    """The same rows in place of the file; NaN or None for what is not given."""
    kahn_factor: float = field(0.0, between(-1.0, 1.0))
    """Degree of polarization K: 0 unpolarized, 1 fully polarized along the polarization axis."""
    polarization_correction: bool = True
    """Multiply by the polarization factor (Kahn et al., J. Appl. Cryst. 15, 1982, 330)."""
    fluence_per_m2: float = field(DEFAULT_FLUENCE_PER_M2, NOT_NEGATIVE)
    """Photons per m²; by default the square of the electron radius times it is 1."""
    flux_per_s: float = field(0.0, NOT_NEGATIVE)
    """Photons per second; where given, flux · exposure / size² is the fluence."""
    exposure_s: float = field(1.0, NOT_NEGATIVE)
    """Exposure time; counts beside a flux alone."""
    size_mm: float = field(0.1, ZERO_OR_SMALLEST, slip=(1e-6, 20.0))
    """Edge of the square beam, by which a flux becomes a fluence and to which a crystal's edges are clipped."""
    direction: GivenVector = NOT_GIVEN
    """Along which the beam travels, in the lab; convention "custom" only."""
    polarization_axis: GivenVector = NOT_GIVEN
    """E-vector; convention "custom" only."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sources is not None:
            # NaN would make the beam differ from itself.
            rows = tuple(tuple(None if value is None or math.isnan(value) else value for value in row)
                         for row in self.sources)  # fmt: skip
            object.__setattr__(self, "sources", rows)


@dataclass(frozen=True)
class Goniometer(Noun):
    """The axis about which the crystal turns."""

    spindle_axis: GivenVector = NOT_GIVEN
    """Of the lab, right-handed; convention "custom" only."""


@dataclass(frozen=True)
class Scan(Noun):
    """The rotation during the exposure, sampled once in each step."""

    phi_deg: float | None = None
    """Spindle angle at the start; None: by the header, else 0."""
    oscillation_deg: float | None = field(None, NOT_NEGATIVE)
    """From the start of the exposure to its end; None: by the header or by step and count, else 0."""
    step_deg: float | None = field(None, NOT_NEGATIVE)
    """From one sample to the next; None: oscillation / steps."""
    steps: int | None = field(None, COUNT)
    """How many samples; None: by oscillation and step."""
    phi_sampling: Literal["start", "middle"] = "start"
    """Where in each step: sampled at their starts, as the reference does, a scan lies half a step too early."""


@dataclass(frozen=True)
class Crystal(Noun):
    """Unit cell, orientation, size, shape and mosaicity."""

    cell: GivenCell = field(NOT_GIVEN, AT_LEAST_SMALLEST, unit="Å and deg", slip=(1.5, 1e5), first=3)
    """a, b, c in Å, α, β, γ in degrees."""
    matrix_file: GivenFile = NOT_GIVEN
    """MOSFLM A matrix: columns a*, b*, c* times the wavelength."""
    a_matrix: GivenMatrix = field(NOT_GIVEN, in_place_of="matrix_file")
    """A in place of the file: columns a*, b*, c* in Å⁻¹ (rows are the lab's x, y, z), without the wavelength."""
    u_matrix: GivenMatrix = field(NOT_GIVEN, in_place_of="matrix_file")
    """Rotation that turns ``cell`` into the lab from where it stands by itself: a* along x, b* in the xy plane."""
    misset_deg: Taking[Vector | Literal["random"], Values[float] | Literal["random"]] = UNTURNED
    """Rotation about the lab's x, then y, then z; "random": any, in mode spec as likely as any other."""
    misset_seed: int | None = None
    """Seed of the random misset (that of the noise where not given)."""
    cells: Taking[tuple[int, int, int], Values[int]] = SINGLE
    """Unit cells along a, b, c."""
    size_mm: Taking[Sizes, Values[float | None]] = field(UNSIZED, NOT_NEGATIVE, slip=(1e-7, 20.0))
    """Edges along a, b, c; where given, they set the number of cells."""
    shape: Shape = "square"
    """Of the crystal: parallelepiped, ellipsoid, or spots that are Gaussian or have a sharp edge."""
    fudge: float = field(1.0, POSITIVE)
    """Scale of the shape in reciprocal space (round, gauss and tophat)."""
    gauss_width: Literal["reference", "edges"] = "reference"
    """Width of gauss and tophat spots: some 0.9/(Na·Nb·Nc) Å⁻¹ in every direction, by the formula of the reference,
    which makes needles of large crystals; or that of the square crystal, some 0.9/N of an index along each edge."""
    mosaic_spread_deg: float | None = field(None, NOT_NEGATIVE + at_most(MOST_DEGREES, "degrees"), slip=(0.0, 90.0))
    """Largest angle by which a domain is turned from the first, which stands unturned."""
    mosaic_domains: int | None = field(None, COUNT)
    """How many blocks scatter, each for itself; None: 10 where there is a spread, else 1."""
    mosaic_seed: int = 12345678
    """Seed of their rotations."""


@dataclass(frozen=True)
class StructureFactors(Noun):
    """F(hkl): from a list, from the cache of one, or from atomic coordinates."""

    hkl_file: GivenFile = NOT_GIVEN
    """Lines of h, k, l and F in electrons, all of them: no symmetry is applied."""
    default_f: float = field(0.0, NOT_NEGATIVE, unit="electrons")
    """F in electrons of every reflection without a value."""
    dump_file: GivenFile = NOT_GIVEN
    """Binary cache of the table of ``hkl_file``."""
    coordinate_file: GivenFile = NOT_GIVEN
    """PDB or mmCIF file to calculate F from."""
    solvent: bool = True
    """Add bulk solvent to the F of ``coordinate_file``."""
    k_sol: float = field(0.35, NOT_NEGATIVE, unit="e/Å³")
    """Bulk solvent density in e/Å³."""
    b_sol: float = field(46.0, NOT_NEGATIVE, unit="Å²")
    """Bulk solvent B factor in Å²."""
    interpolate: bool | None = None
    """Tricubic interpolation between reflections; None: where a crystal edge is 2 cells or fewer."""
    anomalous: GivenWords = NOT_GIVEN
    """Elements of ``coordinate_file`` that scatter anomalously at each wavelength of the beam, as "Se" by tables or as
    "Se=file" by rows of E (eV) f' f''; None: those heavier than Ca, S and P above 1.5 Å, at the mean wavelength."""

    @property
    def curve_files(self) -> dict[str, str | None]:
        """The elements of ``anomalous``, each with the file of its curve where one is named; the later one counts."""
        words = (word.partition("=") for word in self.anomalous or ())
        return {symbol.capitalize(): file if equals else None for symbol, equals, file in words}


@dataclass(frozen=True)
class Background(Noun):
    """What scatters besides the crystal."""

    water_um: float = field(0.0, NOT_NEGATIVE, slip=(0.0, 1e5))
    """Edge of the cube of water (or other amorphous material) in the beam."""
    amorphous_file: GivenFile = NOT_GIVEN
    """Two columns, ``amorphous_axis`` in Å⁻¹ and F in electrons, which take the place of water's constant F."""
    amorphous_axis: Literal["stol", "4stol", "Q"] = "stol"
    """sin θ/λ, 4 sin θ/λ or 4π sin θ/λ."""


@dataclass(frozen=True)
class Sampling(Noun):
    """How finely the integral over a pixel is sampled."""

    oversample: int = field(0, NOT_NEGATIVE)
    """Sub-pixels along each edge; 0: as many as the crystal's size asks for."""
    oversample_thick: bool = False
    """Absorption for each sub-pixel and source rather than once in a layer of a pixel."""
    oversample_polar: bool = False
    """Polarization factor for each sub-pixel and source rather than once in a pixel."""
    oversample_omega: bool = False
    """Solid angle for each sub-pixel rather than once in a pixel."""
    dmin_angstrom: float = field(0.0, NOT_NEGATIVE)
    """Samples of higher resolution are skipped."""


@dataclass(frozen=True)
class Noise(Noun):
    """Photon counting."""

    seed: int | None = None
    """None: drawn from the system's entropy; the run reports it."""


@dataclass(frozen=True)
class Readout(Noun):
    """What the detector makes of the photons that it counts."""

    adc_offset: float = field(40.0, unit="counts")
    """Count of a pixel without photons."""
