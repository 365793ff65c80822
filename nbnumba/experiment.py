"""What is simulated, in the words and units of the field: frozen, comparable, and free of arithmetic.

``None`` in a field means "not given": an image header, another field or a default then decides, in
:func:`nbnumba.setup.resolve.resolve`, which is also where values are checked. Every length, angle and count
carries its unit in its name. A noun takes lists, NumPy's scalars and arrays, and paths for tuples, numbers and
texts, and keeps tuples, numbers and texts; what is not of a field's type is a :class:`UsageError` that names the field.
"""

from __future__ import annotations

import math
import tomllib
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, is_dataclass, replace
from difflib import get_close_matches
from functools import cache
from numbers import Integral, Real
from os import PathLike, fspath
from types import NoneType, UnionType
from typing import Any, Literal, Protocol, TypeVar, Union, get_args, get_origin, get_type_hints

from .errors import NbnumbaWarning, UsageError
from .units import DEFAULT_FLUENCE_PER_M2

Kept_co = TypeVar("Kept_co", covariant=True)
Given_contra = TypeVar("Given_contra", contravariant=True)
Item_co = TypeVar("Item_co", covariant=True)
Noun = TypeVar("Noun", bound="_Noun")


class Values(Protocol[Item_co]):
    """What checkers of types know lists, tuples and NumPy's arrays by."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> Item_co: ...


class Taking(Protocol[Kept_co, Given_contra]):
    """A field that keeps one type and takes another; a descriptor is how a dataclass tells this to checkers of types.

    It is an annotation and nothing else.
    """

    def __get__(self, noun: object, kind: Any, /) -> Kept_co: ...
    def __set__(self, noun: object, value: Given_contra, /) -> None: ...


Cell = tuple[float, float, float, float, float, float]
Vector = tuple[float, float, float]
Matrix = tuple[Vector, Vector, Vector]
Sizes = tuple[float | None, float | None, float | None]
SourceRow = tuple[float | None, float | None, float | None, float | None, float | None]
GivenCell = Taking[Cell | None, Values[float] | None]
GivenVector = Taking[Vector | None, Values[float] | None]
GivenMatrix = Taking[Matrix | None, Values[Values[float]] | None]
GivenFile = Taking[str | None, str | PathLike[str] | None]
# Defaults of such fields: a checker would hold them to the annotation itself.
NOT_GIVEN: Any = None
UNTURNED: Any = (0.0, 0.0, 0.0)
SINGLE: Any = (1, 1, 1)
UNSIZED: Any = (None, None, None)

Mode = Literal["spec", "c"]
Convention = Literal["mosflm", "xds", "adxv", "denzo", "dials", "custom"]
Pivot = Literal["beam", "sample"]
Shape = Literal["square", "round", "gauss", "tophat"]

OWN_PIVOT: dict[Convention, Pivot] = {
    "mosflm": "beam",
    "denzo": "beam",
    "adxv": "beam",
    "xds": "sample",
    "dials": "sample",
    "custom": "beam",
}
"""What a detector turns about in each convention where nothing else is said."""


class _Noun:
    """What the frozen dataclasses have in common: fields hold exactly what their annotations say."""

    def __post_init__(self) -> None:
        noun: Any = type(self)
        for name, kept in _kept(noun).items():
            value = getattr(self, name)
            # Most values are right as they are: defaults, and what a copy takes over.
            if type(value) not in kept and (type(value) is not str or value not in kept):
                object.__setattr__(self, name, _typed(noun, name, value))


class Array(Protocol):
    """What checkers of types know a NumPy array of any kind by."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Its lengths along each axis."""


@dataclass(frozen=True)
class Mask:
    """What a mask is kept as, so that an experiment compares, hashes and stays as it is.

    ``numpy.asarray(mask)`` is the array (slow, fast) again, read-only.
    """

    slow_pixels: int
    """Number of rows."""
    fast_pixels: int
    """Length of a row."""
    rendered: bytes = field(repr=False)
    """A byte for each pixel, slow-major: 1 where it is rendered, else 0."""

    @property
    def __array_interface__(self) -> dict[str, Any]:
        """By which NumPy sees an array."""
        shape = (self.slow_pixels, self.fast_pixels)
        return {"version": 3, "shape": shape, "typestr": "|b1", "data": self.rendered}


@dataclass(frozen=True)
class Beam(_Noun):
    """The X-rays: spectrum, divergence, polarization and how many photons.

    Each of the three samplings (two divergences and the dispersion) is given by any of range, step and
    count; :func:`nbnumba.setup.sources.sampled` says how the missing ones follow.
    """

    wavelength_angstrom: float | None = None
    """Central wavelength (1 Å where neither this nor a header gives it)."""
    dispersion_percent: float = 0.0
    """Width of the spectrum, as a percentage of the central wavelength."""
    dispersion_steps: int | None = None
    """Wavelengths across the spectrum, alike in weight; None: 2 where it has a width, else 1."""
    horizontal_divergence_mrad: float | None = None
    """Range of directions along the polarization axis, from end to end."""
    horizontal_divergence_step_mrad: float | None = None
    """Angle between two of them."""
    horizontal_divergence_steps: int | None = None
    """How many directions."""
    vertical_divergence_mrad: float | None = None
    """Range of directions across beam and polarization axis, from end to end."""
    vertical_divergence_step_mrad: float | None = None
    """Angle between two of them."""
    vertical_divergence_steps: int | None = None
    """How many directions."""
    round_divergence: bool = True
    """Drop the corners of the divergence grid."""
    source_file: GivenFile = NOT_GIVEN
    """Rows of x y z weight wavelength in m; replaces divergence and dispersion."""
    sources: Taking[tuple[SourceRow, ...] | None, Values[Values[float | None]] | None] = NOT_GIVEN
    """The same rows in place of the file; NaN or None for what is not given."""
    kahn_factor: float = 0.0
    """Degree of polarization K: 0 unpolarized, 1 fully polarized along the polarization axis."""
    polarization_correction: bool = True
    """Multiply by the polarization factor (Kahn et al., J. Appl. Cryst. 15, 1982, 330)."""
    fluence_per_m2: float = DEFAULT_FLUENCE_PER_M2
    """Photons per m²; by default the square of the electron radius times it is 1."""
    flux_per_s: float = 0.0
    """Photons per second; where given, flux · exposure / size² is the fluence."""
    exposure_s: float = 1.0
    """Exposure time; counts beside a flux alone."""
    size_mm: float = 0.1
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
class Panel(_Noun):
    """A flat piece of a detector, placed by itself in the laboratory frame of the detector's convention.

    Pixel (i, j) is centred at origin + (i + ½) fast step + (j + ½) slow step, all from the sample.

    Examples
    --------
    >>> from nbnumba import Detector, Panel
    >>> left, right = (
    ...     Panel(name, 32, 64, origin_mm=(x, -3.2, 100), fast_step_mm=(0.1, 0, 0), slow_step_mm=(0, 0.1, 0))
    ...     for name, x in (("left", -3.25), ("right", 0.05))
    ... )
    >>> len(Detector(convention="dials", panels=[left, right]).panels)
    2
    """

    name: str = ""
    """For people and files."""
    fast_pixels: int | None = None
    """Pixels along fast; every panel needs these, and the four below."""
    slow_pixels: int | None = None
    """Pixels along slow."""
    origin_mm: GivenVector = NOT_GIVEN
    """Outer corner of the first pixel."""
    fast_step_mm: GivenVector = NOT_GIVEN
    """From a pixel to the next along fast: its direction and its edge in one."""
    slow_step_mm: GivenVector = NOT_GIVEN
    """The same along slow; pixels may be oblong, and need not be quite rectangular."""
    mask: Taking[Mask | None, Mask | Array | None] = NOT_GIVEN
    """An array of truths or whole numbers (slow, fast): pixels of value 0 are not rendered."""
    roi: Taking[tuple[int, int, int, int] | None, Values[int] | None] = NOT_GIVEN
    """First and last fast, first and last slow pixel to render, all inclusive."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "mask", _mask(self.mask))
        super().__post_init__()


@dataclass(frozen=True)
class Detector(_Noun):
    """A flat (or spherical) pixel detector and where it stands, or one of several panels.

    Beam centre, nearest point and the vectors are read in the axes of ``convention``.
    """

    convention: Convention = "mosflm"
    """Whose laboratory frame: the beam is along +x in mosflm and denzo, along +z in adxv, xds and dials."""
    pivot: Pivot | None = None
    """What stays put when the detector is rotated: the beam spot or the point nearest to the sample."""
    fast_pixels: int | None = None
    """Pixels along fast; None: as many as the size holds."""
    slow_pixels: int | None = None
    """Pixels along slow; None: as many as the size holds."""
    fast_size_mm: float | None = None
    """Edge of the detector along fast, where no number of pixels is given (102.4 mm where nothing is)."""
    slow_size_mm: float | None = None
    """The same along slow."""
    pixel_mm: float | None = None
    """Edge of a pixel (0.1 mm where neither this nor a header gives it)."""
    distance_mm: float | None = None
    """Sample to beam spot, along the beam (100 mm where nothing gives a distance)."""
    close_distance_mm: float | None = None
    """Sample to the nearest point of the detector plane."""
    beam_x_mm: float | None = None
    """Beam centre, x in the axes of the convention; None: the middle of the detector."""
    beam_y_mm: float | None = None
    """Beam centre, y."""
    close_x_mm: float | None = None
    """Point nearest to the sample, along fast from the outer corner of the first pixel."""
    close_y_mm: float | None = None
    """The same along slow."""
    orgx_px: float | None = None
    """Point nearest to the sample in pixels along fast, as in XDS: the centre of the first pixel is 1."""
    orgy_px: float | None = None
    """The same along slow."""
    rotx_deg: float = 0.0
    """Turn of the detector about the lab's x."""
    roty_deg: float = 0.0
    """Then about the lab's y."""
    rotz_deg: float = 0.0
    """Then about the lab's z."""
    twotheta_deg: float | None = None
    """Then about the two-theta axis; None: by the header, else 0."""
    fast_axis: GivenVector = NOT_GIVEN
    """Along which pixels are read fastest, before rotations; convention "custom" only, like the three below."""
    slow_axis: GivenVector = NOT_GIVEN
    """Across it, along the columns."""
    normal_axis: GivenVector = NOT_GIVEN
    """Normal of the detector plane, away from the sample."""
    twotheta_axis: GivenVector = NOT_GIVEN
    """About which ``twotheta_deg`` turns."""
    origin_mm: GivenVector = NOT_GIVEN
    """Outer corner of the first pixel before rotations (pix0_vector); convention "custom" only."""
    curved: bool = False
    """Every pixel at ``distance_mm`` from the sample."""
    point_pixel: bool = False
    """Solid angle 1/R², without pixel size and obliquity."""
    attenuation_depth_um: float | None = None
    """1/e depth of the sensor material; None: not given, inf: no absorption."""
    thickness_um: float = 0.0
    """Of the sensor; 0: all photons are counted at its surface."""
    layers: int | None = None
    """Into which the sensor is cut along its depth; None: 2 where it absorbs, else 1."""
    header_file: GivenFile = NOT_GIVEN
    """SMV image whose header describes the detector, beam and scan."""
    mask_file: GivenFile = NOT_GIVEN
    """SMV image: pixels of value 0 are not rendered; its header counts too, before ``header_file``."""
    mask: Taking[Mask | None, Mask | Array | None] = NOT_GIVEN
    """An array of truths or whole numbers (slow, fast) in place of the file."""
    beamstop_mm: float = 0.0
    """Radius of a disc on the detector, about the beam centre, that stops all photons."""
    roi: Taking[tuple[int, int, int, int] | None, Values[int] | None] = NOT_GIVEN
    """First and last fast, first and last slow pixel to render, all inclusive."""
    panels: Taking[tuple[Panel, ...] | None, Values[Panel] | None] = NOT_GIVEN
    """Flat pieces, each with a place, pixels, mask and region of its own, in place of all that says these here."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "mask", _mask(self.mask))
        super().__post_init__()

    @property
    def chosen_pivot(self) -> Pivot:
        """The pivot that is given, else what the given fields describe (beam centre or near point), else the own."""
        if self.pivot is not None:
            return self.pivot
        near = (self.close_distance_mm, self.close_x_mm, self.close_y_mm, self.orgx_px, self.orgy_px)
        near_given = any(value is not None for value in near)
        beam_given = self.beam_x_mm is not None or self.beam_y_mm is not None
        if near_given == beam_given:
            return OWN_PIVOT[self.convention]
        return "sample" if near_given else "beam"


@dataclass(frozen=True)
class Goniometer(_Noun):
    """The axis about which the crystal turns."""

    spindle_axis: GivenVector = NOT_GIVEN
    """Of the lab, right-handed; convention "custom" only."""


@dataclass(frozen=True)
class Scan(_Noun):
    """The rotation during the exposure, sampled once in each step."""

    phi_deg: float | None = None
    """Spindle angle at the start; None: by the header, else 0."""
    oscillation_deg: float | None = None
    """From the start of the exposure to its end; None: by the header or by step and count, else 0."""
    step_deg: float | None = None
    """From one sample to the next; None: oscillation / steps."""
    steps: int | None = None
    """How many samples; None: by oscillation and step."""
    phi_sampling: Literal["start", "middle"] = "start"
    """Where in each step: sampled at their starts, as the reference does, a scan lies half a step too early."""


@dataclass(frozen=True)
class Crystal(_Noun):
    """Unit cell, orientation, size, shape and mosaicity."""

    cell: GivenCell = NOT_GIVEN
    """a, b, c in Å, α, β, γ in degrees."""
    matrix_file: GivenFile = NOT_GIVEN
    """MOSFLM A matrix: columns a*, b*, c* times the wavelength."""
    a_matrix: GivenMatrix = NOT_GIVEN
    """A in place of the file: columns a*, b*, c* in Å⁻¹ (rows are the lab's x, y, z), without the wavelength."""
    u_matrix: GivenMatrix = NOT_GIVEN
    """Rotation that turns ``cell`` into the lab from where it stands by itself: a* along x, b* in the xy plane."""
    misset_deg: Taking[Vector | Literal["random"], Values[float] | Literal["random"]] = UNTURNED
    """Rotation about the lab's x, then y, then z; "random": any, in mode spec as likely as any other."""
    misset_seed: int | None = None
    """Seed of the random misset (that of the noise where not given)."""
    cells: Taking[tuple[int, int, int], Values[int]] = SINGLE
    """Unit cells along a, b, c."""
    size_mm: Taking[Sizes, Values[float | None]] = UNSIZED
    """Edges along a, b, c; where given, they set the number of cells."""
    shape: Shape = "square"
    """Of the crystal: parallelepiped, ellipsoid, or spots that are Gaussian or have a sharp edge."""
    fudge: float = 1.0
    """Scale of the shape in reciprocal space (round, gauss and tophat)."""
    gauss_width: Literal["reference", "edges"] = "reference"
    """Width of gauss and tophat spots: some 0.9/(Na·Nb·Nc) Å⁻¹ in every direction, by the formula of the reference,
    which makes needles of large crystals; or that of the square crystal, some 0.9/N of an index along each edge."""
    mosaic_spread_deg: float | None = None
    """Largest angle by which a domain is turned from the first, which stands unturned."""
    mosaic_domains: int | None = None
    """How many blocks scatter, each for itself; None: 10 where there is a spread, else 1."""
    mosaic_seed: int = 12345678
    """Seed of their rotations."""


@dataclass(frozen=True)
class StructureFactors(_Noun):
    """F(hkl): from a list, from the cache of one, or from atomic coordinates."""

    hkl_file: GivenFile = NOT_GIVEN
    """Lines of h, k, l and F in electrons, all of them: no symmetry is applied."""
    default_f: float = 0.0
    """F in electrons of every reflection without a value."""
    dump_file: GivenFile = NOT_GIVEN
    """Binary cache of the table of ``hkl_file``."""
    coordinate_file: GivenFile = NOT_GIVEN
    """PDB or mmCIF file to calculate F from."""
    solvent: bool = True
    """Add bulk solvent to the F of ``coordinate_file``."""
    k_sol: float = 0.35
    """Bulk solvent density in e/Å³."""
    b_sol: float = 46.0
    """Bulk solvent B factor in Å²."""
    interpolate: bool | None = None
    """Tricubic interpolation between reflections; None: where a crystal edge is 2 cells or fewer."""


@dataclass(frozen=True)
class Background(_Noun):
    """What scatters besides the crystal."""

    water_um: float = 0.0
    """Edge of the cube of water (or other amorphous material) in the beam."""
    amorphous_file: GivenFile = NOT_GIVEN
    """Two columns, ``amorphous_axis`` in Å⁻¹ and F in electrons, which take the place of water's constant F."""
    amorphous_axis: Literal["stol", "4stol", "Q"] = "stol"
    """sin θ/λ, 4 sin θ/λ or 4π sin θ/λ."""


@dataclass(frozen=True)
class Sampling(_Noun):
    """How finely the integral over a pixel is sampled."""

    oversample: int = 0
    """Sub-pixels along each edge; 0: as many as the crystal's size asks for."""
    oversample_thick: bool = False
    """Absorption for each sub-pixel and source rather than once in a layer of a pixel."""
    oversample_polar: bool = False
    """Polarization factor for each sub-pixel and source rather than once in a pixel."""
    oversample_omega: bool = False
    """Solid angle for each sub-pixel rather than once in a pixel."""
    dmin_angstrom: float = 0.0
    """Samples of higher resolution are skipped."""


@dataclass(frozen=True)
class Noise(_Noun):
    """Photon counting."""

    seed: int | None = None
    """None: drawn from the system's entropy; the run reports it."""


@dataclass(frozen=True)
class Experiment(_Noun):
    """Everything that decides the image, and nothing else.

    Raises
    ------
    UsageError
        A field's value is not of its type, here as in every noun.

    Examples
    --------
    >>> from nbnumba import Beam, Crystal, Detector, Experiment
    >>> experiment = Experiment(
    ...     beam=Beam(wavelength_angstrom=1.0),
    ...     detector=Detector(distance_mm=100, fast_pixels=64, slow_pixels=64),
    ...     crystal=Crystal(cell=(70, 80, 90, 75, 85, 95), cells=(5, 5, 5)),
    ... )
    >>> Experiment.from_toml(experiment.to_toml()) == experiment
    True
    """

    beam: Beam = field(default_factory=Beam)
    """The X-rays."""
    detector: Detector = field(default_factory=Detector)
    """Where photons are counted."""
    goniometer: Goniometer = field(default_factory=Goniometer)
    """About which axis the crystal turns."""
    scan: Scan = field(default_factory=Scan)
    """How far it turns."""
    crystal: Crystal = field(default_factory=Crystal)
    """What it is, how large and how perfect."""
    structure_factors: StructureFactors = field(default_factory=StructureFactors)
    """How strongly each reflection scatters."""
    background: Background = field(default_factory=Background)
    """What scatters besides."""
    sampling: Sampling = field(default_factory=Sampling)
    """How finely all this is sampled."""
    noise: Noise = field(default_factory=Noise)
    """How photons are counted."""
    mode: Mode = "spec"
    """``spec``: the physics; ``c``: what the reference program does, defects included."""
    phi_carryover: Mode | None = None
    """Whether a φ of exactly 0 keeps the previous step's cell (``c``) or not; None: as ``mode``."""

    @staticmethod
    def from_args(args: Sequence[str]) -> Experiment:
        """The experiment that nanoBragg's command line describes.

        Parameters
        ----------
        args : sequence of str
            Options and values as one would type them, without the program's name.

        Returns
        -------
        Experiment
            With the fields that the options set, its files not read yet.

        Raises
        ------
        UsageError
            An option that is not known or a value that does not parse.
        InputFileError
            The file of ``-experiment`` cannot be read, or holds no experiment.

        Warns
        -----
        NbnumbaWarning
            An option or value that nanoBragg itself would ignore, and as what it is read here.

        Examples
        --------
        >>> from nbnumba import Experiment
        >>> Experiment.from_args(["-cell", "70", "80", "90", "-lambda", "1.5", "-N", "5"]).crystal.cells
        (5, 5, 5)
        """
        from .nanobragg.options import parse

        command = parse(args)
        for note in command.notes:
            warnings.warn(note, NbnumbaWarning, stacklevel=2)
        return command.experiment

    def to_args(self) -> list[str]:
        """nanoBragg's command line for the experiment: the inverse of :meth:`from_args`.

        A pivot that was not given and that options decide in the same way may be given afterwards.

        Returns
        -------
        list of str
            Options and values of what differs from the defaults, without the program's name.

        Raises
        ------
        UsageError
            A field that no option sets so.

        Examples
        --------
        >>> from nbnumba import Crystal, Detector, Experiment
        >>> Experiment(crystal=Crystal(cells=(5, 5, 6)), mode="c", detector=Detector(pivot="beam")).to_args()
        ['-mode', 'c', '-Na', '5', '-Nb', '5', '-Nc', '6', '-pivot', 'beam']
        """
        from .nanobragg.options import as_args

        return as_args(self)

    def to_dict(self) -> dict[str, Any]:
        """Nested plain values.

        Returns
        -------
        dict
            Fields by name, without those that were not given; nouns are dicts, too.

        Raises
        ------
        UsageError
            A mask in memory.
        """
        if self.detector.mask or any(panel.mask for panel in self.detector.panels or ()):
            raise UsageError(
                "detector.mask: a mask in memory has no text: save it as an SMV image, and name that by mask_file"
            )
        return _without_none(asdict(self))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Experiment:
        """The inverse of :meth:`to_dict`.

        Parameters
        ----------
        values : mapping
            Nested plain values. What JSON or TOML cannot say may be a text: infinity ``inf``, None in a list ``none``.

        Returns
        -------
        Experiment
            What is not in ``values`` is as in ``Experiment()``.

        Raises
        ------
        UsageError
            A field that there is not, or a value that is not of a field's type.
        """
        if not isinstance(values, Mapping):
            raise UsageError(f"an experiment is a mapping of its nouns, not {_shown(values)}")
        return _changed(cls(), values)

    def to_toml(self) -> str:
        """A TOML document.

        Returns
        -------
        str
            One table for each noun.

        Raises
        ------
        UsageError
            A mask in memory.
        """
        values = self.to_dict()
        text = _toml_lines({name: value for name, value in values.items() if not isinstance(value, dict)})
        for name, table in values.items():
            if isinstance(table, dict) and table:
                lists = {key: value for key, value in table.items() if _is_nouns(value)}
                text += f"\n[{name}]\n" + _toml_lines({key: table[key] for key in table if key not in lists})
                for key, rows in lists.items():
                    text += "".join(f"\n[[{name}.{key}]]\n" + _toml_lines(row) for row in rows)
        return text

    @classmethod
    def from_toml(cls, text: str) -> Experiment:
        """The inverse of :meth:`to_toml`.

        Parameters
        ----------
        text : str
            A TOML document.

        Returns
        -------
        Experiment
            What is not in the text is as in ``Experiment()``.

        Raises
        ------
        UsageError
            The text is not TOML, or as in :meth:`from_dict`.
        """
        try:
            values = tomllib.loads(text)
        except (ValueError, TypeError, RecursionError) as error:
            raise UsageError(f"the experiment is not TOML: {error}") from error
        return cls.from_dict(values)


def changed(experiment: Experiment, **changes: Any) -> Experiment:
    """A copy with some fields replaced.

    Parameters
    ----------
    experiment : Experiment
        Stays as it is.
    **changes
        For a noun, a mapping of the fields to be replaced, or a whole noun; for any other field, its value.

    Returns
    -------
    Experiment
        The copy, its values checked by type alone, as in every noun.

    Raises
    ------
    UsageError
        A field that there is not, or a value that is not of a field's type.

    Examples
    --------
    >>> from nbnumba import Experiment, changed
    >>> polarized = changed(Experiment(), beam={"kahn_factor": 0.9}, mode="c")
    >>> polarized.beam.kahn_factor, polarized.mode
    (0.9, 'c')
    """
    if not isinstance(experiment, Experiment):
        raise UsageError(f"changed: {_shown(experiment)} is not an Experiment")
    return _changed(experiment, changes)


def _changed(noun: Any, changes: Mapping[str, Any]) -> Any:
    kind: Any = type(noun)
    given: dict[str, Any] = {}
    for name, value in changes.items():
        if name not in _types(kind):
            raise _unknown(kind, name)
        old = getattr(noun, name)
        given[name] = _changed(old, value) if isinstance(old, _Noun) and isinstance(value, Mapping) else value
    return replace(noun, **given)


def with_right_values(noun: Noun, **values: Any) -> Noun:
    """As ``dataclasses.replace``, for values that are of their fields' types already: none is looked at."""
    copy = object.__new__(type(noun))
    vars(copy).update(vars(noun), **values)
    return copy


def _unknown(noun: Any, name: Any) -> UsageError:
    """What to say of a field that there is not: the nearest ones of the noun, else of others, else all of the noun."""
    name = name if isinstance(name, str) and name.isidentifier() else repr(name)
    groups: list[Any] = [kinds[0] for kinds in _types(Experiment).values() if is_dataclass(kinds[0])]
    near = [_path(noun, field) for field in get_close_matches(name, _types(noun))] or [
        _path(group, field) for group in groups for field in get_close_matches(name, _types(group), cutoff=0.8)
    ]
    advice = f"did you mean {' or '.join(near[:3])}?" if near else f"known are: {', '.join(_types(noun))}"
    return UsageError(f"{_path(noun, name)} is not a field of {noun.__name__}; {advice}")


@cache
def _types(noun: type) -> dict[str, tuple[Any, ...]]:
    """The types that each of a noun's fields may have."""
    return {name: _alternatives(hint) for name, hint in get_type_hints(noun).items()}


@cache
def _kept(noun: type) -> dict[str, frozenset[Any]]:
    """The types of which each of a noun's fields keeps a value as it is, and the words that it keeps."""
    return {
        name: frozenset(word for kind in kinds for word in (get_args(kind) if get_origin(kind) is Literal else (kind,)))
        for name, kinds in _types(noun).items()
    }


@cache
def _alternatives(hint: Any) -> tuple[Any, ...]:
    if get_origin(hint) is Taking:
        return _alternatives(get_args(hint)[0])
    return get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)


def _path(noun: type, name: str) -> str:
    """A field's name from the experiment down."""
    if noun is Panel:
        return f"detector.panels.{name}"
    return ".".join([*(field for field, kinds in _types(Experiment).items() if noun in kinds), name])


def _typed(noun: type, name: str, value: Any) -> Any:
    """A field's value in one of its types, or a UsageError that names the field."""
    kinds = _types(noun)[name]
    try:
        return _converted(kinds, value)
    except TypeError:
        raise UsageError(f"{_path(noun, name)}: {_shown(value)} is not {kinds_in_words(noun, name)}") from None


def kinds_in_words(noun: type, name: str) -> str:
    """What a noun's field takes, as its errors and the documentation say it."""
    return " or ".join(_words(kind) for kind in _types(noun)[name] if kind is not NoneType)


def _mask(value: Any) -> Any:
    """A mask of an array of truths or whole numbers; whatever else it is, the value."""
    kind, shape = getattr(getattr(value, "dtype", None), "kind", None), tuple(getattr(value, "shape", ()))
    if kind in ("b", "i", "u") and len(shape) == 2 and all(shape):
        return Mask(int(shape[0]), int(shape[1]), (value != 0).tobytes())
    return value


def _shown(value: Any) -> str:
    """A value on one line that is not too long."""
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple) and math.prod(shape) > 9:
        return f"an array {shape} of {getattr(value, 'dtype', 'values')}"
    text = " ".join(repr(_plain(value)).split())
    return text if len(text) <= 80 else text[:77] + "..."


def _plain(value: Any) -> Any:
    """Lists and numbers for NumPy's arrays and scalars."""
    with suppress(TypeError):
        return value.tolist() if hasattr(value, "tolist") else value
    return value


def _converted(kinds: tuple[Any, ...], value: Any) -> Any:
    """The value in the first of the types that takes it; TypeError where none does."""
    if type(value) in kinds:
        return value
    plain = _plain(value)
    # TOML has no null.
    if NoneType in kinds and (plain is None or (plain == "none" and str not in kinds)):
        return None
    for kind in kinds:
        with suppress(TypeError, OverflowError):
            return _as(kind, plain)
    raise TypeError


def _as(kind: Any, value: Any) -> Any:
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    parts = get_args(kind)
    if kind is float and (is_number or value == "inf"):
        return float(value)
    if kind is int and is_number and isinstance(value, Integral):
        return int(value)
    if kind is str and isinstance(value, (str, PathLike)):
        return fspath(value)
    if get_origin(kind) is tuple and isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        parts = parts[:1] * len(value) if parts[-1] is Ellipsis else parts
        if len(value) == len(parts):
            return tuple(_converted(_alternatives(part), item) for part, item in zip(parts, value, strict=True))
    if get_origin(kind) is Literal and value in parts:
        return value
    if kind not in (float, int, str) and isinstance(kind, type) and isinstance(value, kind):
        return value
    if kind is Panel and isinstance(value, Mapping):
        return _changed(Panel(), value)
    raise TypeError


def _words(kind: Any) -> str:
    parts = get_args(kind)
    if get_origin(kind) is Literal:
        return " or ".join((", ".join(parts[:-1]), parts[-1]) if parts[1:] else parts)
    if get_origin(kind) is tuple and parts[0] is Panel:
        return "a list of Panels"
    if get_origin(kind) is tuple and get_origin(parts[0]) is tuple:
        return f"{'rows of' if parts[-1] is Ellipsis else f'{len(parts)} x'} {_words(parts[0])}"
    if get_origin(kind) is tuple:
        return f"{len(parts)} {'whole ' if parts[0] is int else ''}numbers"
    if kind is Mask:
        return "an array (slow, fast) of truths or whole numbers"
    return {float: "a number", int: "a whole number", bool: "true or false", str: "text"}.get(
        kind, f"a {kind.__name__}"
    )


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    if _is_nouns(value):
        return tuple(_without_none(item) for item in value)
    return value


def _is_nouns(value: Any) -> bool:
    """Whether a plain value is a list of nouns, which TOML has arrays of tables for."""
    return isinstance(value, tuple) and bool(value) and isinstance(value[0], dict)


def _toml_lines(table: Mapping[str, Any]) -> str:
    return "".join(f"{key} = {_toml(value)}\n" for key, value in table.items())


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        escaped = "".join(f"\\u{ord(c):04x}" if ord(c) < 32 or c in '\x7f"\\' else c for c in value)
        return f'"{escaped}"'
    if isinstance(value, (tuple, list)):
        return "[" + ", ".join(_toml("none" if item is None else item) for item in value) + "]"
    return repr(value)
