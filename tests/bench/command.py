"""`impasto bench` on the network in the package, small and short."""

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from impasto.bench import record
from impasto.bench.cli.progress import Progress
from tests.engine.command_line import Ended, run

SMALL = ("--model", "vgg19-slim", "--size", 64, "--duration", 0.01, "--warm-up", 1, "--threads", 1)
ON_CPU = ("--provider", "cpu", "--precision", "fp32")


def bench(capsys: pytest.CaptureFixture[str], command: str, *more: object) -> Ended:
    return run(capsys, "bench", command, *SMALL, *more)


def measured(
    capsys: pytest.CaptureFixture[str], folder: Path, command: str, *more: object, status: int = 0
) -> tuple[dict[str, Any], Ended]:
    """Run a benchmark and return its record, which must be a valid one."""
    output = folder / "a.json"
    ended = bench(capsys, command, *more, "--json", output)
    assert ended.status == status, ended.err
    found = record.read(output)
    assert (found["benchmark"], found["interrupted"]) == (command, status != 0)
    return found, ended


def interrupt_at(monkeypatch: pytest.MonkeyPatch, wanted: Callable[[str], bool]) -> None:
    """Press Ctrl-C once, when such a stage begins."""
    original, pressed = Progress.stage, list[bool]()

    def stage(self: Progress, text: str, total: float) -> None:
        original(self, text, total)
        if wanted(text) and not pressed:
            pressed.append(True)
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Progress, "stage", stage)
