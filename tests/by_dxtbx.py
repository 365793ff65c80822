"""What dxtbx reads of files, as JSON: run by a Python that has DIALS, not by that of the tests."""

import json
import sys

from dxtbx.model.experiment_list import ExperimentListFactory


def panel_values(panel):
    return {
        "origin": panel.get_origin(),
        "fast": panel.get_fast_axis(),
        "slow": panel.get_slow_axis(),
        "pixel_size": panel.get_pixel_size(),
        "image_size": panel.get_image_size(),
        "trusted_range": panel.get_trusted_range(),
        "thickness": panel.get_thickness(),
        "material": panel.get_material(),
        "mu": panel.get_mu(),
    }


def model_values(experiment):
    beam, scan, goniometer, crystal = experiment.beam, experiment.scan, experiment.goniometer, experiment.crystal
    return {
        "panels": [panel_values(panel) for panel in experiment.detector],
        "wavelength": beam.get_wavelength(),
        "direction": beam.get_sample_to_source_direction(),
        "polarization_fraction": beam.get_polarization_fraction(),
        "polarization_normal": beam.get_polarization_normal(),
        "axis": goniometer.get_rotation_axis() if goniometer else None,
        "oscillation": scan.get_oscillation() if scan else None,
        "images": scan.get_num_images() if scan else 1,
        "a_matrix": crystal.get_A() if crystal else None,
    }


def read(path):
    if path.endswith(".expt"):
        return [model_values(one) for one in ExperimentListFactory.from_json_file(path, check_format=False)]
    experiments = ExperimentListFactory.from_filenames([path])
    found = [model_values(one) for one in experiments]
    imageset = experiments[0].imageset
    found[0]["pixels"] = [list(map(float, data)) for data in imageset.get_raw_data(0)]
    found[0]["mask"] = [list(mask) for mask in imageset.get_mask(0)]
    return found


print(json.dumps({path: read(path) for path in sys.argv[1:]}))
