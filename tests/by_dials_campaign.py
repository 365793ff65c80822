"""What DIALS makes of files of a campaign, against the truth in them, as JSON: run by a Python that has DIALS.

by_dials_campaign.py stills FILE    in the folder of imported.expt and strong.refl
by_dials_campaign.py sweep FILE     in that of refined.expt, strong.refl and indexed.refl, too
"""

import json
import sys

import h5py
import numpy as np
from dials.array_family import flex
from dxtbx.format.nexus import BeamFactory, NXmxReader
from dxtbx.model.experiment_list import ExperimentListFactory

NEAR = 0.2
"""Of an index, along each of h, k, l."""


def indices(experiment, spots, axes):
    """Fractional h, k, l of spots by axes a, b, c."""
    panel, s0 = experiment.detector[0], np.array(experiment.beam.get_s0())
    at = np.array([panel.get_pixel_lab_coord((fast, slow)) for fast, slow, _ in spots["xyzobs.px.value"]])
    s1 = np.linalg.norm(s0) * at / np.linalg.norm(at, axis=1)[:, None]
    return (s1 - s0) @ axes.T


def near(experiment, spots, crystals):
    """How many spots lie near a reflection of one of the crystals."""
    off = [np.abs(hkl - np.round(hkl)).max(axis=1) for hkl in (indices(experiment, spots, one) for one in crystals)]
    return int((np.min(off, axis=0) < NEAR).sum()) if off else 0


def spectra_of(path, frames):
    """Energies in eV and weights of each frame, as dxtbx reads them."""
    with h5py.File(path) as file:
        factory = BeamFactory(NXmxReader(handle=file).entries[0].instruments[0].beams[0])
        for frame in range(frames):
            spectrum = factory.read_models(frame)[1]
            yield list(spectrum.get_energies_eV()), list(spectrum.get_weights())


def stills(path):
    experiments = ExperimentListFactory.from_json_file("imported.expt", check_format=False)
    strong = flex.reflection_table.from_file("strong.refl")
    with h5py.File(path) as file:
        crystals = file["entry/nbnumba/crystals"]
        axes, rows = crystals["real_space_abc"][:], crystals["frame"][:]
    found = []
    for number, experiment in enumerate(experiments):
        spots = strong.select(strong["id"] == number)
        others = [axes[rows == other] for other in (number, (number + 1) % len(experiments))]
        of_own, of_another = (near(experiment, spots, one) if len(spots) else 0 for one in others)
        wavelength = experiment.beam.get_wavelength()
        found.append({"spots": len(spots), "near": of_own, "by_another": of_another, "wavelength": wavelength})
    return {"frames": found, "spectra": list(spectra_of(path, len(found)))}


def turned_by(found, true):
    """Degrees between two A matrices whose axes may have other names."""
    renamed = found @ np.round(np.linalg.inv(found) @ true)
    left, _, right = np.linalg.svd(renamed @ np.linalg.inv(true))
    turn = left @ right
    return float(np.degrees(np.linalg.norm(turn - turn.T) / np.sqrt(8.0)))


def sweep(path):
    strong, indexed = (flex.reflection_table.from_file(f"{name}.refl") for name in ("strong", "indexed"))
    (refined,) = ExperimentListFactory.from_json_file("refined.expt", check_format=False)
    with h5py.File(path) as file:
        crystals = file["entry/nbnumba/crystals"]
        true, cell = np.linalg.inv(crystals["real_space_abc"][0]), crystals["unit_cell"][0]
    return {
        "spots": len(strong),
        "indexed": int(indexed.get_flags(indexed.flags.indexed).count(True)),
        "turned_by_deg": turned_by(np.array(refined.crystal.get_A()).reshape(3, 3), true),
        "oscillation": refined.scan.get_oscillation(),
        "images": refined.scan.get_num_images(),
        "edges": sorted(refined.crystal.get_unit_cell().parameters()[:3]),
        "true_edges": sorted(cell[:3].tolist()),
    }


print(json.dumps({"stills": stills, "sweep": sweep}[sys.argv[1]](sys.argv[2])))
