"""The command line run inside the test's own process: status, stdout and stderr."""

import sys
from dataclasses import dataclass
from unittest.mock import patch

import pytest

from impasto.engine.cli import main


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    status: int
    out: str
    err: str


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> Ended:
    capsys.readouterr()
    with patch.object(sys, "argv", ["impasto", *map(str, arguments)]), pytest.raises(SystemExit) as caught:
        main()
    output = capsys.readouterr()
    code = caught.value.code
    return Ended(code if isinstance(code, int) else 0, output.out, output.err)
