"""`.safetensors` files of this project: arrays by name, and one metadata entry, "impasto", with a JSON object.

The object's "kind" names the kind of file.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from impasto.models.errors import ImpastoError

SUFFIX = ".safetensors"
ENTRY = "impasto"
CHECKPOINT, STYLE = "checkpoint", "style"


class DamagedFileError(ValueError):
    """A file that is truncated, changed or incomplete. The message says how."""


@contextmanager
def damage_explained() -> Iterator[None]:
    """Turn an exception about a damaged file into a `DamagedFileError` of one line."""
    from safetensors import SafetensorError

    try:
        yield
    except (SafetensorError, ImpastoError, OSError, ValueError, TypeError, LookupError, RecursionError) as error:
        raise DamagedFileError(" ".join(str(error).split())[:100]) from error


def read_record(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the JSON object in a file; an empty one if impasto did not write the file.

    Raises:
        ImpastoError: the file does not exist.
        DamagedFileError: the file is not a `.safetensors` file, or is incomplete.
    """
    from safetensors import safe_open

    if not Path(path).is_file():
        raise ImpastoError(f"no such file: {path}")
    with damage_explained(), safe_open(path, framework="numpy") as file:
        return _record(file.metadata())


def read_file(path: str | os.PathLike[str], kind: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return the object in a file and the arrays by name, both of one file even if another one takes its place.

    Args:
        path: of the file.
        kind: that is wanted; a file of another kind comes without its arrays.

    Raises:
        ImpastoError: there is no such file.
        DamagedFileError: it is no such file, or not all of one.
    """
    from safetensors import safe_open

    if not Path(path).is_file():
        raise ImpastoError(f"no such file: {path}")
    with damage_explained(), safe_open(path, framework="numpy") as file:
        record = _record(file.metadata())
        names = file.keys() if record.get("kind") == kind else ()
        return record, {name: file.get_tensor(name) for name in names}


def read_arrays(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Return the arrays in a file by name.

    Raises:
        DamagedFileError: the file is not a `.safetensors` file, or is incomplete.
    """
    from safetensors import safe_open

    with damage_explained(), safe_open(path, framework="numpy") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)


def _record(metadata: dict[str, str] | None) -> dict[str, Any]:
    record = json.loads((metadata or {}).get(ENTRY, "{}"))
    if not isinstance(record, dict):
        raise TypeError(f"its entry {ENTRY!r} is no JSON object")
    return record
