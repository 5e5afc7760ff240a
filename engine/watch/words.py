"""Plain values as a person would write them."""

from collections.abc import Mapping, Sequence


def in_words(value: object) -> str:
    """Write a value as one would on the command line; a tap without a weight is its name alone."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return " ".join(str(key) if item is None else f"{key}={in_words(item)}" for key, item in value.items()) or "-"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return " ".join(in_words(item) for item in value) or "-"
    return f"{value:g}" if isinstance(value, float) else str(value)


def one_line(error: BaseException | None) -> str:
    """Return an error's message as one line."""
    return " ".join(str(error).split())
