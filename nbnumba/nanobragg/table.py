"""The table of options: nanoBragg's and ours, their aliases, what they set, and their defaults.

What the parser, the help, the man page and the documentation know of an option is its row here and the field that it
sets. Rows are applied in the order of the line, so that of two options for one thing the later one counts.
"""

from __future__ import annotations

from typing import Any

from ..experiment import Convention
from ..units import angstrom_from_ev
from . import lattices, materials
from .kinds import COUNT_OR_ZERO, DEVICE, ELEMENT, FILE, MATERIAL, MODE, NAME
from .option import Option, option

CRYSTAL, FACTORS, BEAM, DETECTOR = "crystal", "structure factors", "beam", "detector"
CONVENTIONS, ROTATION, SAMPLING = "conventions and pivot", "rotation", "sampling"
BACKGROUND, READOUT, OUTPUT, PROGRAM = "background", "read-out", "noise and output", "program"

BY_READOUT = "by -detector and -readout"
CUSTOM = {"detector.convention": "custom"}
MISREAD = {"option_misread": True}
"""nanoBragg reads it as another option, which its name contains."""
BEAM_CENTER = {"implied_pivot": "beam", "near_point": False}
NEAR_POINT = {"implied_pivot": "sample", "near_point": True}


def _frame(convention: Convention) -> dict[str, Any]:
    """What a convention's option sets. Where vectors make it custom after all, a pivot stays: not always its own."""
    pivot = "sample" if convention == "xds" else "beam"
    return {"detector.convention": convention, "implied_pivot": pivot, "near_point": False}


def _none_for_zero(value: Any) -> Any:
    return value or None


def _whole_cell(given: tuple[float, ...]) -> tuple[float, ...]:
    """Missing b and c are a, missing angles 90."""
    a = given[0]
    return given + (a, a, a, 90.0, 90.0, 90.0)[len(given) :]


def _both_widths(given: tuple[float, ...]) -> tuple[float, ...]:
    """A band is as wide above its peak as below it, where nothing else is said."""
    return (given + given[-1:])[:3]


def _whole_size(given: tuple[float, ...]) -> tuple[float, ...]:
    """Missing edges are as the first."""
    return given + given[:1] * (3 - len(given))


def _mm_from_m(metres: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(1000.0 * x for x in metres)


# fmt: off
OPTIONS: tuple[Option, ...] = (
    option("cell", CRYSTAL, "unit cell; missing b and c are a, missing angles are 90", "crystal.cell",
           "a b c alpha beta gamma", default="by -mat or -pdb", convert=_whole_cell, fewest=1),
    option("mat matrix", CRYSTAL, "MOSFLM A matrix; beside -cell it gives directions alone", "crystal.matrix_file"),
    option("misset", CRYSTAL, "turn the crystal about the lab's x, then y, then z", "crystal.misset_deg",
           instead="random"),
    option("misset_seed", CRYSTAL, "seed of -misset random", "crystal.misset_seed", "n", default="that of -seed",
           sets=MISREAD),
    option("N", CRYSTAL, "unit cells along a, b and c", "cells.0 cells.1 cells.2", "n", default="1"),
    option("Na", CRYSTAL, "unit cells along a", "cells.0", "n", default="1"),
    option("Nb", CRYSTAL, "unit cells along b", "cells.1", "n", default="1"),
    option("Nc", CRYSTAL, "unit cells along c", "cells.2", "n", default="1"),
    option("samplesize sample_size xtalsize xtal_size", CRYSTAL, "edge of the crystal, in place of -N",
           "edges.0 edges.1 edges.2", "size", default="none"),
    option("sample_x sample_thick xtal_x xtal_thick", CRYSTAL, "edge along a, in place of -Na", "edges.0", "size",
           default="none"),
    option("sample_y sample_width xtal_y xtal_width width", CRYSTAL, "edge along b, in place of -Nb", "edges.1",
           "size", default="none"),
    option("sample_z sample_height xtal_z xtal_height height", CRYSTAL, "edge along c, in place of -Nc", "edges.2",
           "size", default="none"),
    option("square_xtal", CRYSTAL, "a parallelepiped: spots with fringes", sets={"crystal.shape": "square"}),
    option("round_xtal", CRYSTAL, "a sphere: spots with weaker fringes", sets={"crystal.shape": "round"}),
    option("gauss_xtal", CRYSTAL, "Gaussian spots, without fringes", sets={"crystal.shape": "gauss"}),
    option("tophat_spots binary_spots", CRYSTAL, "spots with a sharp edge", sets={"crystal.shape": "tophat"}),
    option("gauss_width", CRYSTAL,
           "width of Gaussian and top-hat spots: nanoBragg's, by Na·Nb·Nc, or the square crystal's, by each of them",
           "crystal.gauss_width"),
    option("fudge", CRYSTAL, "scale of the shape in reciprocal space (not of -square_xtal)", "crystal.fudge", "x"),
    option("mosaic mosaici mosaic_spread", CRYSTAL, "mosaic spread", "crystal.mosaic_spread_deg", "spread",
           default="0"),
    option("mosaic_domains mosaic_dom", CRYSTAL, "number of mosaic domains", "crystal.mosaic_domains", "n",
           default="10 with -mosaic, else 1"),
    option("mosaic_seed", CRYSTAL, "seed of the mosaic domains", "crystal.mosaic_seed", "n"),
    option("spot_scale", CRYSTAL,
           "photons of the spots times x: how many blocks of -N cells scatter; 0: none, background alone",
           "crystal.spot_scale", "x", default="by -crystal_mm, else 1"),
    option("crystal_mm", CRYSTAL,
           "edges of the whole crystal along the beam and across it, in place of -spot_scale; missing ones are x",
           "crystal.whole_size_mm", "x y z", default="a block alone", convert=_whole_size, fewest=1),
    option("lattice", CRYSTAL,
           "a further lattice, added to the crystal's own of weight 1; what is not said is as the crystal's; words in "
           "any order",
           "crystal.lattices", lattices.SHOWN, kind=NAME, default="none", convert=lattices.lattice_of,
           words=lattices.words_of, fewest=1, repeats=True),

    option("hkl", FACTORS,
           "structure factors: lines of h k l F, all of P 1; or MTZ, CIF, SHELX, XDS, CrystFEL, with their symmetry",
           "structure_factors.hkl_file", sets={"structure_factors.hkl_format": "any"}),
    option("mtz", FACTORS, "the same from an MTZ file, and the cell where neither -cell nor -mat gives it",
           "structure_factors.hkl_file", sets={"structure_factors.hkl_format": "mtz"}),
    option("cif_sf", FACTORS, "the same from an mmCIF file of structure factors", "structure_factors.hkl_file",
           sets={"structure_factors.hkl_format": "cif"}),
    option("labels", FACTORS, "columns of -mtz or -cif_sf: of F, or of F(+) and F(-)", "structure_factors.labels",
           "F F(-)", kind=NAME, fewest=1, default="calculated F before measured ones"),
    option("space_group", FACTORS, "symmetry of the reflections, in place of the file's",
           "structure_factors.space_group", "name", kind=NAME, default="the file's"),
    option("scale_F", FACTORS, "scale of the F of files and coordinates", "structure_factors.scale_f", "x"),
    option("B_add", FACTORS, "B factor that these are given besides", "structure_factors.b_add", "B"),
    option("default_F", FACTORS, "F of every reflection without a value", "structure_factors.default_f", "F"),
    option("dump", FACTORS, "binary cache of the -hkl table: written after -hkl, read without it",
           "structure_factors.dump_file", default="Fdump.bin"),
    option("pdb model", FACTORS,
           "PDB or mmCIF coordinates to calculate F from, and the cell where neither -cell nor -mat gives it",
           "structure_factors.coordinate_file"),
    option("k_sol", FACTORS, "bulk solvent density of -pdb", "structure_factors.k_sol", "k"),
    option("B_sol", FACTORS, "bulk solvent B factor of -pdb", "structure_factors.b_sol", "B"),
    option("nosolvent", FACTORS, "no bulk solvent in -pdb", sets={"structure_factors.solvent": False}),
    option("anomalous", FACTORS,
           "element of -pdb that scatters anomalously, at each wavelength of the beam: by tables, or by a file of rows "
           "of E in eV, f' and f''",
           "structure_factors.anomalous", "element[=file]", kind=ELEMENT, repeats=True,
           default="those heavier than Ca, S and P above 1.5 Å, at the mean wavelength"),
    option("noanomalous", FACTORS, "no element of -pdb scatters anomalously", sets={"structure_factors.anomalous": ()}),
    option("interpolate", FACTORS, "interpolate F between reflections",
           default="on where a crystal edge is 2 cells or fewer", sets={"structure_factors.interpolate": True}),
    option("nointerpolate", FACTORS, "take F of the nearest reflection",
           default="on where every crystal edge is 3 cells or more", sets={"structure_factors.interpolate": False}),

    option("lambda wave wavelength", BEAM, "wavelength; beside a spectrum that of headers and of -mat alone",
           "beam.wavelength_angstrom", "wavelength", default="1, or the spectrum's mean"),
    option("energy", BEAM, "photon energy, in place of -lambda", "beam.wavelength_angstrom", "energy", unit="eV",
           default="by -lambda", convert=angstrom_from_ev),
    option("dispersion", BEAM, "width of the spectrum", "beam.dispersion_percent", "width"),
    option("dispsteps", BEAM, "number of wavelengths across the spectrum", "beam.dispersion_steps", "n",
           kind=COUNT_OR_ZERO, default="2 with -dispersion, else 1", convert=_none_for_zero),
    option("divergence", BEAM, "range of directions, horizontally and vertically",
           "beam.horizontal_divergence_mrad beam.vertical_divergence_mrad", "range", default="0"),
    option("hdivrange", BEAM, "range of directions, horizontally", "beam.horizontal_divergence_mrad", "range",
           default="0"),
    option("vdivrange", BEAM, "range of directions, vertically", "beam.vertical_divergence_mrad", "range", default="0"),
    option("hdivstep", BEAM, "step of -hdivrange", "beam.horizontal_divergence_step_mrad", "step",
           default="by range and count"),
    option("vdivstep", BEAM, "step of -vdivrange", "beam.vertical_divergence_step_mrad", "step",
           default="by range and count"),
    option("divsteps", BEAM, "number of directions, horizontally and vertically",
           "beam.horizontal_divergence_steps beam.vertical_divergence_steps", "n", kind=COUNT_OR_ZERO,
           default="by range and step", convert=_none_for_zero),
    option("hdivsteps", BEAM, "number of directions, horizontally", "beam.horizontal_divergence_steps", "n",
           kind=COUNT_OR_ZERO, default="by range and step", convert=_none_for_zero),
    option("vdivsteps", BEAM, "number of directions, vertically", "beam.vertical_divergence_steps", "n",
           kind=COUNT_OR_ZERO, default="by range and step", convert=_none_for_zero),
    option("round_div", BEAM, "drop the corners of the divergence grid", sets={"beam.round_divergence": True}),
    option("square_div", BEAM, "keep the corners", sets={"beam.round_divergence": False}),
    option("sourcefile", BEAM, "sources as rows of x y z weight wavelength (m), in place of all these",
           "beam.source_file"),
    option("hdiv_sigma", BEAM, "directions of -hdivrange count by a Gaussian of this standard deviation",
           "beam.horizontal_divergence_sigma_mrad", "sigma", default="none: all alike"),
    option("vdiv_sigma", BEAM, "directions of -vdivrange count by a Gaussian of this standard deviation",
           "beam.vertical_divergence_sigma_mrad", "sigma", default="none: all alike"),
    option("spectrum", BEAM,
           "spectrum as two columns, energy in eV or wavelength in Å and photons; .npz with energy_ev or "
           "wavelength_angstrom (m,) and weight (n, m) for n spectra", "beam.spectrum_file"),
    option("spectrum_number", BEAM, "which spectrum of -spectrum, from 0", "beam.spectrum_number", "n"),
    option("spectrum_bins", BEAM, "wavelengths that stand for the spectrum, alike in photons, mean energy exact",
           "beam.spectrum_bins", "n", default="every row of -spectrum, else 100"),
    option("pink", BEAM, "a Gaussian band of full width fwhm at half maximum, above its peak another one where given",
           "beam.pink_ev", "E fwhm fwhm_above", fewest=2, convert=_both_widths),
    option("two_colour", BEAM, "two wavelengths and the photons of each", "beam.two_colour", "E1 w1 E2 w2"),
    option("sase", BEAM, "a pulse of a free-electron laser, by -seed: width of the mean of many, and of a spike",
           "beam.sase_ev", "E fwhm spike"),
    option("polar", BEAM, "Kahn factor: 0 unpolarized, 1 fully polarized along -polar_vector", "beam.kahn_factor",
           "K", sets={"beam.polarization_correction": True}),
    option("nopolar", BEAM, "no polarization factor", sets={"beam.polarization_correction": False}),
    option("fluence", BEAM, "photons per area; by default the electron radius² times it is 1", "beam.fluence_per_m2",
           "fluence"),
    option("flux", BEAM, "photons per second; flux · exposure / beamsize² is the fluence where all are above 0",
           "beam.flux_per_s", "flux"),
    option("exposure", BEAM, "exposure time", "beam.exposure_s", "time"),
    option("beamsize", BEAM, "edge of the square beam, or width at half maximum of a Gaussian one", "beam.size_mm",
           "size"),
    option("beam_profile", BEAM, "photons across the beam: even or Gaussian, for -crystal_mm", "beam.profile"),

    option("img geom expt", DETECTOR,
           "what no option gives, from the header of an SMV image or mini-CBF, an NXmx file, a geometry of CrystFEL "
           "(.geom), an experiment of DIALS (.expt) or XPARM.XDS", "detector.header_file"),
    option("mask", DETECTOR, "SMV image: pixels of value 0 are not rendered; its header counts like that of -img",
           "detector.mask_file"),
    option("detector", DETECTOR,
           "one that `nbnumba detectors` lists: its gaps; its pixels, their edge and its sensor where nothing else "
           "gives them",
           "detector.preset", "name", kind=NAME),
    option("pixel", DETECTOR, "edge of a pixel", "detector.pixel_mm", "size", default="0.1"),
    option("detpixels", DETECTOR, "number of pixels along fast and slow",
           "detector.fast_pixels detector.slow_pixels", "n", default="by -detsize"),
    option("detpixels_f detpixels_x", DETECTOR, "number of pixels along fast", "detector.fast_pixels", "n",
           default="by -detsize_f"),
    option("detpixels_s detpixels_y", DETECTOR, "number of pixels along slow", "detector.slow_pixels", "n",
           default="by -detsize_s"),
    option("detsize", DETECTOR, "edge of the detector, where no pixel count is given",
           "detector.fast_size_mm detector.slow_size_mm", "size", default="102.4"),
    option("detsize_f", DETECTOR, "edge along fast", "detector.fast_size_mm", "size", default="102.4"),
    option("detsize_s", DETECTOR, "edge along slow", "detector.slow_size_mm", "size", default="102.4"),
    option("distance", DETECTOR, "sample to beam spot, along the beam", "detector.distance_mm", "distance",
           default="100", sets={"implied_pivot": "beam"}),
    option("close_distance", DETECTOR, "sample to the nearest point of the detector plane",
           "detector.close_distance_mm", "distance", default="by -distance", sets={"implied_pivot": "sample"}),
    option("Xbeam", DETECTOR, "beam centre, in the axes of the convention", "detector.beam_x_mm", "x",
           default="detector centre", sets=BEAM_CENTER),
    option("Ybeam", DETECTOR, "beam centre", "detector.beam_y_mm", "y", default="detector centre", sets=BEAM_CENTER),
    option("Xclose", DETECTOR, "nearest point, along fast", "detector.close_x_mm", "x", default="detector centre",
           sets=NEAR_POINT),
    option("Yclose", DETECTOR, "nearest point, along slow", "detector.close_y_mm", "y", default="detector centre",
           sets=NEAR_POINT),
    option("ORGX", DETECTOR, "nearest point as in XDS: the centre of the first pixel is 1, 1", "detector.orgx_px",
           "x", default="by -Xclose", sets=NEAR_POINT),
    option("ORGY", DETECTOR, "nearest point as in XDS", "detector.orgy_px", "y", default="by -Yclose", sets=NEAR_POINT),
    option("detector_rotx", DETECTOR, "turn the detector about the lab's x", "detector.rotx_deg", "angle"),
    option("detector_roty", DETECTOR, "then about the lab's y", "detector.roty_deg", "angle"),
    option("detector_rotz", DETECTOR, "then about the lab's z", "detector.rotz_deg", "angle"),
    option("twotheta", DETECTOR, "then about the two-theta axis", "detector.twotheta_deg", "angle", default="0",
           sets={"implied_pivot": "sample"}),
    option("curved_det", DETECTOR, "every pixel at the same distance from the sample", sets={"detector.curved": True}),
    option("point_pixel", DETECTOR, "solid angle 1/R², whatever size and tilt of a pixel",
           sets={"detector.point_pixel": True}),
    option("beamstop", DETECTOR, "radius of a disc about the beam centre that stops all photons",
           "detector.beamstop_mm", "radius"),
    option("beamstop_arm", DETECTOR,
           "its arm: width, and direction as an angle from the fast axis towards the slow one (90: down, where the "
           "first row is at the top)", "detector.beamstop_arm", "width angle"),
    option("roi", DETECTOR, "pixels to render: first and last along fast, then slow, from 0, inclusive",
           "detector.roi", "xmin xmax ymin ymax", default="all"),
    option("detector_abs detector_absorb detector_absorption", DETECTOR,
           "1/e depth of the sensor; inf or 0: no absorption", "detector.attenuation_depth_um", "depth",
           default="by -detector_material and the wavelength, else -detector_thick"),
    option("detector_material", DETECTOR, "material of the sensor, which with the wavelength gives -detector_abs",
           "detector.sensor_material", default="by -detector"),
    option("detector_thick", DETECTOR, "thickness of the sensor", "detector.thickness_um", "thickness",
           default="by -detector, else 0"),
    option("detector_thicksteps thicksteps", DETECTOR, "number of layers of the sensor", "detector.layers", "n",
           default="2 with -detector_thick, else 1"),

    option("mosflm", CONVENTIONS, "beam along x; beam centre as in MOSFLM", sets=_frame("mosflm")),
    option("xds", CONVENTIONS, "beam along z; beam centre as in XDS", sets=_frame("xds")),
    option("adxv", CONVENTIONS, "beam along z; beam centre as in ADXV", sets=_frame("adxv")),
    option("denzo", CONVENTIONS, "beam along x; beam centre as in DENZO", sets=_frame("denzo")),
    option("dials", CONVENTIONS, "beam along z; beam centre as in DIALS", sets=_frame("dials")),
    option("pivot", CONVENTIONS, "what stays when the detector turns: beam spot, or point nearest to the sample",
           "pivot implied_pivot", default="by convention"),
    option("fdet_vector", CONVENTIONS, "fast axis; this and those below make the convention custom",
           "detector.fast_axis", default="by convention", sets=CUSTOM),
    option("sdet_vector", CONVENTIONS, "slow axis", "detector.slow_axis", default="by convention", sets=CUSTOM),
    option("odet_vector", CONVENTIONS, "detector normal", "detector.normal_axis", default="by convention", sets=CUSTOM),
    option("beam_vector", CONVENTIONS, "direction in which the beam travels", "beam.direction",
           default="by convention", sets=CUSTOM),
    option("polar_vector", CONVENTIONS, "polarization (E-vector)", "beam.polarization_axis", default="by convention",
           sets=CUSTOM),
    option("spindle_axis", CONVENTIONS, "axis about which the crystal turns", "goniometer.spindle_axis",
           default="by convention", sets=CUSTOM),
    option("twotheta_axis", CONVENTIONS, "axis of -twotheta", "detector.twotheta_axis", default="by convention",
           sets=CUSTOM | MISREAD),
    option("pix0_vector", CONVENTIONS, "outer corner of the first pixel, before rotations", "detector.origin_mm",
           unit="m", default="by beam centre", convert=_mm_from_m, sets=CUSTOM),
    option("pix0_vector_mm", CONVENTIONS, "the same in mm", "detector.origin_mm", default="by beam centre",
           sets=CUSTOM),

    option("phi", ROTATION, "spindle angle at the start", "scan.phi_deg", "angle", default="0"),
    option("osc", ROTATION, "oscillation range", "scan.oscillation_deg", "range", default="0"),
    option("phistep", ROTATION, "step of -osc", "scan.step_deg", "step", default="by -osc and -phisteps"),
    option("phisteps", ROTATION, "number of steps of -osc; 0 counts as 1", "scan.steps", "n", kind=COUNT_OR_ZERO,
           default="by -osc and -phistep", convert=lambda n: max(1, n)),
    option("phi_sampling", ROTATION, "where in each step the crystal is: nanoBragg has it at the start",
           "scan.phi_sampling"),
    option("phi_carryover", ROTATION, "a spindle angle of exactly 0: turned like any (spec), or left as it was (c)",
           "experiment.phi_carryover", kind=MODE, default="by -mode"),

    option("oversample", SAMPLING, "sub-pixels along each edge of a pixel; 0: as many as the crystal asks for",
           "sampling.oversample", "n"),
    option("oversample_thick", SAMPLING, "absorption for each sub-pixel", sets={"sampling.oversample_thick": True}),
    option("oversample_polar", SAMPLING, "polarization for each sub-pixel and source",
           sets={"sampling.oversample_polar": True}),
    option("oversample_omega", SAMPLING, "solid angle for each sub-pixel", sets={"sampling.oversample_omega": True}),
    option("dmin", SAMPLING, "skip samples of higher resolution", "sampling.dmin_angstrom", "d"),
    option("tolerance", SAMPLING, "leave out samples that change no pixel by more", "sampling.tolerance_photons",
           "photons"),

    option("water", BACKGROUND, "edge of a cube of water in the beam", "background.water_um", "size"),
    option("stol", BACKGROUND, "F of another material than water, in electrons, against sin(theta)/lambda in 1/Å",
           "background.amorphous_file", sets={"background.amorphous_axis": "stol"}),
    option("4stol", BACKGROUND, "the same against 4 sin(theta)/lambda", "background.amorphous_file",
           sets={"background.amorphous_axis": "4stol"}),
    option("Q", BACKGROUND, "the same against 4 pi sin(theta)/lambda", "background.amorphous_file",
           sets={"background.amorphous_axis": "Q"}),
    option("background", BACKGROUND,
           "a material that the beam goes through: water, air, ice, nano-ice, or a file of F in electrons against "
           "sin(theta)/lambda in 1/Å (4stol=file, Q=file: 4 and 4 pi times that); path in mm, density in g/cm³ and "
           "molar mass in g/mol, which a file needs",
           "background.materials", materials.SHOWN, kind=MATERIAL, default="none", convert=materials.material_of,
           words=materials.words_of, fewest=2, repeats=True),
    option("background_image", BACKGROUND,
           "photons that are added to each pixel: an image of the same size in any format, or float32 without a header",
           "background.image_file"),
    option("background_profile", BACKGROUND,
           "photons per pixel, which are added, against sin(theta)/lambda in 1/Å, as `nbnumba profile` writes them",
           "background.profile_file", sets={"background.profile_axis": "stol"}),
    option("background_profile_px", BACKGROUND, "the same against pixels from the beam centre",
           "background.profile_file", sets={"background.profile_axis": "px"}),

    option("readout", READOUT, "what the detector makes of photons in -noisefile and -o", "readout.kind",
           default="ideal, or by -detector"),
    option("gain", READOUT, "counts for each photon", "readout.gain", "x", default="1; by -detector"),
    option("readnoise", READOUT, "rms of what the read-out adds", "readout.read_noise", "x", default=BY_READOUT),
    option("flicker", READOUT, "rms change of intensity from image to image, as a fraction", "readout.flicker", "x",
           default=BY_READOUT),
    option("pixel_flicker", READOUT, "the same of each pixel by itself", "readout.pixel_flicker", "x",
           default=BY_READOUT),
    option("calib", READOUT, "rms error of the pixels' sensitivities, alike in every image, as a fraction",
           "readout.calibration", "x", default=BY_READOUT),
    option("calib_seed", READOUT, "seed of its pattern", "readout.calibration_seed", "n", default="123456789"),
    option("psf", READOUT, "how light or photons spread over pixels", "readout.psf", default=BY_READOUT),
    option("psf_fwhm", READOUT, "full width at half maximum of -psf", "readout.psf_fwhm_um", "w", default="by -psf"),
    option("swank", READOUT, "Swank's factor, from 0 to 1: how alike the light of single photons is", "readout.swank",
           "A", default=BY_READOUT),
    option("deadtime", READOUT, "for which a pixel that has counted counts nothing", "readout.deadtime_ns", "tau",
           default=BY_READOUT),
    option("paralyzable", READOUT, "photons that are not counted keep it dead", sets={"readout.paralyzable": True}),
    option("nonparalyzable", READOUT, "they do not", sets={"readout.paralyzable": False}, default="on"),
    option("rate_correction", READOUT, "counts are corrected for -deadtime", sets={"readout.rate_correction": True},
           default="on"),
    option("norate_correction", READOUT, "they are not", sets={"readout.rate_correction": False}),
    option("count_cutoff", READOUT, "counts of a pixel are cut above it", "readout.cutoff_per_s", "rate",
           default=BY_READOUT),
    option("bits", READOUT, "of the counter or the converter", "readout.bits", "n", default=BY_READOUT),
    option("words", READOUT, "what -readout switching writes: photons, or words as they are read", "readout.words",
           default="photons"),
    option("badpix", READOUT, "fraction of pixels that are dead, hot or noisy", "readout.bad_fraction", "x",
           default=BY_READOUT),
    option("badpix_seed", READOUT, "seed of which these are", "readout.bad_seed", "n", default="12345"),
    option("badpix_file", READOUT, "a list of them: fast, slow, and dead, hot or noisy", "readout.bad_pixel_file"),

    option("o", OUTPUT,
           "what the detector reads, or with -nonoise what is expected of it, in the format of the suffix: .nxs .cbf "
           ".img .tif .npy .expt .csv ...; of the files that nanoBragg writes unasked those alone that are named",
           "outputs.files", kind=FILE, default="none", repeats=True),
    option("images", OUTPUT,
           "how many images of a rotation, each beginning where the one before ends; files are numbered, "
           "image_#####.cbf, or hold all", "run.images", "n"),
    option("floatfile floatimage", OUTPUT, "photons as float32, without a header", "outputs.float_file"),
    option("intfile intimage", OUTPUT, "scaled integers, SMV", "outputs.int_file"),
    option("scale", OUTPUT,
           "counts per photon in -intfile; 0: the brightest pixel beside the direct beam gets 55000",
           "outputs.scale", "x", default="0", convert=_none_for_zero),
    option("adc adcoffset", OUTPUT, "count of no photons in -intfile and -noisefile", "readout.adc_offset", "x",
           default="40; by -readout"),
    option("noisefile noiseimage", OUTPUT, "counts with photon noise, SMV", "outputs.noise_file"),
    option("nonoise", OUTPUT, "no -noisefile, wherever that stands, and no noise in files of -o",
           sets={"no_noise": True}),
    option("seed", OUTPUT, "seed of the noise", "noise.seed", "n", default="drawn, and reported"),
    option("frame", OUTPUT, "number of the image among those of one seed, each of which has noise of its own",
           "noise.frame", "n"),
    option("rng", OUTPUT, "who draws photon counts: each pixel's by its place (philox), or one pixel after another as "
           "nanoBragg does (ran1)", "noise.rng", default="philox; ran1 in mode c"),
    option("pgmfile pgmimage", OUTPUT, "gray levels, PGM", "outputs.pgm_file"),
    option("pgmscale", OUTPUT, "gray levels per photon; 0: by the spread of the image", "outputs.pgm_scale", "x",
           default="0", convert=_none_for_zero),
    option("nopgm", OUTPUT, "no -pgmfile, wherever that stands", sets={"no_pgm": True}),
    option("header", OUTPUT, "SMV headers as nanoBragg's, or such that DIALS reads the exact geometry",
           "outputs.header"),
    option("png", OUTPUT, "a picture with beam centre and resolution rings", "outputs.png_file"),
    option("report", OUTPUT, "the run as JSON: resolved experiment, statistics, times, versions",
           "outputs.report_file"),
    option("printout", OUTPUT, "print the value of every pixel", sets={"outputs.print_pixels": "all"}),
    option("printout_pixel", OUTPUT, "print that of one pixel, fast then slow, from 0", "outputs.print_pixels", "f s"),

    option("experiment", PROGRAM,
           "TOML file of an experiment, its file names from this folder on; options count as if they came after it",
           "experiment_file", "file", default="none"),
    option("mode", PROGRAM, "the physics, or what nanoBragg.c does, defects included", "experiment.mode",
           kind=MODE),
    option("backend", PROGRAM, "what renders; auto: cuda where there is a usable GPU, else cpu", "run.backend"),
    option("device", PROGRAM, "number of the GPU, as `nbnumba devices` lists it, or all, which share the image",
           "run.device", "n|all", kind=DEVICE),
    option("precision", PROGRAM, "arithmetic of the lattice factor", "run.precision"),
    option("threads", PROGRAM, "number of CPU threads", "run.threads", "n", default="all cores"),
    option("trace_pixel", PROGRAM, "print how the value of one pixel comes about, slow then fast, from 0",
           "run.trace_pixel", "s f"),
    option("progress", PROGRAM, "show progress", sets={"run.progress": True}),
    option("noprogress", PROGRAM, "show none", sets={"run.progress": False}),
    option("show", PROGRAM, "print the resolved experiment and stop", sets={"run.show": True}),
    option("quiet", PROGRAM, "no report on stdout; warnings and errors remain", sets={"run.quiet": True}),
    option("version", PROGRAM, "print the version and stop", default=""),
    option("h help", PROGRAM, "print this text and stop", default=""),
)
# fmt: on

BY_NAME = {name: row for row in OPTIONS for name in row.names}

DOCUMENTED_AS = {
    "hdiv": "hdivrange",
    "vdiv": "vdivrange",
    "dispstep": "dispsteps",
    "detsize_x": "detsize_f",
    "detsize_y": "detsize_s",
    "xdet_vector": "fdet_vector",
    "ydet_vector": "sdet_vector",
    "zdet_vector": "odet_vector",
}
"""Spellings of nanoBragg's documents which the program itself ignores, and what they mean."""

OPTION_OF = {
    **{target: f"-{row.names[0]}" for row in reversed(OPTIONS) for target in row.targets},
    **{target: f"-{row.names[0]}" for row in reversed(OPTIONS) for target in row.targets if row.is_own},
    "crystal.cells": "-N",
    "crystal.size_mm": "-samplesize",
}
"""The option by which a field is set, for messages; its own one where it has one."""


def option_of(path: str) -> str:
    """How messages call a field such as ``beam.fluence_per_m2``: by its option, else as it is."""
    return OPTION_OF.get(path, path)
