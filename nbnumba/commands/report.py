"""What a run tells: as text for a person and as JSON for a program."""

import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from ..experiment import Experiment, changed
from ..experiment.presets import preset_of
from ..experiment.quirks import LABELS
from ..image import Image
from ..setup.panels import PlacedPanel
from ..setup.resolve import Resolved
from ..statistics import Statistics
from ..units import RTD, ev_from_angstrom
from ..version import __version__

Sections = Sequence[tuple[str, Sequence[str]]]


def describe(resolved: Resolved, labels: Sequence[str], warnings: Sequence[str]) -> str:
    """The resolved experiment as a person reads it."""
    sections: Sections = [
        ("Beam", _beam_lines(resolved)),
        ("Detector", _detector_lines(resolved)),
        ("Crystal", _crystal_lines(resolved)),
        ("Sampling", _sampling_lines(resolved)),
    ]
    if labels:
        sections = [*sections, ("Modes", [f"{label}: {LABELS[label]}" for label in labels])]
    if warnings:
        sections = [*sections, ("Warnings", warnings)]
    return f"nbnumba {__version__}, mode {resolved.experiment.mode}\n\n{_aligned(sections)}\n"


def describe_image(
    statistics: Statistics, backend: str, seconds: Mapping[str, float], files: Mapping[str, str], scales: Sequence[str]
) -> str:
    """Statistics, files and times of a finished run, as a person reads them."""
    s = statistics
    phases = ", ".join(f"{name} {value:.2f}" for name, value in seconds.items() if name != "total")
    return _aligned([
        ("Image", [
            f"brightest pixel {s.maximum:g} photons at fast {s.maximum_fast}, slow {s.maximum_slow}",
            f"mean {s.mean:g}, rms {s.rms:g}, rmsd {s.rmsd:g} over {s.pixels} pixels",
            *scales,
        ]),
        ("Files", [f"{path}  {what}" for path, what in files.items()]),
        ("Seconds", [f"{seconds['total']:.2f} in all: {phases}", f"rendered by {backend}"]),
    ])  # fmt: skip


def as_json(
    image: Image, labels: Sequence[str], warnings: Sequence[str], backend: str, seconds: Mapping[str, float],
    files: Mapping[str, str],
) -> dict[str, Any]:  # fmt: skip
    """The run as plain values for ``json.dump``; infinity, which JSON has no number for, is the text ``inf``."""
    report = {
        "experiment": _as_text(image.experiment),
        "resolved": _resolved_values(image.resolved),
        "labels": {label: LABELS[label] for label in labels},
        "warnings": list(warnings),
        "backend": backend,
        "statistics": asdict(image.statistics),
        "files": dict(files),
        "seconds": dict(seconds),
        "versions": versions(),
    }
    return {name: _finite(value) for name, value in report.items()}


def _as_text(experiment: Experiment) -> dict[str, Any]:
    """The experiment as plain values, its mask in words where there is no file to name."""
    mask = experiment.detector.mask
    if mask is None:
        return experiment.to_dict()
    values = changed(experiment, detector={"mask": None}).to_dict()
    values["detector"]["mask"] = f"in memory, {mask.fast_pixels} x {mask.slow_pixels} pixels (fast x slow)"
    return values


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def versions() -> dict[str, str]:
    """Versions of what made the numbers."""
    found = {"nbnumba": __version__, "python": platform.python_version(), "machine": platform.machine()}
    for package in ("numpy", "numba", "llvmlite", "scipy", "gemmi"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def _aligned(sections: Sections) -> str:
    text = ""
    for title, lines in sections:
        for number, line in enumerate(lines):
            text += f"{title if number == 0 else '':<10} {line}\n"
    return text.rstrip("\n")


def _numbers(values: Sequence[float]) -> str:
    return " ".join(f"{value:.6g}" for value in values)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _beam_lines(resolved: Resolved) -> list[str]:
    sources, beam = resolved.sources, resolved.experiment.beam
    wavelength = resolved.wavelength_angstrom
    polarization = f"K = {beam.kahn_factor:g}" if beam.polarization_correction else "not corrected for"
    spread = ""
    if len(sources.weight) > 1:
        low, high = sources.wavelength_angstrom.min(), sources.wavelength_angstrom.max()
        grid = (sources.horizontal_steps, sources.vertical_steps, sources.wavelength_steps)
        spread = f" (grid {grid[0]} x {grid[1]} directions, {grid[2]} wavelengths)" if grid != (1, 1, 1) else ""
        spread += f", {low:.6g} to {high:.6g} Å"
    return [
        f"wavelength {wavelength:g} Å ({ev_from_angstrom(wavelength):.6g} eV), polarization {polarization}",
        f"fluence {resolved.fluence_per_m2:g} photons/m²",
        _count(len(sources.weight), "source") + spread,
    ]


def _detector_lines(resolved: Resolved) -> list[str]:
    g, plan = resolved.geometry, resolved.plan.detector
    x, y = g.xbeam_m * 1000.0, g.ybeam_m * 1000.0
    detector = resolved.experiment.detector
    lines = [
        f"{detector.preset + ': ' if detector.preset else ''}{g.fast_pixels} x {g.slow_pixels} pixels (fast x slow) "
        f"of {g.pixel_m * 1000.0:g} mm, "
        f"{g.convention} convention, {g.pivot} pivot",
        f"distance {g.distance_m * 1000.0:g} mm along the beam, "
        f"{g.close_distance_m * 1000.0:g} mm to the nearest point",
        f"beam centre at fast {g.fbeam_m * 1000.0:g}, slow {g.sbeam_m * 1000.0:g} mm (Xbeam {x:g}, Ybeam {y:g}), "
        f"ORGX {g.orgx_px:g}, ORGY {g.orgy_px:g}",
        f"fast {_numbers(g.fast)}, slow {_numbers(g.slow)}, normal {_numbers(g.normal)}",
        f"outer corner of the first pixel (pix0) {' '.join(f'{v:.15g}' for v in g.origin_m)} m",
    ]
    if plan.layer_step > 0.0:
        lines.append(
            f"{_count(plan.layers, 'sensor layer')} of {plan.layer_step * 1e6:g} µm, 1/e depth "
            f"{1e6 / plan.attenuation:g} µm"
        )
    if plan.mask.size:
        why = filter(None, (
            f"gaps of {detector.preset}" if _has_gaps(detector.preset, g) else "",
            f"mask {detector.mask_file or 'in memory'}" if detector.mask_file or detector.mask else "",
            f"beamstop of {detector.beamstop_mm:g} mm radius" if detector.beamstop_mm else "",
        ))  # fmt: skip
        lines.append(f"{' and '.join(why)}: {int((plan.mask == 0).sum())} pixels not rendered")
    if detector.roi is not None:
        lines.append("region fast {} to {}, slow {} to {}".format(*plan.roi))
    return lines


def _has_gaps(preset: str | None, panel: PlacedPanel) -> bool:
    """Whether a detector of this name and size has more than one module."""
    size = (panel.fast_pixels, panel.slow_pixels)
    return preset is not None and any(map(any, preset_of(preset).between_modules(*size)))


def _crystal_lines(resolved: Resolved) -> list[str]:
    lattice, crystal = resolved.lattice, resolved.experiment.crystal
    missets = " ".join(f"{angle * RTD:.6f}" for angle in lattice.misset_rad)
    h0, h1, k0, k1, l0, l1 = resolved.table.bounds
    factors = f"F = {resolved.experiment.structure_factors.default_f:g} for every reflection"
    if resolved.table.values.size:
        factors = f"F of h {h0} to {h1}, k {k0} to {k1}, l {l0} to {l1}, else {resolved.plan.factors.default:g}"
    between = "interpolated between reflections" if resolved.plan.factors.interpolate else "of the nearest reflection"
    return [
        f"cell {_numbers(lattice.cell)} (Å, degrees), volume {lattice.volume:.6g} Å³",
        f"reciprocal cell {_numbers(lattice.reciprocal_cell)} (1/Å, degrees)",
        f"misset {missets} degrees about x, y, z{_drawn(resolved)}",
        f"{' x '.join(map(str, lattice.cells))} unit cells, {crystal.shape}",
        f"{factors}, {between}",
    ]


def _drawn(resolved: Resolved) -> str:
    """Where a random orientation is from."""
    crystal, noise = resolved.experiment.crystal, resolved.experiment.noise
    if crystal.misset_deg != "random":
        return ""
    return f", drawn with seed {noise.seed if crystal.misset_seed is None else crystal.misset_seed}"


def _sampling_lines(resolved: Resolved) -> list[str]:
    plan, scan = resolved.plan, resolved.scan
    domains = len(plan.crystal.domains)
    spread = resolved.experiment.crystal.mosaic_spread_deg or 0.0
    lines = [
        f"{_count(len(scan.phi_rad), 'φ step')} from {scan.start_deg:g} over {scan.oscillation_deg:g} degrees"
        f"{', in the middle of each' if resolved.experiment.scan.phi_sampling == 'middle' else ''}, "
        f"{_count(domains, 'mosaic domain')}{f' within {spread:g} degrees' if domains > 1 else ''}",
        f"{plan.oversample} x {plan.oversample} sub-pixels ({resolved.recommended_oversample} would resolve every "
        f"fringe), {_count(resolved.steps, 'sample')} a pixel",
    ]
    if resolved.experiment.background.water_um > 0.0:
        lines.append(f"{resolved.experiment.background.water_um:g} µm of amorphous material")
    return lines


def _resolved_values(resolved: Resolved) -> dict[str, Any]:
    geometry, lattice = resolved.geometry, resolved.lattice
    return {
        "geometry": asdict(geometry) | {"orgx_px": geometry.orgx_px, "orgy_px": geometry.orgy_px},
        "lattice": asdict(lattice) | {"cell": lattice.cell, "reciprocal_cell": lattice.reciprocal_cell},
        "sources": len(resolved.sources.weight),
        "misset_deg": [angle * RTD for angle in lattice.misset_rad],
        "edge_angstrom": resolved.edge_angstrom,
        "phi_deg": [float(phi * RTD) for phi in resolved.scan.phi_rad],
        "domains": len(resolved.plan.crystal.domains),
        "oversample": resolved.plan.oversample,
        "samples_per_pixel": resolved.steps,
        "fluence_per_m2": resolved.fluence_per_m2,
        "interpolate": bool(resolved.plan.factors.interpolate),
        "layers": resolved.plan.detector.layers,
        "layer_step_m": resolved.plan.detector.layer_step,
    }
