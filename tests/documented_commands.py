"""The command lines in the documents, and parsing them without running anything."""

import argparse
import re
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest.mock import patch

import typer

from impasto.engine.cli.app import app

MODULE, PROGRAM = ["python", "-m"], "impasto"
_COMMAND = re.compile(r"python -m impasto\.\S|impasto \S")
_FENCE = re.compile(r"^```(?:console|sh|bash)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`((?:python -m impasto\.|impasto )[^`]*[^`.])`")
_GUARD = 'if __name__ == "__main__":'


class Parsed(Exception):
    """The arguments are right."""


def lines(text: str) -> Iterator[list[str]]:
    """Yield the words of each command that stands on an indented line or in a fence, comments apart."""
    text = text.replace("\\\n", " ")
    fenced = [line for fence in _FENCE.findall(text) for line in fence.splitlines()]
    indented = [line[4:] for line in text.splitlines() if line.startswith("    ")]
    for line in (*fenced, *indented):
        if _COMMAND.match(line):
            yield shlex.split(line, comments=True)


def mentions(text: str) -> Iterator[list[str]]:
    """Yield the words of each command that is mentioned between backticks, brackets and dots apart."""
    for match in _SPAN.finditer(text):
        yield [word for word in re.sub(r"[\[\]]|\.\.\.", " ", match[1]).split() if word]


def parse(words: list[str]) -> None:
    """Parse a whole command line.

    Raises:
        AssertionError: there is no such module or command, or it does not take these arguments.
    """
    if words[:2] == MODULE:
        _parse_module(words[2], words[3:])
    else:
        command, rest = resolve(words)
        try:
            command.make_context(words[0], rest)
        except Exception as error:
            if not hasattr(error, "format_message"):
                raise
            raise AssertionError(f"{shlex.join(words)}: {error.format_message()}") from error


def check_mention(words: list[str]) -> None:
    """Check that a command and its options exist; what else it needs may be missing.

    ``a b | c`` are the commands ``a b`` and ``a c``, if it is a group; otherwise values of an argument.

    Raises:
        AssertionError: there is no such module, command or option.
    """
    options = {word.split("=")[0] for word in words if word.startswith("--")}
    if words[:2] == MODULE:
        found = _help_of(words[2])
        assert all(option in found for option in options), f"{shlex.join(words)}: {options} in {found}"
        return
    first, *others = _alternatives([word for word in words if not word.startswith("--")])
    for one in (first, *others):
        command, _ = resolve(one)
        known = {name for parameter in command.params for name in (*parameter.opts, "--help", "--version")}
        assert options <= known, f"{shlex.join(words)}: no {', '.join(sorted(options - known))}"


def resolve(words: list[str]) -> tuple[Any, list[str]]:
    """Return the command that the words lead to, and what is left of them.

    Raises:
        AssertionError: there is no such command.
    """
    assert words[0] == PROGRAM
    command: Any = typer.main.get_command(app)
    rest = words[1:]
    while hasattr(command, "commands") and rest and not rest[0].startswith("-"):
        try:
            _, command, rest = command.resolve_command(typer.Context(command), rest)
        except Exception as error:
            if not hasattr(error, "format_message"):
                raise
            raise AssertionError(f"{shlex.join(words)}: {error.format_message()}") from error
    return command, rest


def is_runnable(module: str) -> bool:
    """Return whether ``python -m MODULE`` does something."""
    spec = find_spec(_entered(module))
    return spec is not None and spec.origin is not None and _GUARD in Path(spec.origin).read_text()


def _entered(module: str) -> str:
    """Return the module that ``python -m`` runs: of a package, its ``__main__``."""
    spec = find_spec(module)
    return f"{module}.__main__" if spec is not None and spec.submodule_search_locations is not None else module


def _main_of(module: str) -> Callable[[], object]:
    found: Callable[[], object] = import_module(_entered(module)).main
    return found


def _alternatives(words: list[str]) -> Iterator[list[str]]:
    if "|" not in words:
        yield words
        return
    place = words.index("|")
    before, tail = words[: place - 1], [words[place - 1], *words[place:]]
    for word in tail:
        if word != "|":
            yield [*before, word]


def _parse_module(module: str, arguments: list[str]) -> None:
    assert is_runnable(module), f"python -m {module} does nothing"
    original = argparse.ArgumentParser.parse_args

    def parse_args(self: argparse.ArgumentParser, *given: Any) -> None:
        original(self, *given)
        raise Parsed

    with (
        patch.object(sys, "argv", [module, *arguments]),
        patch.object(argparse.ArgumentParser, "parse_args", parse_args),
    ):
        try:
            _main_of(module)()
        except Parsed:
            return
        except SystemExit as error:
            raise AssertionError(f"{module} {shlex.join(arguments)}: not its arguments") from error
    raise AssertionError(f"{module}: it parses no arguments")


def _help_of(module: str) -> str:
    """Return the help of a module's parser."""
    assert is_runnable(module), f"python -m {module} does nothing"
    said: list[str] = []

    def parse_args(self: argparse.ArgumentParser, *_: Any) -> None:
        said.append(self.format_help())
        raise Parsed

    with patch.object(argparse.ArgumentParser, "parse_args", parse_args), suppress(Parsed):
        _main_of(module)()
    return said[0]
