"""What DIALS finds in a series, as JSON: run by a Python that has DIALS, in the folder of its files."""

import json
import sys

import numpy as np
from dials.array_family import flex
from dxtbx.model.experiment_list import ExperimentListFactory


def structure_factors(path):
    with open(path) as file:
        rows = [line.split() for line in file]
    return {tuple(map(int, row[:3])): float(row[3]) for row in rows}


def correlation(reflections, factors):
    """Of integrated intensities, corrected for Lorentz and polarization factors, with F², where whole spots are."""
    found = reflections.select(reflections.get_flags(reflections.flags.integrated_sum))
    found = found.select(found["partiality"] > 0.99)
    intensities = np.array(found["intensity.sum.value"] * found["lp"])
    squares = np.array([factors.get(index, np.nan) for index in found["miller_index"]]) ** 2
    known = np.isfinite(squares)
    return int(known.sum()), float(np.corrcoef(intensities[known], squares[known])[0, 1])


spots, indexed, integrated = (
    flex.reflection_table.from_file(f"{name}.refl") for name in ("strong", "indexed", "integrated")
)
crystal = ExperimentListFactory.from_json_file("refined.expt", check_format=False)[0].crystal
print(json.dumps({
    "spots": len(spots),
    "indexed": int(indexed.get_flags(indexed.flags.indexed).count(True)),
    "cell": crystal.get_unit_cell().parameters(),
    "cell_sd": crystal.get_cell_parameter_sd(),
    "whole": correlation(integrated, structure_factors(sys.argv[1])),
}))  # fmt: skip
