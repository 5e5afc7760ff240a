"""A benchmark's file: conditions, what was asked for, every sample. JSON, whole or not there at all."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from impasto.bench.conditions import load
from impasto.bench.series import Series
from impasto.models import atomic
from impasto.models.errors import ImpastoError

FORMAT = "impasto-bench-1"
_EXPECTED = "give a file of `impasto bench ... --json`"
_KINDS = {"name": str, "unit": str, "evaluations": int, "size_px": int}


def make(
    benchmark: str,
    what: str,
    *,
    conditions: Mapping[str, Any],
    asked: Mapping[str, Any],
    series: Sequence[Series],
    interrupted: bool = False,
    **more: object,
) -> dict[str, Any]:
    """Return a record, with the load after the measurement; ``conditions`` are from before it.

    ``what`` was measured is said in a few sentences, and ``more`` is what only this benchmark has.
    """
    return {
        "format": FORMAT,
        "benchmark": benchmark,
        "what": what,
        "conditions": {**conditions, "load_1_min_after": load()},
        "asked": dict(asked),
        "interrupted": interrupted,
        "series": [item.as_dict() for item in series],
        **more,
    }


def check_place(path: Path) -> None:
    """Refuse before the measurement a place where no file can be written.

    Raises:
        ImpastoError: it is no .json, or no file can be made there.
    """
    atomic.check_extension(path, (".json",))
    atomic.check_place(path)


def write(path: Path, record: Mapping[str, Any]) -> None:
    """Write a record; values that are not finite become null.

    Raises:
        ImpastoError: the file cannot be written.
    """
    atomic.write_atomically(path, (json.dumps(_finite(record), indent=1, allow_nan=False) + "\n").encode())


def read(path: Path) -> dict[str, Any]:
    """Return the record in a file.

    Raises:
        ImpastoError: there is no such file, or it holds no record.
    """
    try:
        record = json.loads(path.read_bytes())
    except OSError as error:
        raise ImpastoError(f"cannot read {path}: {error.strerror}; {_EXPECTED}") from error
    except ValueError:
        raise ImpastoError(f"cannot read {path}: not JSON; {_EXPECTED}") from None
    fault = _fault(record)
    if fault:
        raise ImpastoError(f"not a benchmark's record: {path}, {fault}; {_EXPECTED}")
    return dict(record)


def _fault(record: object) -> str:
    """Return what is wrong with a record, or nothing."""
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        return f"its format is not {FORMAT}"
    if not isinstance(record.get("benchmark"), str) or not isinstance(record.get("conditions"), dict):
        return "it has no benchmark or conditions"
    found = record.get("series")
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        return "it has no series"
    for number, item in enumerate(found):
        samples, curve = item.get("samples_s"), item.get("curve")
        if not all(isinstance(item.get(key), kind) for key, kind in _KINDS.items()):
            return f"series {number} has no name, unit, size or evaluations"
        if not isinstance(samples, list) or not samples or not {*map(type, samples)} <= {int, float}:
            return f"series {number} has no samples"
        if not isinstance(curve, list) or not all(isinstance(point, list) and len(point) == 3 for point in curve):
            return f"series {number} has no curve"
    return ""


def _finite(value: Any) -> Any:
    """Return plain values with None for those that JSON cannot hold."""
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
