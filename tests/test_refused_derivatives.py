"""What models of numbers refuse, each in one line: names, experiments, values."""

from __future__ import annotations

import numpy as np
import pytest
from moving import WET

from nbnumba import Differentiable, Experiment, changed
from nbnumba.errors import UsageError

pytestmark = pytest.mark.filterwarnings("ignore::nbnumba.NbnumbaWarning")

PLAIN = (
    "-cell 40 45 50 75 85 95 -misset 10 20 30 -default_F 100 -N 5 -detpixels 8 -pixel 1 -distance 100 -oversample 2 "
    "-nointerpolate -fluence 1e24"
)
PLACE = ["detector.distance_mm", "detector.beam_x_mm", "detector.beam_y_mm", "detector.rotx_deg", "detector.roty_deg",
         "detector.rotz_deg"]  # fmt: skip
HAS_NONE = "is 0, at the end of its values, where it has no derivative: give it one above 0"
NOT_SMOOTH = "is no number that can be moved a little, and so has no derivative"
LEAVE_OUT = "changes nothing of this image: leave it out"

REFUSED: list[tuple[str, list[str], str]] = [
    # Names.
    ("", ["crystal.cel"], "crystal.cel is not known as a parameter; did you mean crystal.cell or"),
    ("", ["cell"], "cell is not known as a parameter; did you mean crystal.cell?"),
    ("", ["distance"], "did you mean detector.distance_mm or detector.close_distance_mm?"),
    ("", ["crystal.cell[6]"], "crystal.cell[6]: crystal.cell has 6 numbers, crystal.cell[0] to crystal.cell[5]"),
    ("", ["crystal.cell.a"], "crystal.cell.a: crystal.cell has 6 numbers"),
    ("", ["crystal.cell[-1]"], "'crystal.cell[-1]' is no name of a parameter: give one such as crystal.cell or"),
    ("", [], "free: give a list of names of parameters, such as ['crystal.cell', 'scale']"),
    ("", ["crystal.orientation[3]"], "crystal.orientation[3]: there are crystal.orientation[0] to crystal.orient"),
    ("", ["crystal.cell", "crystal.cell[0]"], "crystal.cell[0] is given twice"),
    # What has no derivative, in itself or here.
    ("", ["crystal.cells"], "crystal.cells are whole numbers: free crystal.size, the same as real ones"),
    ("", ["crystal.shape"], f"crystal.shape {NOT_SMOOTH}"),
    ("", ["detector.fast_pixels"], f"detector.fast_pixels {NOT_SMOOTH}"),
    ("", ["readout.gain"], "readout.gain is of counts, and derivatives are of the photons that are counted"),
    ("", ["crystal.mosaic_spread_deg"], f"crystal.mosaic_spread_deg {HAS_NONE}"),
    ("", ["background.water_um"], f"background.water_um {HAS_NONE}"),
    ("", ["detector.attenuation_depth_um"], "detector.attenuation_depth_um is not given: give the value at which it"),
    ("", ["detector.origin_mm"], "detector.origin_mm is not given, and -mosflm has its own: give it, with the"),
    ("", ["structure_factors.b_add"], f"structure_factors.b_add {LEAVE_OUT}"),
    ("", ["crystal.fudge"], f"crystal.fudge {LEAVE_OUT}"),
    ("-nopolar", ["beam.kahn_factor"], f"beam.kahn_factor {LEAVE_OUT}"),
    ("-N 1", ["crystal.cell"], f"crystal.cell[0] {LEAVE_OUT}"),
    ("-tophat_spots", ["crystal.cell"], "crystal.cell[0] moves the edges of tophat spots, at which photons jump"),
    ("-tophat_spots", ["detector.distance_mm"], "detector.distance_mm moves the edges of tophat spots"),
    # What moves the image as others do.
    ("", ["scale", "beam.fluence_per_m2"], "beam.fluence_per_m2 and scale move the image alike: leave out one of them"),
    ("", ["crystal.misset_deg", "scan.phi_deg"], "scan.phi_deg and crystal.misset_deg[2] move the image alike"),
    ("", ["crystal.misset_deg", "crystal.orientation"],
     "crystal.orientation[0] moves the image as crystal.misset_deg[0], crystal.misset_deg[1], crystal.misset_deg[2]"),
    ("", ["crystal.cell", "beam.wavelength_angstrom"],
     "beam.wavelength_angstrom moves the image as crystal.cell[0], crystal.cell[1], crystal.cell[2] do together"),
    ("", ["crystal.a_matrix", "crystal.cell"], "crystal.cell[0] beside crystal.a_matrix, which says all of cell and"),
    ("-gauss_xtal", ["crystal.size", "crystal.fudge", "scale"],
     "scale moves the image as crystal.size, crystal.fudge do together: leave out one of them"),
    ("", [*PLACE, "detector.twotheta_deg"], "detector.twotheta_deg and detector.rotz_deg move the image alike"),
    # Experiments.
    ("-mode c", ["crystal.cell"], "gradients are of mode spec: leave out -mode c"),
    ("-curved_det", ["crystal.cell"], "gradients are of flat detectors: leave out -curved_det"),
    ("-dmin 3", ["crystal.cell"], "-dmin 3 leaves out samples, where photons jump: gradients need all; leave it out"),
    ("-lattice misset=1,2,3", ["crystal.cell"], "gradients are of one lattice: leave out -lattice"),
]  # fmt: skip


@pytest.mark.parametrize(("more", "free", "says"), REFUSED)
def test_what_has_no_derivatives_is_refused_in_a_line(more: str, free: list[str], says: str) -> None:
    with pytest.raises(UsageError) as refused:
        Differentiable(Experiment.from_args(f"{PLAIN} {more}".split()), free)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_size_that_says_how_many_pixels_there_are_stays() -> None:
    experiment = changed(Experiment.from_args(PLAIN.split()), detector={"fast_pixels": None, "fast_size_mm": 8.0})
    with pytest.raises(UsageError, match=r"give detector\.fast_pixels and detector\.slow_pixels"):
        Differentiable(experiment, ["detector.pixel_mm"])


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("crystal.cell[0]", np.nan, "crystal.cell[0] nan: give a finite number"),
        ("crystal.cell[0]", -40.0, "-cell -40 45 50 75 85 95: the edges must be above 0 Å"),
        ("crystal.cell[3]", 200.0, "the angles must lie between 0 and 180 degrees"),
        ("crystal.cell[3]", 1.0, "-cell 40 45 50 1 85 95"),
        ("scale", -1.0, "-spot_scale -1: must be 0 or more"),
        ("crystal.size[1]", -2.0, "crystal.size -2: must be above 0"),
        ("beam.kahn_factor", 1.5, "-polar 1.5: must lie between -1 and 1"),
        ("detector.distance_mm", np.inf, "detector.distance_mm inf: give a finite number"),
        ("detector.distance_mm", 0.0, "-distance 0: must be above 0"),
        ("detector.rotz_deg", 90.0, "the beam runs along the detector plane"),
    ],
)
def test_values_with_which_there_is_no_experiment_are_refused(name: str, value: float, says: str) -> None:
    free = ["crystal.cell", "scale", "crystal.size", "beam.kahn_factor", "detector.distance_mm", "detector.rotz_deg"]
    facing = dict.fromkeys(("rotx_deg", "roty_deg", "rotz_deg", "twotheta_deg"), 0.0)
    model = Differentiable(changed(WET, detector=facing), free, threads=1)
    values = np.where(np.array(model.names) == name, value, model.values)
    for of in (model.image, model.jacobian, lambda at: model.vjp(at, np.ones(model.shape))):
        with pytest.raises(UsageError) as refused:
            of(values)
        assert says in str(refused.value)


def test_values_are_a_number_for_each_name() -> None:
    model = Differentiable(WET, ["crystal.cell"])
    with pytest.raises(UsageError, match=r"values of shape \(2,\): give one for each of crystal\.cell\[0\], crystal"):
        model.image([1.0, 2.0])
    with pytest.raises(UsageError, match=r"values 'forty': give a number for each of crystal\.cell"):
        model.image("forty")
    with pytest.raises(UsageError, match=r"cotangent of 3 x 2 pixels: the image has 8 x 6 \(fast x slow\)"):
        model.vjp(model.values, np.ones((2, 3)))
