"""The library of the project's own operators for processors: where it is, whether it loads, and what it can do here.

It is an optional part of the package (cpp/ops, setup.py): an installation without a C++ compiler lacks it.
"""

import ctypes
import functools
import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from impasto.export.operator_domain import VERSION
from impasto.models.errors import one_line

FILE = Path(__file__).parent / "libimpasto_ops.so"
VARIABLE = "IMPASTO_OPS"
"""Names another file of the library."""
INSTRUCTION_SET_VARIABLE = "IMPASTO_OPS_ISA"
"""Names one of the library's instruction sets, for tests: avx512, avx2, neon or portable."""
_SLOW = "portable"
_INSTALL = "install impasto again (pip install .)"
_CHANNELS = 64  # of a layer whose instruction set is reported


@dataclass(frozen=True)
class NativeOperators:
    """The library as it was found.

    Attributes:
        path: the file; None where it cannot be used.
        instruction_set: that its kernels use on this processor; "" where the library cannot be used.
        reason: one clause: what it uses, or why it cannot be used and what to do.
    """

    path: Path | None
    instruction_set: str
    reason: str

    @property
    def identity(self) -> tuple[str | int, ...]:
        """Instruction set, size and time of the file: a graph that ONNX Runtime has optimised depends on them."""
        if self.path is None:
            return ()
        status = self.path.stat()
        return (self.instruction_set, status.st_size, status.st_mtime_ns)


@functools.cache
def find() -> NativeOperators:
    """Return the library; it is looked for once in a process."""
    named = os.environ.get(VARIABLE)
    path = Path(named or FILE)
    if not path.is_file() and named:
        return _unusable(f"{VARIABLE} names {named}, which is no file; name a {FILE.name}, or unset {VARIABLE}")
    if not path.is_file():
        return _unusable(f"{path.name} was not built; install a C++ compiler, then {_INSTALL}")
    try:
        library = ctypes.CDLL(str(path))  # which also keeps it from being unloaded between two sessions
    except OSError as error:
        return _unusable(f"{path} does not load ({one_line(error, 200)}); {_next_step(named)}")
    try:
        version, sets, name = _answers(library)
    except AttributeError:
        return _unusable(f"{path} is no library of this impasto: it does not tell its version; {_next_step(named)}")
    if version != VERSION:
        return _unusable(f"{path} has version {version} of the operators, not {VERSION}; {_next_step(named)}")
    asked = os.environ.get(INSTRUCTION_SET_VARIABLE)
    if asked and asked not in sets:
        return _unusable(f"{INSTRUCTION_SET_VARIABLE} is {asked!r}; this processor has {', '.join(sets)}")
    if name == _SLOW and not asked:
        return _unusable(f"this processor ({platform.machine()}) has neither AVX2 nor NEON")
    return NativeOperators(path, name, f"Winograd convolutions, {name}")


def _unusable(reason: str) -> NativeOperators:
    return NativeOperators(None, "", reason)


def _next_step(named: str | None) -> str:
    return f"unset {VARIABLE}, or name a library that was built with this impasto" if named else _INSTALL


def _answers(library: ctypes.CDLL) -> tuple[int, list[str], str]:
    """Return the version of the operators, the instruction sets of this processor, and the one that is used.

    Raises:
        AttributeError: the library has no such functions.
    """
    version = library.impasto_ops_version
    version.restype, version.argtypes = ctypes.c_int64, []
    sets = library.impasto_ops_instruction_sets
    sets.restype, sets.argtypes = ctypes.c_char_p, []
    used = library.impasto_ops_instruction_set
    used.restype, used.argtypes = ctypes.c_char_p, [ctypes.c_int64]
    return version(), sets().decode().split(), used(_CHANNELS).decode()


def register(session_options: Any) -> None:
    """Make the operators known to the sessions that are made with these options."""
    path = find().path
    if path is not None:
        session_options.register_custom_ops_library(str(path))
