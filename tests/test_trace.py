"""How a pixel's value comes about, and where two accounts of it part."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import shlex
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nbnumba.cli import main
from nbnumba.comparison.taps import CHAIN, Key
from nbnumba.comparison.trace import Trace, brightest_pixels, first_evaluated_pixel, trace_backend, trace_pixel
from nbnumba.comparison.trace_diff import Diff, diff_traces
from nbnumba.comparison.trace_files import read_trace
from nbnumba.errors import InputFileError
from nbnumba.nanobragg.parse import parse
from nbnumba.render.job import render
from nbnumba.setup.inputs import read_inputs
from nbnumba.setup.resolve import Resolved, resolve
from nbnumba.tolerances import DOUBLE, FLOAT32, MIXED_SHARE, TAPS

pytestmark = pytest.mark.filterwarnings("ignore::nbnumba.errors.NbnumbaWarning")

JSON = '{"config": {}, "detector": {}, "pixel": {}, "scaling": {}, "arithmetic": "reference", "phi": [%s]}'

HERE = Path(__file__).parent
SHARED = HERE.parent.parent / "shared"
PILATUS = json.loads((HERE / "golden" / "pilatus_args.json").read_text())
PIXELS = ((1039, 685), (1200, 1300), (400, 2000))

SMALL = shlex.split("-cell 70 80 90 -N 5 -default_F 100 -detpixels 32 -pixel 1 -oversample 1")
EVERYTHING = shlex.split(
    "-cell 70 80 90 75 85 95 -misset 10 20 30 -Na 3 -Nb 4 -Nc 5 -default_F 100 -detpixels 32 -pixel 1 -oversample 2 "
    "-detector_abs 300 -detector_thick 450 -detector_thicksteps 3 -detector_rotx 5 -twotheta 7 -polar 0.9 -water 0.01 "
    "-mosaic 0.5 -mosaic_domains 2 -phi 0 -osc 1 -phisteps 3 -divergence 5 -divsteps 2 -dispersion 1 -dispsteps 2"
)
FACTORS = ["-oversample_omega", "-oversample_polar", "-oversample_thick"]


def resolved(*args: str) -> Resolved:
    experiment = parse(args).experiment
    return resolve(experiment, read_inputs(experiment))


@pytest.fixture
def pilatus(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Resolved]:
    if not SHARED.is_dir():
        pytest.skip("the Pilatus data are not here")
    monkeypatch.chdir(SHARED / "data" / "pilatus")
    return lambda *options: resolved(*options, *PILATUS)


def recorded_log(slow: int, fast: int) -> Path:
    return SHARED / "golden" / f"pilatus_trace_s{slow}_f{fast}.log"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A log as an instrumented nanoBragg has it."""
    trace = trace_pixel(resolved(*SMALL, "-phi", "10", "-osc", "1", "-phisteps", "8", "-xds"), 9, 14)
    (tmp_path / "a.log").write_text("".join(f"{line}\n" for line in trace.lines()).replace("TRACE_PY", "TRACE_C"))
    return tmp_path / "a.log"


def written(trace: Trace, path: Path) -> str:
    content = json.dumps(trace.to_dict()) if path.suffix == ".json" else "\n".join(trace.lines())
    path.write_text(content)
    return str(path)


def compared(a: str | Path, b: str | Path) -> Diff:
    return diff_traces(read_trace(str(a)), read_trace(str(b)))


def without_values(line: str) -> str:
    return re.sub(r"(?<=[= :])-?[\d.]+(e[-+]\d+)?", "N", line.replace("TRACE_C:", "TRACE_PY:").replace("_C_", "_PY_"))


def times(factor: float) -> Callable[[re.Match[str]], str]:
    """Replaces the number that is the second group."""
    return lambda match: f"{match[1]}{float(match[2]) * factor:.15g}"


# The trace -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("slow", "fast"), PIXELS)
def test_trace_of_mode_c_is_the_recorded_one_line_by_line(
    pilatus: Callable[..., Resolved], slow: int, fast: int, tmp_path: Path
) -> None:
    trace = trace_pixel(pilatus("-mode", "c"), slow, fast)
    recorded = recorded_log(slow, fast)
    assert list(map(without_values, trace.lines())) == list(map(without_values, recorded.read_text().splitlines()))
    for name in ("trace.log", "trace.json"):
        assert compared(recorded, written(trace, tmp_path / name)).differences == ()


def test_cell_at_phi_zero_in_both_modes(pilatus: Callable[..., Resolved]) -> None:
    from scipy.spatial.transform import Rotation

    recorded = read_trace(str(recorded_log(1039, 685))).taps
    kept = trace_pixel(pilatus("-mode", "c"), 1039, 685).phi[0]
    assert kept["k_frac"] == pytest.approx(recorded[Key("k_frac", 0)][0], abs=1e-12)
    assert kept["rot_b_angstroms"][1] == pytest.approx(recorded[Key("rot_b_angstroms")][1], abs=1e-12)

    experiment = pilatus("-mode", "c", "-phi_carryover", "spec")
    turned = trace_pixel(experiment, 1039, 685).phi
    for step in (turned[0], turned[4]):
        rotation = Rotation.from_rotvec(np.radians(step["phi_deg"]) * np.array([-1.0, 0.0, 0.0]))
        b = rotation.apply(experiment.lattice.b)
        assert step["rot_b_angstroms"] == pytest.approx(b, abs=1e-12)
        assert step["k_frac"] == pytest.approx(b @ np.array(step["scattering_vec_A_inv"]) * 1e-10, abs=1e-12)
    assert abs(kept["k_frac"] - turned[0]["k_frac"]) > 1e-3


@pytest.mark.parametrize(
    "args",
    [
        pytest.param(["-mode", "spec", *EVERYTHING], id="everything-spec"),
        pytest.param(["-mode", "c", *EVERYTHING], id="everything-c"),
        pytest.param(["-mode", "spec", *EVERYTHING, *FACTORS, "-dmin", "12"], id="factors-spec"),
        pytest.param(["-mode", "c", *EVERYTHING, *FACTORS, "-dmin", "12"], id="factors-c"),
        pytest.param(["-mode", "c", *EVERYTHING, "-dmin", "900"], id="all-skipped-c"),
        pytest.param(["-mode", "spec", *EVERYTHING, "-dmin", "900"], id="all-skipped-spec"),
        pytest.param([*SMALL, "-round_xtal", "-nopolar", "-curved_det"], id="round"),
    ],
)
def test_traced_photons_are_those_of_the_reference_renderer(args: list[str]) -> None:
    experiment = resolved(*args)
    slow, fast = 9, 14
    trace = trace_pixel(experiment, slow, fast)
    image = render(experiment, "reference").photons
    assert trace.scaling["floatimage_accumulated"] == float(image[slow, fast])
    assert trace.to_dict()["phi"][0]["phi_deg"] == 0.0


@pytest.mark.parametrize(
    ("args", "first"),
    [
        pytest.param([*SMALL, "-misset", "10", "20", "30"], (0, 0), id="corner"),
        pytest.param(EVERYTHING, (0, 0), id="everything"),
        pytest.param([*EVERYTHING, *FACTORS], (0, 0), id="factors"),
        pytest.param([*EVERYTHING, "-roi", "4", "9", "3", "9"], (3, 4), id="region"),
        pytest.param([*SMALL, "-misset", "10", "20", "30", "-dmin", "12"], None, id="dmin"),
    ],
)
def test_first_sample_of_an_image_of_mode_c_finds_the_unrotated_cell(
    args: list[str], first: tuple[int, int] | None
) -> None:
    experiment = resolved("-mode", "c", *args, "-phi", "0", "-osc", "1", "-phisteps", "3")
    image = render(experiment, "reference").photons
    found = first_evaluated_pixel(experiment.plan)
    if first is None:
        first = tuple(np.argwhere(image > 0)[0])
        assert first > (0, 0)
    assert found == first
    slow, fast = first
    trace = trace_pixel(experiment, slow, fast)
    backend = trace_backend(experiment, slow, fast, "cpu", "double")
    for photons in (trace, backend):
        assert photons.scaling["floatimage_accumulated"] == pytest.approx(float(image[slow, fast]), rel=FLOAT32)
    edges = [trace.phi[0][f"rot_{axis}_angstroms"] for axis in "abc"]
    unrotated = [getattr(experiment.lattice, axis) for axis in "abc"]
    np.testing.assert_allclose(edges, unrotated, rtol=1e-14)
    assert trace_pixel(experiment, slow, fast + 1).phi[0]["rot_b_angstroms"] != trace.phi[0]["rot_b_angstroms"]
    assert [step.get("photons") for step in backend.phi] == [step.get("photons") for step in trace.phi]


def test_reciprocal_vectors_of_a_step_are_dual_to_its_cell() -> None:
    for step in trace_pixel(resolved(*EVERYTHING), 3, 4).phi:
        direct = np.array([step[f"rot_{axis}_angstroms"] for axis in "abc"])
        dual = np.array([step[f"rotated_{axis}_star_A_inv"] for axis in "abc"])
        np.testing.assert_allclose(direct @ dual.T, np.eye(3), atol=1e-12)
        assert step["V_actual"] == pytest.approx(np.linalg.det(direct))


@pytest.mark.parametrize(
    ("mode", "precision", "relative"),
    [("spec", "double", DOUBLE.relative), ("c", "double", DOUBLE.relative), ("spec", "mixed", MIXED_SHARE)],
)
def test_backend_has_the_same_share_of_every_phi_step(mode: str, precision: str, relative: float) -> None:
    experiment = resolved("-mode", mode, *EVERYTHING)
    plain, fast = trace_pixel(experiment, 9, 14), trace_backend(experiment, 9, 14, "cpu", precision)
    shares = [step["photons"] for step in fast.phi]
    assert shares == pytest.approx([step["photons"] for step in plain.phi], rel=relative)
    assert len(set(shares)) > 1
    assert fast.scaling["floatimage_accumulated"] == pytest.approx(plain.scaling["I_pixel_final"], rel=relative)


def test_shares_of_the_steps_add_up() -> None:
    trace = trace_pixel(resolved(*SMALL, "-phi", "0", "-osc", "1", "-phisteps", "4"), 9, 14)
    assert sum(step["photons"] for step in trace.phi) == pytest.approx(trace.scaling["I_pixel_final"])


def test_masked_out_pixel_has_no_photons_in_the_image() -> None:
    experiment = resolved(*SMALL, "-roi", "0", "3", "0", "3")
    for trace in (trace_pixel(experiment, 9, 14), trace_backend(experiment, 9, 14, "cpu", "double")):
        assert trace.scaling["floatimage_accumulated"] == 0.0
        assert trace.phi[0]["photons"] > 0.0


def test_brightest_pixels_come_first() -> None:
    assert brightest_pixels(np.array([[1.0, 5.0], [7.0, 5.0]]), 3) == [(1, 0), (0, 1), (1, 1)]


# The command -----------------------------------------------------------------------------------------------------


def test_trace_pixel_option_prints_a_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*SMALL, "-quiet", "-nopgm", "-nonoise", "-trace_pixel", "9", "14"]) == 0
    assert capsys.readouterr().out.splitlines() == list(trace_pixel(resolved(*SMALL), 9, 14).lines())


def test_command_writes_traces_and_what_made_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    Path("spots.hkl").write_text("1 2 3 50\n-1 0 2 70\n")
    options = ["-pixel", "9", "14", "-brightest", "1", "-precision", "mixed", "-mode", "c", "-out", "kept"]
    assert main(["trace", *options, "--", *SMALL, "-hkl", "spots.hkl"]) == 0
    image = render(resolved("-mode", "c", *SMALL, "-hkl", "spots.hkl"), "cpu").photons
    brightest = np.unravel_index(np.argmax(image), image.shape)
    stems = [f"trace_s{slow}_f{fast}" for slow, fast in ((9, 14), brightest)]
    names = {f"{stem}{end}" for stem in stems for end in (".log", ".json", "_cpu_mixed.json")}
    provenance = json.loads(Path("kept/provenance.json").read_text())
    assert {path.name for path in Path("kept").iterdir()} == names | {"provenance.json"}
    assert provenance["outputs"] == {name: hashlib.sha256((Path("kept") / name).read_bytes()).hexdigest()
                                     for name in names}  # fmt: skip
    assert provenance["inputs"] == {"spots.hkl": hashlib.sha256(Path("spots.hkl").read_bytes()).hexdigest()}
    assert provenance["environment"]["OMP_NUM_THREADS"] == "1"
    assert {"versions", "processor", "commit", "seconds"} <= provenance.keys()
    assert not Path("Fdump.bin").exists()
    whole, mixed = f"kept/{stems[1]}.json", f"kept/{stems[1]}_cpu_mixed.json"
    assert json.loads(Path(whole).read_text())["mode"] == "c"
    assert main(["trace-diff", whole, mixed, "-tol", "photons=5e-6", "-tol", "floatimage_accumulated=5e-6"]) == 0


def test_seed_that_was_drawn_repeats_the_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(time, "time_ns", lambda: 123_456_789 * 10**9)
    args = [*SMALL, "-misset", "random", "-mode", "c-parity"]
    assert main(["trace", "-pixel", "9", "14", "-out", "drawn", "--", *args]) == 0
    monkeypatch.undo()
    seed = json.loads((tmp_path / "drawn" / "provenance.json").read_text())["seed"]
    again = trace_pixel(resolved(*args, "-seed", str(seed)), 9, 14)
    assert (tmp_path / "drawn" / "trace_s9_f14.log").read_text().splitlines() == list(again.lines())


@pytest.mark.parametrize(
    ("argv", "status"),
    [
        pytest.param(
            ["trace", "-pixel", "9", "0", "-backend", "reference", "-precision", "mixed", "--", *SMALL], 2, id="mixed"
        ),
        pytest.param(["trace", "-pixel", "99", "0", "--", *SMALL], 2, id="outside"),
        pytest.param(["trace", "-pixel", "9", "0"], 2, id="no-experiment"),
        pytest.param(["trace", "--", *SMALL], 2, id="no-pixel"),
        pytest.param(["trace-diff", "one.log"], 2, id="one-file"),
        pytest.param(["trace-diff", "a", "b", "-format", "xml"], 2, id="format"),
        pytest.param(["trace-diff", "a.log", "a.log"], 0, id="same"),
        pytest.param(["trace-diff", "a.log", "a.log", "-tol", "nonsense=1"], 2, id="no-such-tap"),
        pytest.param(["trace-diff", "a.log", "a.log", "-tol", "polar=-1"], 2, id="tolerance"),
        pytest.param(["trace-diff", "a.log", "absent.log"], 3, id="absent"),
        pytest.param(["trace-diff", "a.log", "binary"], 3, id="binary"),
    ],
)
def test_exit_status(argv: list[str], status: int, log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(log.parent)
    Path("binary").write_bytes(bytes(range(256)))
    assert main(argv) == status


@pytest.mark.parametrize(
    ("command", "word"), [("trace", "-brightest"), ("trace-diff", "1    what was compared differs")]
)
def test_help(command: str, word: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([command, "-h"])
    assert stop.value.code == 0
    assert word in capsys.readouterr().out


# The difference --------------------------------------------------------------------------------------------------


def test_mode_spec_parts_from_the_recorded_log_at_phi_zero(
    pilatus: Callable[..., Resolved], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = recorded_log(1039, 685)
    spec = written(trace_pixel(pilatus(), 1039, 685), tmp_path / "spec.log")
    diff = compared(log, spec)
    assert diff.first is not None
    assert (diff.first.key, diff.label) == (Key("k_frac", 0), "C-9")
    assert dict(diff.depends_on(diff.first.key)) == {"rot_b_angstroms": "differs", "scattering_vec_A_inv": "agrees"}
    assert {difference.key.phi_tic for difference in diff.differences} == {0, None}

    argv = ["trace-diff", str(log), spec, "-per-phi", "-scaling"]
    assert main(argv) == 1
    text = capsys.readouterr().out
    assert "first divergence: k_frac of φ step 0" in text
    assert "C-9: " in text
    assert main([*argv, "-format", "markdown"]) == 1
    rows = [line.count("|") for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    assert sorted(set(rows)) == [5, 6, 7]
    assert main([*argv, "-format", "json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["first"]["tap"], told["first"]["phi_tic"], told["first"]["label"]) == ("k_frac", 0, "C-9")
    assert [bool(step["beyond_tolerance"]) for step in told["per_phi"]] == [True] + [False] * 9
    assert [step["phi_tic"] for step in told["per_phi"]] == list(range(10))
    assert told["per_phi"][0]["k_frac"] == pytest.approx(0.00688, abs=1e-5)
    ratios = {name: factor["ratio"] for name, factor in told["scaling"].items()}
    assert ratios["I_pixel_final"] == pytest.approx(ratios["I_before_scaling"], rel=1e-9)
    assert ratios["steps"] == ratios["F_cell"] == 1.0


@pytest.mark.parametrize(
    ("old", "new", "first"),
    [
        pytest.param(r"(: R_distance_meters )(\S+)", 1 + 3e-9, Key("R_distance_meters"), id="perturbed"),
        pytest.param(r"(: pixel_pos_meters \S+ )(\S+)", 1 - 1e-7, Key("pixel_pos_meters"), id="perturbed-vector"),
        pytest.param(r"(phi_tic=5 .*k_frac=)(\S+)", 1 + 1e-8, Key("k_frac", 5), id="perturbed-index"),
        pytest.param(r"(phi_tic=3 .* F_latt=)(\S+)", -1.0, Key("F_latt", 3), id="sign"),
        pytest.param(r"(: F_latt_b )(\S+)", -1.0, Key("F_latt_b"), id="sign-in-block"),
        pytest.param(r"(: steps )(\S+)", math.nan, Key("steps"), id="not-a-number"),
        pytest.param(r"(spixel=)(\d+)", 2, Key("spixel"), id="another-pixel"),
        pytest.param(r"(Xclose:)(\S+)", 1 + 3e-7, Key("beam_center_m"), id="perturbed-small-number"),
        pytest.param(r"(: I_before_scaling )(\S+)", 1 + 3e-9, Key("I_before_scaling"), id="perturbed-sum"),
        pytest.param(r"TRACE_C: polar .*\n", "", Key("polar"), id="missing"),
        pytest.param(r"TRACE_C_PHI phi_tic=7 .*\n", "", Key("phi_deg", 7), id="missing-step"),
        pytest.param("=XDS", "=DIALS", Key("detector_convention"), id="word"),
        pytest.param("TRACE_C: polar", r"TRACE_C: new_tap 1\n\g<0>", Key("new_tap"), id="tap-of-its-own"),
    ],
)
def test_one_changed_tap_is_found_and_named(old: str, new: float | str, first: Key, log: Path) -> None:
    other = log.with_name("b.log")
    other.write_text(re.sub(old, new if isinstance(new, str) else times(new), log.read_text()))
    for pair in ((log, other), (other, log)):
        diff = compared(*pair)
        assert {difference.key.name for difference in diff.differences} >= {first.name}
        assert diff.first is not None
        assert (diff.first.key, diff.label) == (first, None)


def test_what_is_within_tolerance_agrees_and_tolerances_can_be_given(log: Path) -> None:
    other = log.with_name("b.log")
    for factor, options, status in ((1 + 3e-10, [], 0), (1 + 3e-9, [], 1), (1 + 3e-9, ["-tol", "polar=1e-8"], 0)):
        other.write_text(re.sub(r"(: polar )(\S+)", times(factor), log.read_text()))
        assert main(["trace-diff", str(log), str(other), *options]) == status


@pytest.mark.parametrize(
    ("content", "where"),
    [
        pytest.param("", "no line", id="empty"),
        pytest.param("TRACE_C: polar 1\nTRACE_C: steps\n", ":2:", id="no-value"),
        pytest.param("TRACE_C: fdet_vec 1 0 zero\n", ":1:", id="no-number"),
        pytest.param("TRACE_C_PHI phi_tic=0 k_frac\n", ":1:", id="no-pair"),
        pytest.param("TRACE_C: polar 1\n\nTRACE_PY: polar 1\n", ":3:", id="twice"),
        pytest.param("TRACE_C_PHI k_frac=1\n", ":1:", id="no-step"),
        pytest.param(JSON % '{"phi_tic": 0, "k_frac": "nonsense"}', "no number", id="word-for-an-index"),
        pytest.param(JSON % '{"phi_tic": "first", "k_frac": 1}', "integer", id="word-for-a-step"),
        pytest.param(JSON % '{"phi_tic": 0, "k_frac": 1%s}' % ("0" * 400), "float", id="huge"),
        pytest.param('{"phi": []}', "config", id="other-json"),
        pytest.param('{"phi": [', "JSON", id="broken-json"),
    ],
)
def test_unreadable_trace_is_told_by_line(content: str, where: str, tmp_path: Path) -> None:
    (tmp_path / "trace").write_text(content)
    with pytest.raises(InputFileError, match=where) as error:
        read_trace(str(tmp_path / "trace"))
    assert error.value.exit_status == 3


@pytest.mark.parametrize("value", ["nonsense", "n", "nan", "inf"])
def test_tap_that_is_no_number_is_told(value: str, log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = log.with_name("b.log")
    other.write_text(re.sub(r"(?<=: polar )\S+", value, log.read_text()))
    argv = ["trace-diff", str(other), str(log), "-per-phi", "-scaling"]
    assert main(argv) == 1
    capsys.readouterr()
    assert main([*argv, "-format", "json"]) == 1
    told = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    (polar,) = [difference for difference in told["differences"] if difference["tap"] == "polar"]
    assert polar["a"] in (value, [value])


def test_output_around_a_log_is_skipped(log: Path) -> None:
    other = log.with_name("stdout")
    other.write_text(f"nanoBragg\n{log.read_text()}mean 12\n")
    assert compared(log, other).differences == ()


@pytest.mark.parametrize(
    ("args", "label"),
    [
        pytest.param("-sdet_vector 0 1 0 -odet_vector 1 0.1 0", "C-2", id="normal"),
        pytest.param("-close_distance 100 -detector_rotx 5", "C-3", id="pivot"),
        pytest.param("-twotheta 10", "C-4", id="twotheta"),
        pytest.param("-pix0_vector 0.1 0.01 -0.02 -pivot sample", "C-5", id="corner"),
        pytest.param("-curved_det", "C-6", id="curved"),
        pytest.param("-phi 0 -osc 1 -phisteps 3", "C-9", id="phi"),
        pytest.param("-phi -1 -osc 2 -phistep 1 -phisteps 3", "C-9", id="phi-in-the-middle"),
        pytest.param("-detector_abs 300 -detector_thick 450 -detector_thicksteps 3", "C-20", id="layers"),
        pytest.param("-oversample 2 -oversample_polar", "C-11", id="factors"),
        pytest.param("-water 100 -fluence 1e25", None, id="no-pattern"),
    ],
)
def test_known_difference_between_the_modes_is_named(args: str, label: str | None, tmp_path: Path) -> None:
    spec, c = (
        written(trace_pixel(resolved(*SMALL, *args.split(), "-mode", mode), 9, 14), tmp_path / f"{mode}.json")
        for mode in ("spec", "c")
    )
    for pair in ((spec, c), (c, spec)):
        diff = compared(*pair)
        assert diff.first is not None
        assert diff.label == label
        assert dict(diff.depends_on(diff.first.key))


def test_chain_knows_every_tap(tmp_path: Path) -> None:
    trace = read_trace(written(trace_pixel(resolved(*EVERYTHING), 9, 14), tmp_path / "trace.json"))
    assert {key.name for key in trace.taps} <= CHAIN.keys()
    assert TAPS.keys() <= CHAIN.keys()
    for number, name in enumerate(CHAIN):
        later = set(list(CHAIN)[number:]) & set(CHAIN[name])
        assert later <= ({"rot_b_angstroms"} if name == "k_frac" else set()), name


@pytest.mark.skipif(sys.platform != "linux", reason="needs file names of any bytes")
def test_provenance_gives_back_a_file_name_that_is_no_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    name = os.fsdecode(b"\xff.hkl")
    Path(name).write_text("0 0 1 5\n0 0 2 7\n")
    assert main(["trace", "-pixel", "3", "4", "--", *SMALL, "-hkl", name]) == 0
    provenance = json.loads(Path("provenance.json").read_text("utf-8"))
    assert name in provenance["arguments"]
    assert list(provenance["inputs"]) == [name]
