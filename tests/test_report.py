"""Every number that a run tells, in words and as JSON, reckoned here from the command line and the files alone."""

from __future__ import annotations

import json
import math
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nbnumba.cli import main
from nbnumba.commands import simulate as batch
from nbnumba.formats.images.smv import read_smv
from nbnumba.response.chain import scaled_counts
from nbnumba.response.detection import detected

CELL = (71.0, 82.0, 93.0, 77.0, 85.0, 101.0)
CELLS = (3, 4, 5)
FAST, SLOW, PIXEL = 20, 30, 0.9
ROI = (1, 15, 2, 25)
LEFT_OUT = 17
WAVELENGTH, DISTANCE = 1.1, 120.0
LINE = (
    "-cell 71 82 93 77 85 101 -Na 3 -Nb 4 -Nc 5 -misset 10 20 30 -mosaic 0.4 -mosaic_domains 3 "
    "-hkl list.hkl -default_F 50 -nointerpolate -mask mask.img "
    "-lambda 1.1 -flux 1e12 -exposure 0.5 -beamsize 0.05 -polar 0.9 "
    "-hdivrange 2 -hdivsteps 3 -dispersion 1 -dispsteps 2 "
    "-distance 120 -detpixels_f 20 -detpixels_s 30 -pixel 0.9 -Xbeam 12 -Ybeam 8 -pivot beam "
    "-detector_rotx 5 -detector_roty -8 -detector_rotz 3 -twotheta 6 -roi 1 15 2 25 "
    "-detector_thick 300 -detector_abs 250 -detector_thicksteps 2 "
    "-phi 12 -osc 3 -phisteps 4 -oversample 2 -water 5 -seed 7 -adc 12 -pgmscale 31 -backend cpu -report report.json"
)
"""A tilted, oblong detector, an oblique cell, several of all that is summed."""


@pytest.fixture(autouse=True)
def _among_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("list.hkl").write_text("-2 0 1 30\n3 -1 2 40\n0 4 -3 20\n")
    header = f"{{\nHEADER_BYTES=512;\nTYPE=unsigned_short;\nSIZE1={FAST};\nSIZE2={SLOW};\n}}"
    Path("mask.img").write_bytes(header.encode().ljust(512) + mask().astype("<u2").tobytes())


def mask() -> np.ndarray:
    """17 pixels in the region of interest, one beside it."""
    pixels = np.ones((SLOW, FAST), int)
    pixels[5, 2:13] = pixels[8:14, 6] = 0
    pixels[0, 0] = 0
    return pixels


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> tuple[list[str], dict[str, Any]]:
    """The lines that a run prints, without the headings, and its report."""
    assert main(shlex.split(LINE)) == 0
    lines = [line[11:] for line in capsys.readouterr().out.splitlines()]
    return lines, json.loads(Path("report.json").read_text())


def turned(vector: tuple[float, ...], axis: tuple[float, ...], degrees: float) -> np.ndarray:
    """Rodrigues."""
    v, n, angle = np.array(vector), np.array(axis), math.radians(degrees)
    return v * math.cos(angle) + np.cross(n, v) * math.sin(angle) + n * (n @ v) * (1.0 - math.cos(angle))


def detector_axes() -> np.ndarray:
    """Fast, slow and normal of the mosflm convention after all rotations; two-theta is about −z."""
    axes = []
    for axis in ((0, 0, 1), (0, -1, 0), (1, 0, 0)):
        for about, degrees in (((1, 0, 0), 5), ((0, 1, 0), -8), ((0, 0, 1), 3), ((0, 0, -1), 6)):
            axis = turned(axis, about, degrees)  # type: ignore[assignment]
        axes.append(axis)
    return np.array(axes)


def metric(cell: tuple[float, ...]) -> np.ndarray:
    edges, cosines = np.array(cell[:3]), np.cos(np.radians(cell[3:]))
    alpha, beta, gamma = cosines
    return np.outer(edges, edges) * np.array([[1, gamma, beta], [gamma, 1, alpha], [beta, alpha, 1]])


def constants(metric: np.ndarray) -> list[float]:
    edges = np.sqrt(np.diag(metric))
    angles = [math.degrees(math.acos(metric[i, j] / edges[i] / edges[j])) for i, j in ((1, 2), (2, 0), (0, 1))]
    return [*edges.tolist(), *angles]


def test_beam(told: tuple[list[str], dict[str, Any]]) -> None:
    lines, report = told
    assert f"wavelength 1.1 Å ({12398.42 / 1.1:.6g} eV), polarization K = 0.9" in lines
    fluence = 1e12 * 0.5 / 0.05e-3**2
    assert f"fluence {fluence:g} photons/m²" in lines
    shortest, longest = WAVELENGTH * (1 - 0.005), WAVELENGTH * (1 + 0.005)
    assert f"6 sources (grid 3 x 1 directions, 2 wavelengths), {shortest:.6g} to {longest:.6g} Å" in lines
    assert report["resolved"]["fluence_per_m2"] == pytest.approx(fluence, rel=1e-12)
    assert report["resolved"]["sources"] == 3 * 2


def test_detector(told: tuple[list[str], dict[str, Any]]) -> None:
    lines, report = told
    geometry = report["resolved"]["geometry"]
    fast, slow, normal = detector_axes()
    # In the mosflm convention X is along slow, and both count from the middle of the first pixel.
    fbeam, sbeam = 8 + PIXEL / 2, 12 + PIXEL / 2
    origin = DISTANCE * np.array([1, 0, 0]) - fbeam * fast - sbeam * slow
    near = -(origin @ fast), -(origin @ slow), origin @ normal
    orgx, orgy = (near[0] / PIXEL + 0.5, near[1] / PIXEL + 0.5)
    for name, vector in (("fast", fast), ("slow", slow), ("normal", normal)):
        np.testing.assert_allclose(geometry[name], vector, atol=1e-14)
        (line,) = [line for line in lines if line.startswith("fast -")]
        assert f"{name} {' '.join(f'{x:.6g}' for x in vector)}" in line
    np.testing.assert_allclose(1000 * np.array(geometry["origin_m"]), origin, atol=1e-12)
    (printed,) = [line.split(")")[1].split()[:3] for line in lines if line.startswith("outer corner of the first")]
    np.testing.assert_allclose(1000 * np.array(printed, float), origin, atol=1e-11)
    in_mm = {"distance": DISTANCE, "close_distance": near[2], "fbeam": fbeam, "sbeam": sbeam, "fclose": near[0],
             "sclose": near[1], "xbeam": 12.0, "ybeam": 8.0, "pixel": PIXEL}  # fmt: skip
    assert {name: 1000 * geometry[f"{name}_m"] for name in in_mm} == pytest.approx(in_mm, rel=1e-12)
    assert (geometry["orgx_px"], geometry["orgy_px"]) == pytest.approx((orgx, orgy), rel=1e-12)
    assert "20 x 30 pixels (fast x slow) of 0.9 mm, mosflm convention, beam pivot" in lines
    assert f"distance 120 mm along the beam, {near[2]:g} mm to the nearest point" in lines
    assert (
        f"beam centre at fast {fbeam:g}, slow {sbeam:g} mm (Xbeam 12, Ybeam 8), ORGX {orgx:g}, ORGY {orgy:g}" in lines
    )
    assert "2 sensor layers of 150 µm, 1/e depth 250 µm" in lines
    assert (report["resolved"]["layers"], report["resolved"]["layer_step_m"]) == (2, pytest.approx(150e-6))
    assert f"mask mask.img: {LEFT_OUT + 1} pixels not rendered" in lines
    assert "region fast 1 to 15, slow 2 to 25" in lines


def test_crystal(told: tuple[list[str], dict[str, Any]]) -> None:
    lines, report = told
    lattice = report["resolved"]["lattice"]
    direct = metric(CELL)
    reciprocal, volume = np.linalg.inv(direct), math.sqrt(np.linalg.det(direct))
    assert lattice["cell"] == pytest.approx(CELL, rel=1e-12)
    assert lattice["reciprocal_cell"] == pytest.approx(constants(reciprocal), rel=1e-12)
    assert lattice["volume"] == pytest.approx(volume, rel=1e-12)
    for names, expected in ((("a", "b", "c"), direct), (("a_star", "b_star", "c_star"), reciprocal)):
        edges = np.array([lattice[name] for name in names])
        np.testing.assert_allclose(edges @ edges.T, expected, rtol=1e-11)
    # a* lies along x, b* in the plane of x and y, before the misset about x, then y, then z.
    first = (lattice["reciprocal_cell"][0], 0.0, 0.0)
    for about, degrees in (((1, 0, 0), 10), ((0, 1, 0), 20), ((0, 0, 1), 30)):
        first = tuple(turned(first, about, degrees))
    np.testing.assert_allclose(lattice["a_star"], first, atol=1e-15)
    assert np.degrees(lattice["misset_rad"]) == pytest.approx((10, 20, 30), rel=1e-12)
    assert f"cell 71 82 93 77 85 101 (Å, degrees), volume {volume:.6g} Å³" in lines
    assert f"reciprocal cell {' '.join(f'{x:.6g}' for x in constants(reciprocal))} (1/Å, degrees)" in lines
    assert "misset 10.000000 20.000000 30.000000 degrees about x, y, z" in lines
    assert "3 x 4 x 5 unit cells, square" in lines
    assert lattice["cells"] == list(CELLS)
    assert "F of h -2 to 3, k -1 to 4, l -3 to 2, else 50, of the nearest reflection" in lines


def test_sampling(told: tuple[list[str], dict[str, Any]]) -> None:
    lines, report = told
    resolved = report["resolved"]
    longest = max(n * edge for n, edge in zip(CELLS, CELL[:3], strict=True))
    recommended = math.ceil(3 * longest / (WAVELENGTH * DISTANCE / PIXEL))
    assert recommended > 2
    assert resolved["phi_deg"] == pytest.approx([12 + step * 3 / 4 for step in range(4)], rel=1e-12)
    samples = 6 * 4 * 3 * 2**2
    assert (resolved["domains"], resolved["oversample"], resolved["samples_per_pixel"]) == (3, 2, samples)
    assert "4 φ steps from 12 over 3 degrees, 3 mosaic domains within 0.4 degrees" in lines
    assert f"2 x 2 sub-pixels ({recommended} would resolve every fringe), {samples} samples a pixel" in lines
    assert "5 µm of amorphous material" in lines


def test_image(told: tuple[list[str], dict[str, Any]]) -> None:
    lines, report = told
    photons = np.fromfile("floatimage.bin", np.float32).reshape(SLOW, FAST).astype(float)
    fast0, fast1, slow0, slow1 = ROI
    region = photons[slow0 : slow1 + 1, fast0 : fast1 + 1]
    rendered = region[mask()[slow0 : slow1 + 1, fast0 : fast1 + 1] > 0]
    assert region.size - rendered.size == LEFT_OUT
    assert rendered.all()
    slow, fast = (int(index) for index in np.unravel_index(photons.argmax(), photons.shape))
    mean = rendered.mean()
    rms = math.sqrt((rendered**2).sum() / (rendered.size - 1))
    rmsd = math.sqrt(((region - mean) ** 2).sum() / (region.size - 1))
    expected = {"maximum": photons.max(), "maximum_fast": fast, "maximum_slow": slow, "mean": mean, "rms": rms,
                "rmsd": rmsd, "pixels": rendered.size}  # fmt: skip
    assert report["statistics"] == pytest.approx(expected, rel=1e-12)
    assert f"brightest pixel {photons.max():g} photons at fast {fast}, slow {slow}" in lines
    assert f"mean {mean:g}, rms {rms:g}, rmsd {rmsd:g} over {rendered.size} pixels" in lines


def test_counts(told: tuple[list[str], dict[str, Any]]) -> None:
    """The scale that is told makes the integers; the photons that are told are those of the noise image."""
    lines, _ = told
    (scale, offset) = next(map(float, line.split()[4:7:2]) for line in lines if line.startswith("counts = photons x"))
    assert offset == 12
    photons = np.fromfile("floatimage.bin", np.float32).reshape(SLOW, FAST)
    inside = np.zeros((SLOW, FAST), bool)
    inside[ROI[2] : ROI[3] + 1, ROI[0] : ROI[1] + 1] = True
    counts = read_smv("intimage.img").pixels
    assert counts.max() == 55012
    assert np.abs(counts - (photons * scale + offset))[inside].max() < 0.5 + 55000e-6
    read = read_smv("noiseimage.img").pixels.astype(int)
    # Masked pixels are not read: they are 0, without the offset.
    measured = read > 0
    assert (measured <= inside).all()
    assert (inside & ~measured).sum() == (inside & (mask() == 0)).sum()
    counted = read[measured] - 12
    assert f"{counted.sum()} photons counted with -seed 7, 0 overloads" in lines
    assert Path("image.pgm").read_bytes().splitlines()[2] == b"# pixels scaled by 31"


def test_overloads_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(shlex.split(f"{LINE} -flux 3.8e16")) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "overloads" in line]
    overloads = int((read_smv("noiseimage.img").pixels == 65535).sum())
    assert 0 < overloads < 300
    assert f" {overloads} overloads" in line


def test_seconds_are_those_of_each_phase(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """On a clock that only what is named here moves on."""
    from numba.core import event

    now = [100.0]

    def lasting(seconds: float, work: Any, compiling: float = 0.0) -> Any:
        def slow(*args: Any, **options: Any) -> Any:
            result = work(*args, **options)
            now[0] += seconds
            with event.trigger_event("numba:compile"):
                now[0] += compiling
            return result

        return slow

    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    monkeypatch.setattr(batch, "resolve", lasting(1.0, batch.resolve))
    monkeypatch.setattr(batch, "render", lasting(2.0, batch.render, compiling=0.5))
    monkeypatch.setattr("nbnumba.image.scaled_counts", lasting(4.0, scaled_counts))
    monkeypatch.setattr("nbnumba.response.detection.detected", lasting(8.0, detected))
    assert main(shlex.split(LINE)) == 0
    seconds = json.loads(Path("report.json").read_text())["seconds"]
    expected = {"setup": 1.0, "compile": 0.5, "render": 2.0, "noise": 8.0, "write": 4.0, "total": 15.5}
    assert seconds == pytest.approx(expected)
    said = "15.50 in all: setup 1.00, compile 0.50, render 2.00, noise 8.00, write 4.00"
    assert said in capsys.readouterr().out
