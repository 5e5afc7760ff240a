"""Standard streams of a command: a closed pipe or a full disk loses lines, but does not stop the run."""

import io
import os
import sys
from typing import Any


class Output(io.FileIO):
    """Writes to a file descriptor until a write fails, and drops everything after that.

    Attributes:
        failure: the first error; None if every byte was written.
    """

    failure: OSError | None = None

    def write(self, data: Any, /) -> int:
        """Write bytes, or drop them; return their number."""
        try:
            if self.failure is None:
                return super().write(data)
        except OSError as error:
            self.failure = error
        return memoryview(data).nbytes


def fill_descriptors() -> None:
    """Open the null device where a standard stream was closed, so that no file of the run gets its number.

    Libraries in C write warnings to number 2, whatever file is open there.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # it takes the lowest free number


def guard() -> Output | None:
    """Replace stdout and stderr by streams that a failing write does not stop; return that of stdout.

    Characters that the encoding lacks are escaped. Streams that are not the process's own are left as they are, and
    those of Windows, whose console is not a file. Then the function returns None.
    """
    guarded = None
    for name, number in (("stderr", 2), ("stdout", 1)):
        stream = getattr(sys, name)
        if os.name != "posix" or stream is not getattr(sys, f"__{name}__"):
            continue
        guarded = Output(number, "w", closefd=False)
        is_terminal = stream is not None and stream.isatty()
        wrapped = io.TextIOWrapper(
            io.BufferedWriter(guarded),
            encoding=getattr(stream, "encoding", "utf-8"),
            errors="backslashreplace",
            line_buffering=is_terminal or name == "stderr",
        )
        setattr(sys, name, wrapped)
    return guarded
