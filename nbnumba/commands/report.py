"""What a run tells: as text for a person and as JSON for a program."""

import math
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NamedTuple

from ..experiment import Experiment, changed
from ..experiment.quirks import LABELS
from ..formats.spectrum import Spectrum
from ..image import Image
from ..left_out import LeftOut
from ..setup.geometry import Geometry
from ..setup.lattice import Lattice
from ..setup.resolve import Resolved
from ..statistics import Statistics
from ..structure_factors.table import FactorTable
from ..units import RTD, ev_from_angstrom
from ..version import __version__
from .detector_report import count_of, detector_lines, numbers, readout_lines

Sections = Sequence[tuple[str, Sequence[str]]]
MOST_PANEL_LINES = 8
"""In the report for people."""


def describe(resolved: Resolved, labels: Sequence[str], warnings: Sequence[str]) -> str:
    """The resolved experiment as a person reads it."""
    sections: Sections = [
        ("Beam", _beam_lines(resolved)),
        ("Detector", detector_lines(resolved)),
        ("Read-out", readout_lines(resolved.experiment.readout)),
        ("Crystal", _crystal_lines(resolved)),
        ("F", _factor_lines(resolved)),
        ("Sampling", _sampling_lines(resolved)),
    ]
    if resolved.lattices:
        sections = [*sections, ("Lattices", [*_lattice_lines(resolved)])]
    sections = [*sections, ("Background", [*_background_lines(resolved)])]
    if labels:
        sections = [*sections, ("Modes", [f"{label}: {LABELS[label]}" for label in labels])]
    if warnings:
        sections = [*sections, ("Warnings", warnings)]
    return f"nbnumba {__version__}, mode {resolved.experiment.mode}\n\n{_aligned(sections)}\n"


class Told(NamedTuple):
    """What there is to tell of one image of a run."""

    phi_deg: float
    """Spindle angle at its start."""
    statistics: Statistics
    photons: int | None
    """How many were counted, where they were."""
    overloads: int | None
    """Pixels cut to the largest integer."""
    left_out: LeftOut | None = None
    """What was left out; None where nothing may be."""


class Finished(NamedTuple):
    """A run whose images are written."""

    first: Image
    images: tuple[Told, ...]
    """In their order."""
    backend: str
    """Who rendered."""
    files: dict[str, str]
    """Paths, and what is in each."""
    scales: Sequence[str]
    """What there is to say of integers."""


def describe_run(run: Finished, seconds: Mapping[str, float]) -> str:
    """Statistics, files and times of a finished run, as a person reads them."""
    brightest = max(run.images, key=lambda told: told.statistics.maximum)
    s, count = brightest.statistics, len(run.images)
    phases = ", ".join(f"{name} {value:.2f}" for name, value in seconds.items() if name != "total")
    where, series = "", list[str]()
    if count > 1:
        end = run.images[-1].phi_deg + run.first.resolved.scan.oscillation_deg
        series = [f"{count} images from φ {run.images[0].phi_deg:g} to {end:g} degrees"]
        where = f" of image {run.images.index(brightest) + 1}"
    return _aligned([
        ("Image" if count == 1 else "Images", [
            *series,
            f"brightest pixel {s.maximum:g} photons at fast {s.maximum_fast}, slow {s.maximum_slow}{where}",
            f"mean {s.mean:g}, rms {s.rms:g}, rmsd {s.rmsd:g} over {s.pixels} pixels{where}",
            *_left_out_lines([told.left_out for told in run.images if told.left_out is not None]),
            *run.scales,
        ]),
        ("Files", [f"{path}  {what}" for path, what in run.files.items()]),
        ("Seconds", [f"{seconds['total']:.2f} in all: {phases}", f"rendered by {run.backend}"]),
    ])  # fmt: skip


def as_json(
    run: Finished, labels: Sequence[str], warnings: Sequence[str], seconds: Mapping[str, float]
) -> dict[str, Any]:
    """The run as plain values for ``json.dump``; infinity, which JSON has no number for, is the text ``inf``."""
    report: dict[str, Any] = {
        "experiment": _as_text(run.first.experiment),
        "resolved": _resolved_values(run.first.resolved),
        "labels": {label: LABELS[label] for label in labels},
        "warnings": list(warnings),
        "backend": run.backend,
        "statistics": asdict(run.first.statistics),
        "left_out": _left_out_values(run.first.left_out),
        "files": dict(run.files),
        "seconds": dict(seconds),
        "versions": versions(),
    }
    if len(run.images) > 1:
        report["images"] = [
            told._asdict() | {"statistics": asdict(told.statistics), "left_out": _left_out_values(told.left_out)}
            for told in run.images
        ]
    return {name: _finite(value) for name, value in report.items()}


def _left_out_values(left_out: LeftOut | None) -> dict[str, Any] | None:
    return None if left_out is None else asdict(left_out)


def _left_out_lines(told: Sequence[LeftOut]) -> list[str]:
    """How much was evaluated of the images that have a tolerance, and what that may cost a pixel."""
    if not told:
        return []
    shares = [100.0 * one.share for one in told]
    why = "; ".join(dict.fromkeys(one.why for one in told if one.why))
    if min(shares) == 100.0:
        return [f"all samples evaluated{f': {why}' if why else ''}"]
    least, most = f"{min(shares):.3g}", f"{max(shares):.3g}"
    share = f"{least} %" if least == most else f"{least} to {most} %"
    spent = max(one.spent_photons for one in told)
    elsewhere = f"; all in a part: {why}" if why else ""
    return [f"{share} of all samples evaluated, at most {spent:.2g} photons left out of a pixel{elsewhere}"]


def _as_text(experiment: Experiment) -> dict[str, Any]:
    """The experiment as plain values, its mask and reflections in words where there is no file to name."""
    mask, reflections = experiment.detector.mask, experiment.structure_factors.reflections
    named = changed(experiment, detector={"mask": None}, structure_factors={"reflections": None})
    values = named.to_dict()
    if mask is not None:
        values["detector"]["mask"] = f"in memory, {mask.fast_pixels} x {mask.slow_pixels} pixels (fast x slow)"
    if reflections is not None:
        values["structure_factors"]["reflections"] = f"in memory, {reflections.count} reflections"
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
        count_of(len(sources.weight), "source") + spread,
        *_spectrum_lines(sources.spectrum),
    ]


def _spectrum_lines(spectrum: Spectrum | None) -> list[str]:
    if spectrum is None:
        return []
    count, (mean, sd) = len(spectrum.weight), (spectrum.mean_ev, spectrum.sd_ev)
    return [f"spectrum of {spectrum.origin}: {count_of(count, 'wavelength')}, mean {mean:.8g} eV, sd {sd:.4g} eV"]


def _spectrum_values(spectrum: Spectrum | None) -> dict[str, Any] | None:
    if spectrum is None:
        return None
    values = {"origin": spectrum.origin, "wavelengths": len(spectrum.weight)}
    return values | {"mean_ev": spectrum.mean_ev, "sd_ev": spectrum.sd_ev}


def _crystal_lines(resolved: Resolved) -> list[str]:
    lattice, crystal = resolved.lattice, resolved.experiment.crystal
    if not resolved.has_crystal:
        return ["none in the beam (-spot_scale 0): background alone"]
    return [
        f"cell {numbers(lattice.cell)} (Å, degrees), volume {lattice.volume:.6g} Å³",
        f"reciprocal cell {numbers(lattice.reciprocal_cell)} (1/Å, degrees)",
        f"{_misset(lattice)}{_drawn(resolved)}",
        f"{' x '.join(map(str, lattice.cells))} unit cells, {crystal.shape}{_blocks(resolved)}",
    ]


def _factor_lines(resolved: Resolved) -> list[str]:
    """Which F count, and where they are from."""
    if not resolved.has_crystal:
        return []
    table = resolved.table
    h0, h1, k0, k1, l0, l1 = table.bounds
    factors = f"F = {table.outside:g} for every reflection"
    if table.values.size:
        factors = f"F of h {h0} to {h1}, k {k0} to {k1}, l {l0} to {l1}, else {table.outside:g}"
    between = (
        "interpolated between reflections" if resolved.plans[0].factors.interpolate else "of the nearest reflection"
    )
    given = resolved.experiment.structure_factors
    scaled = f", scaled by {given.scale_f:g}" if given.scale_f != 1.0 else ""
    scaled += f", B {given.b_add:+g} Å²" if given.b_add != 0.0 else ""
    lines = [f"{factors}, {between}{scaled}", *_anomalous_lines(resolved)]
    edge = f" (the detector's edge: {resolved.edge_angstrom:.3g} Å)"
    return [*lines, *provenance_lines(table, edge)]


def _anomalous_lines(resolved: Resolved) -> list[str]:
    """Which elements scatter anomalously, and how strongly."""
    if not resolved.dispersion:
        return []
    energies = [ev_from_angstrom(wavelength) for wavelength in _channels(resolved)]
    where = f"at {energies[0]:.6g} eV"
    if len(energies) > 1:
        where = f"at {len(energies)} energies from {min(energies):.6g} to {max(energies):.6g} eV"
    return [f"anomalous {where}: {'; '.join(_dispersion_words(*item) for item in resolved.dispersion)}"]


def _channels(resolved: Resolved) -> list[float]:
    """The wavelengths at which F were calculated, in Å."""
    sources = resolved.sources
    several: list[float] = sources.wavelengths()[0].tolist()
    return several if len(resolved.table.values) > 1 else [sources.mean_angstrom]


def _dispersion_words(element: str, values: Sequence[complex]) -> str:
    ranges = ([value.real for value in values], [value.imag for value in values])
    first, second = (f"{min(part):.3g}" + (f" to {max(part):.3g}" if max(part) > min(part) else "") for part in ranges)
    return f"{element} f' {first}, f'' {second}"


def provenance_lines(table: FactorTable, edge: str = "") -> list[str]:
    """Where F are from whose symmetry was applied, how complete they are, and what had to be done."""
    found = table.provenance
    if found is None:
        return []
    labels = f", {' and '.join(found.labels)}" if found.labels else ""
    share = found.measured / max(1, found.possible)
    percent = " ".join(f"{100 * shell.measured / max(1, shell.possible):.0f}" for shell in found.shells)
    return [
        f"of {found.file}{labels}: {found.space_group}, to {found.dmin_angstrom:.3g} Å{edge}, beyond it 0",
        f"{found.measured} reflections of P 1, both mates: {share:.2%} of all, by shells of equal volume {percent} %",
        *found.notes,
    ]


def _lattice_lines(resolved: Resolved) -> Iterator[str]:
    """Those beside the crystal's own, each of which has what is not said as the crystal has it."""
    for one in resolved.lattices:
        file, domains = one.crystal.matrix_file, len(one.plans[0].crystal.domains)
        spread = f" within {one.crystal.mosaic_spread_deg or 0.0:g} degrees" if domains > 1 else ""
        yield (
            f"weight {one.weight:g}, {' x '.join(map(str, one.lattice.cells))} unit cells, "
            f"{count_of(domains, 'mosaic domain')}{spread}, {one.spot_scale:.6g} blocks"
        )
        yield f"  cell {numbers(one.lattice.cell)} (Å, degrees){f', matrix {file}' if file else ''}"
        yield f"  {_misset(one.lattice)}"


def _lattice_values(resolved: Resolved) -> list[dict[str, Any]]:
    """What there is in the image: every lattice, the crystal's own first; none where the beam misses them."""
    if not resolved.has_crystal:
        return []
    own = (resolved.experiment.crystal, resolved.lattice, 1.0, resolved.spot_scale, resolved.plans[0])
    further = ((one.crystal, one.lattice, one.weight, one.spot_scale, one.plans[0]) for one in resolved.lattices)
    return [
        {
            "weight": weight,
            "cell": lattice.cell,
            "a_matrix": list(zip(lattice.a_star, lattice.b_star, lattice.c_star, strict=True)),
            "misset_deg": [angle * RTD for angle in lattice.misset_rad],
            "cells": lattice.cells,
            "spot_scale": spot_scale,
            "mosaic_spread_deg": (crystal.mosaic_spread_deg or 0.0) if len(plan.crystal.domains) > 1 else 0.0,
            "mosaic_domains": len(plan.crystal.domains),
        }
        for crystal, lattice, weight, spot_scale, plan in (own, *further)
    ]


def _blocks(resolved: Resolved) -> str:
    """How many there are."""
    size = resolved.experiment.crystal.whole_size_mm
    whole = f" in the beam of a crystal of {' x '.join(f'{edge:g}' for edge in size)} mm" if size else ""
    return f"; {resolved.spot_scale:.6g} such blocks{whole}" if whole or resolved.spot_scale != 1.0 else ""


def _misset(lattice: Lattice) -> str:
    return f"misset {' '.join(f'{angle * RTD:.6f}' for angle in lattice.misset_rad)} degrees about x, y, z"


def _drawn(resolved: Resolved) -> str:
    """Where a random orientation is from."""
    crystal, noise = resolved.experiment.crystal, resolved.experiment.noise
    if crystal.misset_deg != "random":
        return ""
    return f", drawn with seed {noise.seed if crystal.misset_seed is None else crystal.misset_seed}"


def _sampling_lines(resolved: Resolved) -> list[str]:
    plan, scan = resolved.plans[0], resolved.scan
    domains = len(plan.crystal.domains)
    spread = resolved.experiment.crystal.mosaic_spread_deg or 0.0
    sub_pixels = f"{plan.oversample} x {plan.oversample} sub-pixels"
    lines = (
        [
            f"{count_of(len(scan.phi_rad), 'φ step')} from {scan.start_deg:g} over {scan.oscillation_deg:g} degrees"
            f"{', in the middle of each' if resolved.experiment.scan.phi_sampling == 'middle' else ''}, "
            f"{count_of(domains, 'mosaic domain')}{f' within {spread:g} degrees' if domains > 1 else ''}",
            f"{sub_pixels} ({resolved.recommended_oversample} would resolve every fringe), "
            f"{count_of(resolved.steps, 'sample')} a pixel",
        ]
        if resolved.has_crystal
        else [f"{sub_pixels}, the first of which stands for the pixel"]
    )
    if plan.tolerance > 0.0:
        tolerance = resolved.experiment.sampling.tolerance_photons
        lines.append(f"samples are left out that together change no pixel by more than {tolerance:g} photons")
    if resolved.experiment.background.water_um > 0.0:
        lines.append(f"{resolved.experiment.background.water_um:g} µm of amorphous material")
    return lines


def _background_lines(resolved: Resolved) -> Iterator[str]:
    """A line for each material in the beam, and for each file of photons that are added."""
    for one in resolved.materials:
        yield (
            f"{one.name}: {one.path_mm:g} mm of {one.density_g_per_cm3:g} g/cm³, {one.molecules:.4g} molecules of "
            f"{one.molar_mass_g_per_mol:g} g/mol in the beam"
        )
    background = resolved.experiment.background
    files = [file for file in (background.image_file, background.profile_file) if file is not None]
    if resolved.added is not None:
        yield f"{' and '.join(files)}: {resolved.added.sum(dtype=float):.6g} photons are added"


def _background_values(resolved: Resolved) -> dict[str, Any]:
    materials = [one._asdict() for one in resolved.materials]
    for one in materials:
        del one["table"]
    added = None if resolved.added is None else float(resolved.added.sum(dtype=float))
    return {"materials": materials, "added_photons": added}


def _resolved_values(resolved: Resolved) -> dict[str, Any]:
    lattice = resolved.lattice
    return {
        **_geometry_values(resolved),
        "lattice": asdict(lattice) | {"cell": lattice.cell, "reciprocal_cell": lattice.reciprocal_cell},
        "lattices": _lattice_values(resolved),
        "sources": len(resolved.sources.weight),
        "spectrum": _spectrum_values(resolved.sources.spectrum),
        "misset_deg": [angle * RTD for angle in lattice.misset_rad],
        "edge_angstrom": resolved.edge_angstrom,
        "phi_deg": [float(phi * RTD) for phi in resolved.scan.phi_rad],
        "domains": len(resolved.plans[0].crystal.domains),
        "oversample": resolved.plans[0].oversample,
        "samples_per_pixel": resolved.steps,
        "fluence_per_m2": resolved.fluence_per_m2,
        "spot_scale": resolved.spot_scale,
        "background": _background_values(resolved),
        "interpolate": bool(resolved.plans[0].factors.interpolate),
        "structure_factors": _provenance(resolved),
        "anomalous": _anomalous_values(resolved),
        "layers": resolved.plans[0].detector.layers,
        "layer_step_m": resolved.plans[0].detector.layer_step,
    }


def _geometry_values(resolved: Resolved) -> dict[str, Any]:
    """Where the detector stands, or each of its panels where they are listed."""
    values = [asdict(panel) | {"orgx_px": panel.orgx_px, "orgy_px": panel.orgy_px} for panel in resolved.panels]
    if isinstance(resolved.panels[0], Geometry):
        return {"geometry": values[0]}
    listed = resolved.experiment.detector.panels or ()
    return {"panels": [{"name": panel.name} | one for panel, one in zip(listed, values, strict=True)]}


def _provenance(resolved: Resolved) -> dict[str, Any] | None:
    """Where F are from whose symmetry was applied, and how complete they are."""
    found = resolved.table.provenance
    if found is None:
        return None
    shells = [shell._asdict() for shell in found.shells]
    return asdict(found) | {"shells": shells, "measured": found.measured, "possible": found.possible}


def _anomalous_values(resolved: Resolved) -> dict[str, Any] | None:
    """f' and f'' in electrons of each element, at each wavelength."""
    if not resolved.dispersion:
        return None
    elements = {
        element: {"f_prime": [value.real for value in values], "f_double_prime": [value.imag for value in values]}
        for element, values in resolved.dispersion
    }
    return {"wavelength_angstrom": _channels(resolved), "elements": elements}
