"""JSON objects from files of strangers: records of results, checkpoints and saved styles, and lines of manifests."""

import json
import math
from typing import Any

DEEPEST = 20
_BITS = 63
_LONGEST_SHOWN = 40


class DuplicateKeyError(ValueError):
    """An object has a key twice. Some readers of JSON take the first value and others the last.

    Attributes:
        key: cut to a length.
    """

    def __init__(self, key: str) -> None:
        self.key = key[:_LONGEST_SHOWN]
        super().__init__(f"the key {json.dumps(self.key)} is given twice")


def parse_object(text: str) -> dict[str, Any]:
    """Return the JSON object in a text.

    Raises:
        ValueError: the text is no JSON or no object, is nested more than `DEEPEST` times, gives a key of an object
            twice, or holds a number that is not finite or has more than 63 bits.
    """
    try:
        value = json.loads(text, parse_constant=_refuse, object_pairs_hook=_unique)
    except RecursionError:
        raise ValueError(f"nested more than {DEEPEST} times") from None
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    level: list[Any] = [value]
    for _ in range(DEEPEST):
        inner = [item for outer in level for item in (outer.values() if isinstance(outer, dict) else outer)]
        for item in inner:
            _check_number(item)
        level = [item for item in inner if isinstance(item, dict | list)]
        if not level:
            return value
    raise ValueError(f"nested more than {DEEPEST} times")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object from its keys and values."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise DuplicateKeyError(key)
        found[key] = value
    return found


def _check_number(value: object) -> None:
    if isinstance(value, int) and value.bit_length() > _BITS:
        raise ValueError(f"a number of more than {_BITS} bits")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("a number that is not finite")


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")
