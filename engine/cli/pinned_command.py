"""The current command line, with explicit values for the options that it left to "auto"."""

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from impasto.engine.watch.shell import quoted_command

if TYPE_CHECKING:
    from impasto.engine.events import Started
    from impasto.engine.result import Result


def pinned_command(started: "Started", result: "Result") -> str:
    """Return the current command, quoted for a shell, so that it does the same on another machine.

    Args:
        started: the start of the run, which names the choices of "auto".
        result: the result of the run.
    """
    words = ["impasto", *sys.argv[1:]]
    if "draft" not in result.provenance:
        words, _ = _taken_out(words, "--refine")  # the run had no network to refine with
    values = {"model": started.model, "provider": started.provider, "precision": started.precision}
    return with_options(words, {**values, "seed": str(result.settings.seed)})


def with_options(words: Sequence[str], values: Mapping[str, str]) -> str:
    """Return a command, quoted for a shell, with values for the options that it lacks or has as "auto".

    Args:
        words: words of the command.
        values: values by the name of the option, without dashes.
    """
    words = list(words)
    for name, value in values.items():
        others, typed = _taken_out(words, f"--{name}")
        if typed in (None, "auto"):
            words = [*others, f"--{name}", value]
    return quoted_command(words)


def _taken_out(words: Sequence[str], option: str) -> tuple[list[str], str | None]:
    """Return the words without an option, and its value; None if it is not there."""
    left, value = [], None
    remaining = iter(words)
    for word in remaining:
        name, equals, rest = word.partition("=")
        if name == option:
            value = rest if equals else next(remaining, "")
        else:
            left.append(word)
    return left, value
