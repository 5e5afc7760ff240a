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

from impasto.models.errors import one_line

FILE = Path(__file__).parent / "libimpasto_ops.so"
VARIABLE = "IMPASTO_OPS"
"""Names another file of the library."""
INSTRUCTION_SET_VARIABLE = "IMPASTO_OPS_ISA"
"""Names one of the library's instruction sets, for tests: avx512, avx2, neon or portable."""
_SLOW = "portable"
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
    path = Path(os.environ.get(VARIABLE) or FILE)
    if not path.is_file():
        return NativeOperators(None, "", f"{path.name} was not built; install a C++ compiler, then impasto again")
    try:
        library = ctypes.CDLL(str(path))  # which also keeps it from being unloaded between two sessions
        library.impasto_ops_instruction_set.restype = ctypes.c_char_p
        library.impasto_ops_instruction_set.argtypes = [ctypes.c_int64]
        name = library.impasto_ops_instruction_set(_CHANNELS).decode()
    except (OSError, AttributeError) as error:
        return NativeOperators(None, "", f"{path} does not load ({one_line(error, 200)}); install impasto again")
    if name == _SLOW and not os.environ.get(INSTRUCTION_SET_VARIABLE):
        return NativeOperators(None, "", f"this processor ({platform.machine()}) has neither AVX2 nor NEON")
    return NativeOperators(path, name, f"Winograd convolutions, {name}")


def register(session_options: Any) -> None:
    """Make the operators known to the sessions that are made with these options."""
    path = find().path
    if path is not None:
        session_options.register_custom_ops_library(str(path))
