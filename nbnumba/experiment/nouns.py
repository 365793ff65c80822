"""The nouns of an experiment but for the detector: beam, scan, crystal, and what is around them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ..units import DEFAULT_FLUENCE_PER_M2
from .field import AT_LEAST_SMALLEST, COUNT, NOT_NEGATIVE, POSITIVE, ZERO_OR_SMALLEST, Rule, at_most, between, field
from .noun import Noun
from .reflections import ReflectionList
from .types import (
    NOT_GIVEN,
    SINGLE,
    UNSIZED,
    UNTURNED,
    Generator,
    GivenCell,
    GivenColours,
    GivenColumns,
    GivenFile,
    GivenMatrix,
    GivenRows,
    GivenVector,
    GivenWords,
    PointSpread,
    ReadoutKind,
    Shape,
    Sizes,
    StolAxis,
    Taking,
    Values,
    Vector,
)

FRACTION = between(0, 1)
SWANK = (Rule("be above 0", lambda x: x > 0), *at_most(1.0))
LAST_FRAME = 2**32 - 1
"""That a word of the generator can count."""
MOST_DEGREES = 1e6
"""Far more than a mosaic spread can mean, far less than overflows a float32."""


@dataclass(frozen=True)
class Beam(Noun):
    """The X-rays: spectrum, divergence, polarization and how many photons.

    Each of the three samplings (two divergences and the dispersion) is given by any of range, step and
    count; :func:`nbnumba.setup.sources.sampled` says how the missing ones follow.
    """

    wavelength_angstrom: float | None = field(None, POSITIVE, slip=(0.01, 1e4))
    """Central wavelength (where neither this nor a header gives it, that of a spectrum's mean energy, else 1 Å).
    Beside a spectrum it counts for headers and A matrices alone."""
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
    """Edge of the square beam, by which a flux becomes a fluence and to which a crystal's edges are clipped; of a
    Gaussian beam the full width at half maximum."""
    direction: GivenVector = NOT_GIVEN
    """Along which the beam travels, in the lab; convention "custom" only."""
    polarization_axis: GivenVector = NOT_GIVEN
    """E-vector; convention "custom" only."""
    horizontal_divergence_sigma_mrad: float | None = field(None, POSITIVE, slip=(0.0, 200.0))
    """Standard deviation of a Gaussian by which directions count; None: all alike."""
    vertical_divergence_sigma_mrad: float | None = field(None, POSITIVE, slip=(0.0, 200.0))
    """The same across beam and polarization axis."""
    spectrum_file: GivenFile = NOT_GIVEN
    """Two columns, energy in eV or wavelength in Å (a median below 100) and photons; ``.npz`` holds several spectra."""
    spectrum: GivenColumns = NOT_GIVEN
    """The same rows in place of the file."""
    spectrum_number: int = field(0, NOT_NEGATIVE)
    """Which spectrum of the file, from 0."""
    spectrum_bins: int | None = field(None, COUNT)
    """Wavelengths that stand for the spectrum, alike in photons, each at their mean energy; None: every row of a file,
    100 of what is generated."""
    pink_ev: GivenVector = field(NOT_GIVEN, POSITIVE)
    """A Gaussian band: the energy of its peak, and its full widths at half maximum below and above that."""
    two_colour: GivenColours = field(NOT_GIVEN, NOT_NEGATIVE, unit="eV and photons")
    """Two lines: the energy of the first, its share of the photons, and both of the second."""
    sase_ev: GivenVector = field(NOT_GIVEN, POSITIVE)
    """A pulse of a free-electron laser, drawn with the seed of the noise: central energy, full width at half maximum of
    the mean of many pulses, and of one spike."""
    profile: Literal["box", "gauss"] = "box"
    """How its photons lie across it: evenly over the square of ``size_mm``, or as a Gaussian of that width in both
    directions. The fluence is all photons over ``size_mm``² in both, of which a Gaussian beam's centre has 0.88."""

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
class FurtherLattice(Noun):
    """A lattice beside the crystal's own, in the same beam; what is not given is as the crystal's.

    Examples
    --------
    >>> from nbnumba import Crystal, FurtherLattice
    >>> split = Crystal(cell=(70, 80, 90, 90, 90, 90), lattices=[FurtherLattice(weight=0.5, misset_deg=(0, 0, 2))])
    >>> split.lattices[0].misset_deg
    (0.0, 0.0, 2.0)
    """

    weight: float = field(1.0, ZERO_OR_SMALLEST)
    """By which its photons are multiplied, besides the crystal's ``spot_scale``; the crystal's own lattice has 1."""
    misset_deg: GivenVector = NOT_GIVEN
    """Rotation about the lab's x, then y, then z; None: as the crystal's, but none of a matrix that is given here."""
    matrix_file: GivenFile = NOT_GIVEN
    """MOSFLM A matrix in place of what says the crystal's axes; beside a ``cell``, its own or the crystal's, it gives
    directions alone."""
    a_matrix: GivenMatrix = NOT_GIVEN
    """The same in place of the file, as the crystal's."""
    cells: Taking[tuple[int, int, int] | None, Values[int] | None] = NOT_GIVEN
    """Unit cells along a, b, c."""
    mosaic_spread_deg: float | None = field(None, NOT_NEGATIVE + at_most(MOST_DEGREES, "degrees"))
    """Largest angle by which a domain is turned from the first."""
    mosaic_domains: int | None = field(None, COUNT)
    """How many domains."""
    mosaic_seed: int | None = None
    """Seed of their rotations."""
    cell: GivenCell = field(NOT_GIVEN, AT_LEAST_SMALLEST, unit="Å and deg", first=3)
    """a, b, c in Å, α, β, γ in degrees; beside a matrix, this one's or the crystal's, that gives directions alone."""


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
    spot_scale: float | None = field(None, ZERO_OR_SMALLEST)
    """How many blocks of ``cells`` scatter: photons of the spots are multiplied by it, those of the background are not
    (None: by ``whole_size_mm``, else 1). 0: the beam misses the crystal and its lattices, which need no cell or F."""
    whole_size_mm: GivenVector = field(NOT_GIVEN, POSITIVE, slip=(1e-7, 20.0))
    """Edges of the whole crystal, not of a block, centred in the beam: along the beam, then across it; in place of
    ``spot_scale`` they say how many blocks the beam meets."""
    lattices: Taking[tuple[FurtherLattice, ...] | None, Values[FurtherLattice] | None] = NOT_GIVEN
    """Further lattices beside this one: their images are added to its own."""


@dataclass(frozen=True)
class StructureFactors(Noun):
    """F(hkl): from reflections, from a cache of them, or from atomic coordinates."""

    hkl_file: GivenFile = NOT_GIVEN
    """Lines of h, k, l and F in electrons, all of P 1; or any file of reflections that has their symmetry."""
    default_f: float = field(0.0, NOT_NEGATIVE, unit="electrons")
    """F in electrons of every reflection without a value; of a file with symmetry, within its resolution alone."""
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
    hkl_format: Literal["any", "mtz", "cif"] = "any"
    """What ``hkl_file`` must be; any of the kinds that its content tells, or one alone."""
    labels: tuple[str, ...] | None = None
    """Columns of ``hkl_file``: that of F (or of intensities), or those of F(+) and F(-)."""
    space_group: str | None = None
    """Hermann-Mauguin symbol that takes the place of the file's."""
    reflections: ReflectionList | None = field(None, in_place_of="hkl_file")
    """Reflections in place of the file; :meth:`from_arrays`, :meth:`from_mtz` and :meth:`from_dataset` make them."""
    scale_f: float = field(1.0, NOT_NEGATIVE)
    """F of files and coordinates are multiplied by it; ``default_f`` is not."""
    b_add: float = field(0.0, unit="Å²")
    """B factor in Å² that they are given besides: F·exp(−B s²), s = sin θ/λ."""
    anomalous: GivenWords = NOT_GIVEN
    """Elements of ``coordinate_file`` that scatter anomalously at each wavelength of the beam, as "Se" by tables or as
    "Se=file" by rows of E (eV) f' f''; None: those heavier than Ca, S and P above 1.5 Å, at the mean wavelength."""

    @property
    def curve_files(self) -> dict[str, str | None]:
        """The elements of ``anomalous``, each with the file of its curve where one is named; the later one counts."""
        words = (word.partition("=") for word in self.anomalous or ())
        return {symbol.capitalize(): file if equals else None for symbol, equals, file in words}

    @classmethod
    def from_arrays(
        cls, hkl: Any, f: Any, f_minus: Any = None, *, cell: Values[float] | None = None,
        space_group: str | None = None, **fields: Any,
    ) -> StructureFactors:  # fmt: skip
        """F in memory.

        Parameters
        ----------
        hkl : int array, shape (n, 3)
            Miller indices.
        f : float array, shape (n,)
            |F| in electrons of h k l; NaN where it is not known.
        f_minus : float array, shape (n,), optional
            The same of −h −k −l.
        cell : sequence of 6 floats, optional
            a, b, c in Å, α, β, γ in degrees; the crystal's, where nothing else gives it one.
        space_group : str, optional
            Hermann-Mauguin symbol by which they are expanded to all of P 1, both mates, as a file's are. Without it
            they are all of P 1 that there is, as a list of h k l F.
        **fields
            Any other field of StructureFactors.

        Returns
        -------
        StructureFactors
            Two of the same content are equal and have the same hash.

        Raises
        ------
        UsageError
            Arrays of other shapes, indices that are not whole, F below 0 or infinite, none at all.

        Examples
        --------
        >>> from nbnumba import StructureFactors
        >>> two = StructureFactors.from_arrays([[1, 0, 0], [0, 2, 0]], [10.0, 20.0], space_group="P 21 21 21")
        >>> two == StructureFactors.from_arrays([[1, 0, 0], [0, 2, 0]], [10.0, 20.0], space_group="P 21 21 21")
        True
        """
        from ..structure_factors.in_memory import of_arrays

        return cls(reflections=of_arrays(hkl, f, f_minus, cell, space_group), **fields)

    @classmethod
    def from_mtz(cls, mtz: Any, labels: Sequence[str] | None = None, **fields: Any) -> StructureFactors:
        """F of a ``gemmi.Mtz``.

        Parameters
        ----------
        mtz : gemmi.Mtz
            Stays as it is.
        labels : sequence of str, optional
            Its column of F, or those of F(+) and F(-); chosen as for a file where not given.
        **fields
            Any other field of StructureFactors.

        Returns
        -------
        StructureFactors
            With cell and space group of the MTZ.

        Raises
        ------
        InputFileError
            As for a file.
        """
        from ..structure_factors.in_memory import of_mtz

        return cls(reflections=of_mtz(mtz, labels), **fields)

    @classmethod
    def from_dataset(
        cls, table: Any, labels: Sequence[str] | None = None, *, cell: Values[float] | None = None,
        space_group: str | None = None, **fields: Any,
    ) -> StructureFactors:  # fmt: skip
        """F of a table with named columns: a pandas DataFrame, or a DataSet of reciprocalspaceship.

        Parameters
        ----------
        table : DataFrame
            With h, k and l, in any case, as its index or as columns.
        labels : sequence of str, optional
            Its column of F, or those of F(+) and F(-); chosen as for a file where not given.
        cell, space_group : optional
            As in :meth:`from_arrays`; by default those that the table has as ``cell`` and ``spacegroup``.
        **fields
            Any other field of StructureFactors.

        Returns
        -------
        StructureFactors

        Raises
        ------
        UsageError
            No such columns, or as in :meth:`from_arrays`.
        """
        from ..structure_factors.in_memory import of_dataset

        return cls(reflections=of_dataset(table, labels, cell, space_group), **fields)


@dataclass(frozen=True)
class Material(Noun):
    """A material in the beam beside the crystal: how far the beam goes through it, and what its molecules scatter.

    Examples
    --------
    >>> from nbnumba import Background, Material
    >>> Background(materials=[Material("water", path_mm=0.05), Material("air", path_mm=20)]).materials[1].name
    'air'
    """

    name: str | None = None
    """One whose F, density and molar mass are known: water, air, ice or nano-ice."""
    path_mm: float | None = field(None, POSITIVE, slip=(1e-6, 1e4))
    """Of the beam through it."""
    density_g_per_cm3: float | None = field(None, POSITIVE, unit="g/cm³", slip=(1e-5, 30.0))
    """None: that of ``name``."""
    molar_mass_g_per_mol: float | None = field(None, POSITIVE, unit="g/mol")
    """Of what F is said of; None: that of ``name``."""
    table_file: GivenFile = NOT_GIVEN
    """In place of ``name``: two columns, ``axis`` in Å⁻¹ and F in electrons."""
    axis: StolAxis = "stol"
    """Of ``table_file``: sin θ/λ, 4 sin θ/λ or 4π sin θ/λ."""


@dataclass(frozen=True)
class Background(Noun):
    """What scatters besides the crystal."""

    water_um: float = field(0.0, NOT_NEGATIVE, slip=(0.0, 1e5))
    """Edge of the cube of water (or other amorphous material) in the beam."""
    amorphous_file: GivenFile = NOT_GIVEN
    """Two columns, ``amorphous_axis`` in Å⁻¹ and F in electrons, which take the place of water's constant F."""
    amorphous_axis: StolAxis = "stol"
    """sin θ/λ, 4 sin θ/λ or 4π sin θ/λ."""
    materials: Taking[tuple[Material, ...] | None, Values[Material] | None] = NOT_GIVEN
    """What else the beam goes through; the molecules of each are those in the path times the beam's area,
    ``beam.size_mm``²."""
    image_file: GivenFile = NOT_GIVEN
    """Photons of each pixel, added to the expectation: an image of the same size, or float32 without a header."""
    profile_file: GivenFile = NOT_GIVEN
    """Two columns, ``profile_axis`` and photons per pixel, which are added as they are."""
    profile_axis: Literal["stol", "px"] = "stol"
    """sin θ/λ in Å⁻¹, or pixels from the beam centre."""


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
    tolerance_photons: float = field(0.0, NOT_NEGATIVE)
    """By how many photons a pixel may be off, for samples to be left out (docs/tolerance.md). 0: exact."""


@dataclass(frozen=True)
class Noise(Noun):
    """Photon counting."""

    seed: int | None = None
    """None: drawn from the system's entropy; the run reports it."""
    frame: int = field(0, NOT_NEGATIVE + at_most(LAST_FRAME))
    """Number of the image among those that share a seed, from 0: each has noise of its own."""
    rng: Generator | None = None
    """Who draws photon counts: ``philox`` makes those of a pixel of its place, frame and seed alone; ``ran1`` one after
    another, as nanoBragg does, which makes all depend on those before. None: by the mode, ``philox`` in mode spec."""


@dataclass(frozen=True)
class Readout(Noun):
    """What the detector makes of the photons that reach it (docs/detectors.md).

    What is None is as the detector's ``preset`` has it where that is of the same kind, else as usual for the kind.
    """

    adc_offset: float | None = field(None, unit="counts")
    """Count of a pixel without photons: 40, but 0 of detectors that count or switch."""
    kind: ReadoutKind | None = None
    """Photons as they are (ideal); single photons counted (PILATUS, EIGER); charge integrated (CCD, phosphor); charge
    integrated by an amplifier that switches its gain (JUNGFRAU). Ideal where nothing else says so."""
    gain: float | None = field(None, POSITIVE, unit="counts/photon")
    """Of what integrates or, where gains switch, of the image that is made of it: 1."""
    read_noise: float | None = field(None, NOT_NEGATIVE, unit="counts")
    """Rms of what the read-out adds to each pixel: 3 where charge is integrated."""
    flicker: float | None = field(None, FRACTION)
    """Rms change of the beam's intensity from image to image, as a fraction."""
    pixel_flicker: float | None = field(None, FRACTION)
    """The same of each pixel by itself."""
    calibration: float | None = field(None, FRACTION)
    """Rms error of the pixels' sensitivities, as a fraction: the same pattern in every image."""
    calibration_seed: int | None = None
    """Of that pattern: 123456789."""
    psf: PointSpread | None = None
    """Shape by which light or photons spread over pixels: a Gaussian, or that of a fibre-optic taper."""
    psf_fwhm_um: float | None = field(None, NOT_NEGATIVE, slip=(1.0, 1e4))
    """Its full width at half maximum: 41.4 of a fibre-optic taper."""
    swank: float | None = field(None, SWANK)
    """Swank's factor A: photons of one energy give light of relative variance 1/A − 1."""
    deadtime_ns: float | None = field(None, NOT_NEGATIVE)
    """For which a pixel that has counted a photon counts no other."""
    paralyzable: bool | None = None
    """Whether photons that are not counted keep the pixel dead, too."""
    rate_correction: bool | None = None
    """Whether counts are multiplied by what dead time has lost on average, which they are by default."""
    cutoff_per_s: float | None = field(None, POSITIVE, unit="counts/s", is_infinite=True)
    """Of each pixel; above it counts are cut."""
    bits: int | None = field(None, between(1, 32))
    """Of the counter (20), the analogue-to-digital converter (16; 14 where gains switch) or ideal counts (16; above
    that they are 32-bit integers)."""
    words: Literal["photons", "raw"] | None = None
    """Where gains switch: what is made of the image, or what is read (gain stage in the two upper bits)."""
    bad_fraction: float | None = field(None, FRACTION)
    """Of the pixels, in equal parts dead, hot (always at the limit) and noisy (photons that are none)."""
    bad_seed: int | None = None
    """Of which pixels these are: 12345."""
    bad_pixel_file: GivenFile = NOT_GIVEN
    """Rows of fast, slow (both from 0) and dead, hot or noisy, with the panel's number before them where there are
    several."""
