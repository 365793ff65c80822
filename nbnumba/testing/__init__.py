"""Helpers to test simulators with: random experiments (``strategies``) and what must hold of them (``properties``).

``strategies`` needs hypothesis; ``properties`` take any function that turns an experiment into an image:

>>> from nbnumba.experiment import Beam, Crystal, Detector, Experiment, StructureFactors
>>> from nbnumba.testing.properties import fluence_scales_intensity, render
>>> fluence_scales_intensity(render, Experiment(
...     beam=Beam(wavelength_angstrom=1.0),
...     detector=Detector(distance_mm=100, fast_pixels=8, slow_pixels=8),
...     crystal=Crystal(cell=(70, 80, 90, 90, 90, 90), cells=(5, 5, 5)),
...     structure_factors=StructureFactors(default_f=100),
... ))
"""
