"""A number that outlives a killed process."""

import contextlib
import struct
from pathlib import Path

_NUMBER = struct.Struct("<q")


class Mark:
    """A number in a file that outlives a killed process: how many evaluations of a run have ended.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("w+b", buffering=0)
        self._value = 0

    @property
    def value(self) -> int:
        """The number."""
        return self._value

    @value.setter
    def value(self, value: int) -> None:
        if value != self._value:
            self._value = value
            with contextlib.suppress(OSError):  # a full disk
                self._file.seek(0)
                self._file.write(_NUMBER.pack(value))

    def close(self) -> None:
        """Close the file; the number stays in it."""
        self._file.close()

    @staticmethod
    def read(path: Path) -> int:
        """Return the number in a file, or 0."""
        with contextlib.suppress(OSError, struct.error):
            return int(_NUMBER.unpack(path.read_bytes())[0])
        return 0
