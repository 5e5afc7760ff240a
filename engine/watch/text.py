"""Plain values as a person would write them."""

from collections.abc import Mapping, Sequence

from impasto.models.errors import printable


def as_text(value: object) -> str:
    """Write a value as one would on the command line; a tap without a weight is its name alone.

    What does not print is escaped: records of foreign files may hold anything.
    """
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return " ".join(str(key) if item is None else f"{key}={as_text(item)}" for key, item in value.items()) or "-"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return " ".join(as_text(item) for item in value) or "-"
    return f"{value:g}" if isinstance(value, float) else printable(str(value))


def as_table(values: Mapping[str, object]) -> dict[str, str]:
    """Return values by name as a person would write them."""
    return {name: as_text(value) for name, value in values.items()}
