"""The folder in which compiled kernels are kept, and what of it is believed.

Numba's own cache does not see an edit in a function that a cached one calls. So the folder's name holds a hash of
all kernel sources, of the versions of Numba and Python, and of the processor: what is found there was compiled from
this text.

A file there is machine code in a pickle, which can do anything when it is loaded, and crash what runs it. So a folder
into which others can write is not used; every file carries a checksum, and one that does not have it is compiled
anew. What cannot be read or written costs time, never an image.
"""

import hashlib
import os
import pickle
import secrets
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import cache
from pathlib import Path
from typing import Any

import llvmlite.binding
import numba
from numba.core.caching import NullCache
from numba.core.compiler import CompileResult
from numba.core.runtime import _nrt_python as runtime
from numba.core.serialize import dumps

SUM_BYTES = hashlib.sha256().digest_size

_first_trouble: str | None = None
_told = False


def _trouble(text: str) -> None:
    """Note what is wrong with the folder; the first thing says enough."""
    global _first_trouble
    _first_trouble = _first_trouble or text


def untold_trouble() -> str | None:
    """What is wrong with the folder, for whom asks first; then None."""
    global _told
    if _told:
        return None
    _told = _first_trouble is not None
    return _first_trouble


def cache_root() -> Path:
    """The user's cache directory for nbnumba, whatever the platform; a RuntimeError for a user without a home."""
    if sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    elif sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "nbnumba"


def text_of(sources: Path) -> "hashlib._Hash":
    """The hash of all that is written in a folder's modules."""
    digest = hashlib.sha256()
    for path in sorted(sources.rglob("*.py")):
        digest.update(path.relative_to(sources).as_posix().encode() + b"\0" + path.read_bytes())
    return digest


def source_hash(sources: Path) -> str:
    """What decides what the kernels in a folder are compiled to."""
    digest = text_of(sources)
    cpu = llvmlite.binding.get_host_cpu_name() + llvmlite.binding.get_host_cpu_features().flatten()
    digest.update(f"{numba.__version__} {sys.version} {cpu}".encode())
    return digest.hexdigest()[:16]


def cache_folder(sources: Path) -> str | None:
    """Where compiled kernels are kept; None where nothing can be: they are compiled at every run."""
    try:
        folder = Path(os.environ.get("NUMBA_CACHE_DIR") or cache_root()) / f"kernels-{source_hash(sources)}"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
    except (OSError, RuntimeError):
        return None
    strange = None
    if os.name == "posix" and status.st_uid != os.geteuid():
        strange = "it is another user's"
    elif os.name == "posix" and status.st_mode & 0o022:
        strange = "others may write into it"
    if strange is not None:
        _trouble(f"compiled kernels are not taken from {folder} nor kept there, for {strange}: remove it")
    return str(folder) if strange is None and os.access(folder, os.R_OK | os.W_OK | os.X_OK) else None


SOURCES = Path(__file__).resolve().parent.parent
CACHE_FOLDER = cache_folder(SOURCES)


@cache
def _module_name(source: Path) -> str:
    """By which functions of the same name in two modules are told apart."""
    source = source.resolve()
    return ".".join(source.relative_to(SOURCES).with_suffix("").parts if SOURCES in source.parents else [source.stem])


class Kept(NullCache):
    """What has been compiled of one function, on disk: what a dispatcher of Numba asks before and tells afterwards.

    Parameters
    ----------
    function : function
    folder : str
    reduce, rebuild : callable
        Make something of what was compiled that can be pickled; and make it again, in a context of Numba's target.
    target : callable, optional
        Gives a context manager, inside which the target's own types are known.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        folder: str,
        reduce: Callable[[Any], Any],
        rebuild: Callable[[Any, Any], Any],
        target: Callable[[], AbstractContextManager[Any]] = nullcontext,
    ) -> None:
        source = Path(function.__code__.co_filename)
        self._folder, self._reduce, self._rebuild, self._target = folder, reduce, rebuild, target
        self._name = f"{_module_name(source)}.{function.__qualname__}"
        self._text = _text_hash(source)
        self._context: Any = None

    @property
    def cache_path(self) -> str:
        """For Numba's statistics."""
        return self._folder

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """What was compiled for these types; None where that is not there or not as it was written."""
        with self._target():
            self._context = target_context
            identity = self._identity(sig)
            path = self._path(identity)
            try:
                with open(path, "rb") as file:
                    content = file.read()
            except FileNotFoundError:
                return None
            except OSError as error:
                _trouble(f"compiled kernels cannot be read ({path}: {error.strerror}): they are compiled anew")
                return None
            if content[:SUM_BYTES] != _sum(identity, content[SUM_BYTES:]):
                _trouble(f"compiled kernels are damaged ({path}): they are compiled anew")
                return None
            return self._rebuild(target_context, pickle.loads(content[SUM_BYTES:]))

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep what was compiled; asked before for the same types."""
        state = self._reduce(data)
        if state is None:
            return
        identity, pickled = self._identity(sig), dumps(state)
        path = self._path(identity)
        temporary = f"{path}.{secrets.token_hex(8)}.tmp"
        try:
            with open(temporary, "xb") as file:
                file.write(_sum(identity, pickled) + pickled)
            os.replace(temporary, path)
        except OSError as error:
            with suppress(OSError):
                os.unlink(temporary)
            _trouble(f"compiled kernels cannot be kept ({path}: {error.strerror}): the next run compiles them anew")

    def _identity(self, sig: Any) -> bytes:
        """All that says for what the code is."""
        return f"{self._name} {self._text} {sig} {self._context.codegen().magic_tuple()}".encode()

    def _path(self, identity: bytes) -> str:
        name = self._name.replace("<", "").replace(">", "")
        return os.path.join(self._folder, f"{name}-{hashlib.sha256(identity).hexdigest()[:24]}.kernel")


@cache
def _text_hash(source: Path) -> str:
    return hashlib.sha256(source.read_bytes()).hexdigest()


def _sum(identity: bytes, pickled: bytes) -> bytes:
    # With what the code is for: a file in another's place is as wrong as one of other bytes.
    digest = hashlib.sha256(identity)
    digest.update(pickled)
    return digest.digest()


def kept_for_cpu(function: Callable[..., Any], folder: str) -> Kept:
    """The cache of a function that is compiled for the processor.

    Numba's own makes all ready to compile callers of what it loads, which takes longer than a small image: it parses
    the bitcode, and lets the context learn all that can be compiled. Here the one waits for the first caller, the
    other for the first compilation, which sees to it itself.
    """
    return Kept(function, folder, _reduced, _rebuilt)


def _reduced(result: CompileResult) -> Any:
    # As Numba has it: addresses of this process are of no use to the next.
    if result.lifted or result.library.has_dynamic_globals:
        return None
    (name, kind, (code, bitcode)), *described, environments = result._reduce()
    module = result.library._final_module
    declared = [each.name for each in (*module.functions, *module.global_variables) if each.is_declaration]
    called = [symbol for symbol in declared if not symbol.startswith("llvm.")]
    names = "\n".join(f'@"{each.name}" = global i8 0' for each in module.functions if not each.is_declaration)
    library = (name, kind, (code, llvmlite.binding.parse_assembly(names).as_bitcode()))
    # Environments hold constants of what makes Python objects; one without any would but import its function's module.
    with_constants = tuple(each for each in environments if each.consts)
    return called, bitcode, (library, *described, with_constants)


def _rebuilt(context: Any, state: Any) -> CompileResult:
    called, bitcode, reduced = state
    _make_callable(called, context)
    result = CompileResult._rebuild(context, *reduced)
    # In place of a module that has the names of the functions and nothing else.
    result.library._get_module_for_linking = cache(lambda: llvmlite.binding.parse_bitcode(bitcode))
    return result


def _make_callable(symbols: Sequence[str], context: Any) -> None:
    """Let the linker know what code calls: it would end the process on a symbol that it cannot find."""
    missing = _unknown(symbols)
    if missing:
        # As Numba's runtime registers them when it is compiled.
        for name, address in runtime.c_helpers.items():
            llvmlite.binding.add_symbol(name if name.startswith("_") else f"NRT_{name}", address)
    if _unknown(missing):
        context.refresh()


def _unknown(symbols: Sequence[str]) -> list[str]:
    return [symbol for symbol in symbols if llvmlite.binding.address_of_symbol(symbol) is None]
