"""What is said where a card, a compiler or a library of CUDA fails: one line, and what helps."""

import importlib
import os
import re
import types
from pathlib import Path

import pytest
from test_cuda import fake_provider

from nbnumba.commands import devices
from nbnumba.errors import DeviceError
from nbnumba.render.cuda import cards

MEMORY, OLD_DRIVER, LIBRARY = "ran out of memory", "the driver cannot link", "library of CUDA is missing"
COMPILER, OTHER = "does not compile", "the GPU failed"

REAL = [
    ("cuda.bindings.nvjitlink.nvJitLinkError", 12, COMPILER),
    ("cuda.bindings.nvvm.nvvmError", 3, COMPILER),
    ("cuda.core._utils.cuda_utils.NVRTCError", "NVRTC_ERROR_COMPILATION: more", COMPILER),
    ("cuda.core._utils.cuda_utils.CUDAError", "CUDA_ERROR_OUT_OF_MEMORY: The API call failed", MEMORY),
    ("cuda.core._utils.cuda_utils.CUDAError", "CUDA_ERROR_UNSUPPORTED_PTX_VERSION: more", OLD_DRIVER),
    ("cuda.core._utils.cuda_utils.CUDAError", "CUDA_ERROR_NO_BINARY_FOR_GPU: more", COMPILER),
    ("cuda.core._utils.cuda_utils.CUDAError", "CUDA_ERROR_LAUNCH_FAILED: more", OTHER),
    ("cuda.pathfinder.DynamicLibNotFoundError", 'Failure finding "libnvvm.so.4": No such file: x, y\n z', LIBRARY),
    ("cuda.pathfinder.DynamicLibNotAvailableError", "Library name 'nvvm' is known but not available", LIBRARY),
    ("cuda.bindings._internal.utils.FunctionNotFoundError", "function nvvmLLVMVersion is not found", LIBRARY),
    ("numba.cuda.cudadrv.driver.LinkerError", "libx.a not found", COMPILER),
    ("numba.cuda.cudadrv.error.NvvmError", "Failed to compile", COMPILER),
    ("numba.cuda.cudadrv.error.NvvmSupportError", "libNVVM is not available", LIBRARY),
    ("numba.cuda.cudadrv.error.NvrtcCompilationError", "no", COMPILER),
    ("numba.core.errors.TypingError", "Cannot unify", COMPILER),
    ("builtins.RuntimeError", "Missing libdevice file.\n``cuda-nvcc`` and ``cuda-nvrtc`` are required", LIBRARY),
    ("builtins.RuntimeError", "Call to cuMemAlloc results in CUDA_ERROR_OUT_OF_MEMORY", MEMORY),
]


def raised(where: str, said: object) -> Exception:
    """An error of the class at ``where``, skipping the test where the package or its class is not there."""
    module, _, name = where.rpartition(".")
    kind = getattr(pytest.importorskip(module, exc_type=ImportError), name, None)
    if kind is None:
        pytest.skip(f"no {where}")
    error = kind(said)
    assert isinstance(error, Exception)
    return error


@pytest.mark.parametrize(("where", "text", "says"), REAL)
def test_errors_of_the_packages_are_told_apart(
    monkeypatch: pytest.MonkeyPatch, where: str, text: object, says: str
) -> None:
    error = raised(where, text)
    monkeypatch.setattr(cards, "cuda_provider", fake_provider)
    with pytest.raises(DeviceError, match=says) as caught, cards.on(0):
        raise error
    assert str(caught.value).endswith("or use -backend cpu")
    assert "\n" not in str(caught.value)
    assert ("pip install" in str(caught.value)) == (says in (LIBRARY, OLD_DRIVER))


@pytest.mark.parametrize("name", ["nvJitLinkError", "nvvmError", "NVRTCError", "NvvmError", "LinkerError"])
def test_a_compiler_is_known_by_the_name_of_its_error_or_of_what_it_derives_from(name: str) -> None:
    own = type(name, (RuntimeError,), {})
    for kind in (own, type("Derived", (own,), {})):
        assert COMPILER in cards._failure(kind("ptxas died"))


def test_of_a_library_that_is_missing_one_line_names_it_and_the_remedies() -> None:
    missing = type("DynamicLibNotFoundError", (RuntimeError,), {})
    text = 'Failure finding "libnvvm.so.4": No such file: libnvvm.so.4, No such file: libnvvm.so.4\n  listdir("/x"):'
    assert cards._failure(missing(text)) == (
        'a library of CUDA is missing or of another release (Failure finding "libnvvm.so.4"): '
        "pip install 'nbnumba[cuda]', or set CUDA_HOME to the folder of a CUDA toolkit, or use -backend cpu"
    )


@pytest.mark.parametrize(
    ("set_", "named"),
    [
        ({}, "CUDA_HOME, which is not set"),
        ({"CUDA_HOME": "/opt/x"}, "CUDA_HOME=/opt/x"),
        ({"CUDA_HOME": "/opt/x", "CUDA_PATH": "/opt/y"}, "CUDA_PATH=/opt/y or CUDA_HOME=/opt/x"),
    ],
)
def test_without_a_compiler_it_is_said_where_it_was_looked_for(
    monkeypatch: pytest.MonkeyPatch, set_: dict[str, str], named: str
) -> None:
    for name in ("CUDA_HOME", "CUDA_PATH"):
        monkeypatch.delenv(name, raising=False)
    for name, folder in set_.items():
        monkeypatch.setenv(name, folder)
    monkeypatch.setattr(cards, "cuda_provider", lambda: fake_provider(compiler="no libnvvm.so"))
    reason = str(cards.why_unusable())
    assert "no libnvvm.so" in reason
    assert f"the wheel nvidia-nvvm, the loader's folders and {named})" in reason
    assert reason.endswith("set CUDA_HOME to the folder of a CUDA toolkit")


@pytest.fixture
def provider() -> types.ModuleType:
    provider = importlib.import_module("nbnumba.kernels.cuda.provider")
    if provider.is_simulator:
        pytest.skip("the simulator compiles nothing")
    return provider


@pytest.mark.parametrize(
    ("made", "before", "after"),
    [
        (["nvvm"], {}, True),
        ([], {}, False),
        (["nvvm"], {"CUDA_HOME": "/opt/x"}, False),
        (["nvvm"], {"CUDA_PATH": "/opt/x"}, False),
    ],
    ids=["a toolkit", "no libnvvm beside it", "CUDA_HOME says otherwise", "CUDA_PATH says otherwise"],
)
def test_the_toolkit_of_nvcc_is_looked_in_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, provider: types.ModuleType, made: list[str],
    before: dict[str, str], after: bool,
) -> None:  # fmt: skip
    """Through a link, as systems lay one to the newest of several toolkits."""
    toolkit = tmp_path / "cuda-13.0"
    (toolkit / "bin").mkdir(parents=True)
    for folder in made:
        (toolkit / folder).mkdir()
    (toolkit / "bin" / "nvcc").touch(mode=0o755)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "nvcc").symlink_to(toolkit / "bin" / "nvcc")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    for name in ("CUDA_HOME", "CUDA_PATH"):
        # Set first, so that what is set here goes again.
        monkeypatch.setenv(name, "")
        monkeypatch.setenv(name, before.get(name, ""))
    provider.use_toolkit_of_nvcc()
    wanted = str(toolkit) if after else before.get("CUDA_HOME", "")
    assert os.environ["CUDA_HOME"] == wanted


def test_devices_names_compiler_linker_and_toolkit(
    capsys: pytest.CaptureFixture[str], provider: types.ModuleType
) -> None:
    """Those that are installed, without a card."""
    if provider.compiler_error():
        pytest.skip("no compiler")
    assert devices.main([]) == 0
    printed = capsys.readouterr().out
    compiler = re.search(r"^compiler  (.+)$", printed, re.MULTILINE)
    assert compiler
    assert "nvvm" in Path(compiler[1]).name
    assert Path(compiler[1]).exists()
    assert re.search(r"^toolkit   1[2-9]\.\d+$", printed, re.MULTILINE)
    assert re.search(r"^linker    (nvJitLink \d+\.\d+|the driver's, .+)$", printed, re.MULTILINE)


def test_devices_says_what_cannot_be_found(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def missing() -> str:
        raise RuntimeError('Failure finding "libnvvm.so.4": No such file: libnvvm.so.4\n  listdir("/x"):')

    fake = fake_provider(compiler="no libnvvm.so")
    fake.compiler_library, fake.linker = missing, lambda: "nvJitLink 13.5"
    monkeypatch.setattr(cards, "cuda_provider", lambda: fake)
    assert devices.main([]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert 'compiler  none (Failure finding "libnvvm.so.4")' in printed
    assert "linker    nvJitLink 13.5" in printed
    assert "driver    13.0" in printed
