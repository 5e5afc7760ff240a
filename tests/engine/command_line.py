"""The command line run inside the test's own process: status, stdout and stderr."""

import signal
import sys
from dataclasses import dataclass
from unittest.mock import patch

import pytest

from impasto.engine.cli import main
from impasto.engine.cli.terminal import STOPPING


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    status: int
    out: str
    err: str


PAPER = {"transfer": ("--preset", "paper"), "batch": ("--set", "preset=paper"), "style": ("--preset", "paper")}


def run(capsys: pytest.CaptureFixture[str], *arguments: object, preset: bool = False) -> Ended:
    """Run a command. Those that begin with a preset take the paper's, unless the test names one or wants the default.

    Args:
        capsys: of the test.
        arguments: the words after ``impasto``.
        preset: whether the command keeps its own default preset.
    """
    capsys.readouterr()
    words = list(map(str, arguments))
    named = preset or any(word == "--preset" or word.startswith("preset=") for word in words)
    if not named and "--help" not in words and words:
        arguments = (*words, *PAPER.get(words[0], ()))
    handlers = {number: signal.getsignal(number) for number in STOPPING}
    with patch.object(sys, "argv", ["impasto", *map(str, arguments)]), pytest.raises(SystemExit) as caught:
        main()
    for number, handler in handlers.items():  # main ignores signals in the end
        signal.signal(number, handler)
    output = capsys.readouterr()
    code = caught.value.code
    return Ended(code if isinstance(code, int) else 0, output.out, output.err)
