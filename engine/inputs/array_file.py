"""`.safetensors` files of this project: arrays by name, and one metadata entry, "impasto", with a JSON object.

The object's "kind" names the kind of file.
"""

import json
import os
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from impasto.models.errors import ImpastoError, one_line
from impasto.models.json_record import parse_object
from impasto.models.regular_file import NO_SUCH_FILE, why_unreadable

SUFFIX = ".safetensors"
_OF_FOREIGN_DATA = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)
ENTRY, CHECKSUM = "impasto", "checksum"
CHECKPOINT, STYLE = "checkpoint", "style"


class DamagedFileError(ValueError):
    """A file that is truncated, changed or incomplete. The message says how."""


@contextmanager
def damage_explained() -> Iterator[None]:
    """Turn an exception about a damaged file into a `DamagedFileError` of one line."""
    from safetensors import SafetensorError

    try:
        yield
    except (SafetensorError, ImpastoError, OSError, *_OF_FOREIGN_DATA) as error:
        raise DamagedFileError(one_line(error, 100)) from error


def check_name(path: str | os.PathLike[str], what: str) -> None:
    """Check the extension of a file to be written, such as "a checkpoint".

    Raises:
        ImpastoError: the path does not end in .safetensors.
    """
    if Path(path).suffix.lower() != SUFFIX:
        raise ImpastoError(f"cannot write {path}: {what} is a {SUFFIX} file; name it so")


def read_file(path: str | os.PathLike[str], kind: str = "") -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return the JSON object in a file, empty if impasto did not write the file, and the arrays by name.

    Both are of one file even if another one takes its place.

    Args:
        path: of the file.
        kind: that is wanted; a file of another kind comes without its arrays.

    Raises:
        ImpastoError: the file does not exist, or is not a regular file.
        DamagedFileError: the file is not a `.safetensors` file, or is incomplete.
    """
    from safetensors import safe_open

    if why := why_unreadable(path):
        raise ImpastoError(f"no such file: {path}" if why == NO_SUCH_FILE else f"cannot read {path}: {why}")
    with damage_explained(), safe_open(path, framework="numpy") as file:
        record = parse_object((file.metadata() or {}).get(ENTRY, "{}"))
        names = file.keys() if record.get("kind") == kind else ()
        return record, {name: file.get_tensor(name) for name in names}


def checksum(record: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> int:
    """Return the CRC-32 of an object as JSON, in its own order, and of the arrays in the order of their names."""
    found = zlib.crc32(json.dumps(record).encode())
    for name in sorted(arrays):
        found = zlib.crc32(arrays[name].reshape(-1).view(np.uint8).data, found)
    return found
