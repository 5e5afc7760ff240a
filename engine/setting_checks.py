"""Checks of single values that users give. A check returns the value as a plain Python value, or raises an error."""

import math
import numbers
import operator
import os
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from impasto.models.errors import ImpastoError

LARGEST_WHOLE = 2**63 - 1
_LONGEST_SHOWN = 80

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any] | None)


def one_of(name: str, value: object, allowed: Sequence[str]) -> str:
    """Return one of the allowed words."""
    if not isinstance(value, str) or value not in allowed:
        raise ImpastoError(f"unknown {name} {shown(value)}: allowed are {', '.join(allowed)}")
    return value


def text(name: str, value: object) -> str:
    """Return a text without the character NUL, which no path may have."""
    if not isinstance(value, str) or "\0" in value:
        raise ImpastoError(f"bad {name} {shown(value)}: expected text")
    return value


def path(name: str, value: object) -> str:
    """Return a path as text."""
    if not isinstance(value, str | os.PathLike):
        raise ImpastoError(f"bad {name} {shown(value)}: expected a path")
    return text(name, os.fspath(value))


def function(name: str, value: FunctionT) -> FunctionT:
    """Return a function or None."""
    if value is not None and not callable(value):
        raise ImpastoError(f"bad {name} {shown(value)}: expected a function or None")
    return value


def whole(name: str, value: Any) -> int:
    """Return a whole number of at most 64 bits; numpy's whole numbers are taken."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise ImpastoError(f"bad {name} {shown(value)}: expected a whole number")
    try:
        found = operator.index(value)
    except TypeError:  # an array
        raise ImpastoError(f"bad {name} {shown(value)}: expected a whole number") from None
    if abs(found) > LARGEST_WHOLE:
        raise ImpastoError(f"bad {name} {shown(found)}: expected a whole number of at most 64 bits")
    return found


def switch(name: str, value: object) -> bool:
    """Return True or False; numpy's are taken, and nothing else that is merely true."""
    # By name, because `impasto --help` needs the settings and must not wait for numpy's import.
    if type(value).__name__ not in ("bool", "bool_"):
        raise ImpastoError(f"bad {name} {shown(value)}: allowed are True and False")
    return bool(value)


def between(name: str, value: Any, low: int, high: int | None = None) -> int:
    """Return a whole number of a range; numpy's whole numbers are taken. None is 2^63 - 1, which files can hold."""
    allowed = f"from {low} to {high}" if high is not None else f"of {low} or more"
    if isinstance(value, int) and value > LARGEST_WHOLE:
        allowed = f"from {low} to {LARGEST_WHOLE if high is None else high}"
    try:
        whole = operator.index(value)
    except TypeError:
        whole = None
    if whole is None or type(value) is bool or not low <= whole <= (LARGEST_WHOLE if high is None else high):
        raise ImpastoError(f"bad {name} {shown(value)}: allowed are whole numbers {allowed}")
    return whole


def not_negative(name: str, value: Any) -> float:
    """Return a finite number of 0 or more."""
    found = _finite(value)
    if found is None or found < 0:
        raise ImpastoError(f"bad {name} {shown(value)}: allowed are finite numbers of 0 or more")
    return found


def fraction(name: str, value: Any) -> float:
    """Return a number from 0 to 1."""
    found = _finite(value)
    if found is None or not 0 <= found <= 1:
        raise ImpastoError(f"bad {name} {shown(value)}: allowed are numbers from 0 to 1")
    return found


def share(name: str, value: Any) -> float:
    """Return a number of at least 0 and below 1."""
    found = _finite(value)
    if found is None or not 0 <= found < 1:
        raise ImpastoError(f"bad {name} {shown(value)}: allowed are numbers from 0 to below 1")
    return found


def positive(name: str, value: Any, allowed: str) -> float:
    """Return a finite number above 0.

    Args:
        name: of the setting.
        value: to be checked.
        allowed: how the message calls such numbers.
    """
    found = _finite(value)
    if found is None or found <= 0:
        said = value if isinstance(value, float) else shown(value)
        raise ImpastoError(f"bad {name} {said}: allowed are {allowed}")
    return found


def shown(value: object) -> str:
    """Return a value for a message, cut to a length: numbers as they are, everything else as Python writes it."""
    if isinstance(value, int) and abs(value) > LARGEST_WHOLE:
        return f"of about {int(value.bit_length() * math.log10(2)) + 1} digits"
    if isinstance(value, float):
        return f"{value:g}"
    said = " ".join((str(value) if isinstance(value, numbers.Number | tuple) else repr(value)).split())
    return said if len(said) <= _LONGEST_SHOWN else f"{said[:_LONGEST_SHOWN]}..."


def _finite(value: Any) -> float | None:
    """Return a real number as a finite float or int; None if it is none."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return None
    try:
        found: Any = value
        found = found if type(found) in (int, float) else float(found)
        return found if math.isfinite(found) else None
    except (OverflowError, ValueError):
        return None
