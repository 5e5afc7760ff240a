"""Evaluations that wait for the test's permission, so that what happens between them is known."""

import threading
from collections.abc import Iterator, Mapping

import numpy as np
import pytest

from impasto.engine.device.loop import DeviceLoop
from impasto.engine.optimisers.solution import Score
from impasto.engine.runtime.evaluator import Evaluator

LONG_S = 60.0


class Gate:
    """Lets evaluations through one by one.

    Attributes:
        seen: of each evaluation on the host, the values of each image; of each call of a loop on the device, its batch.
    """

    def __init__(self) -> None:
        self.seen: list[tuple[int, ...]] = []
        self._changed = threading.Condition()
        self._allowed, self._waiting, self._open = 0, False, False

    def pass_through(self, seen: tuple[int, ...]) -> None:
        """Wait for permission; the engine's thread calls this."""
        with self._changed:
            self._waiting = True
            self._changed.notify_all()
            assert self._changed.wait_for(lambda: self._open or self._allowed > 0, LONG_S)
            self._waiting = False
            self._allowed -= 1
            self.seen.append(seen)
            self._changed.notify_all()

    def wait(self) -> None:
        """Wait until an evaluation wants to begin."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._waiting, LONG_S)

    def step(self, count: int = 1) -> None:
        """Let evaluations through, and wait until the next one wants to begin."""
        for _ in range(count):
            self.step_last()
            self.wait()

    def step_last(self) -> None:
        """Let an evaluation through after which there may be no other."""
        self.wait()
        with self._changed:
            count, self._allowed = len(self.seen), 1
            self._changed.notify_all()
            assert self._changed.wait_for(lambda: len(self.seen) > count, LONG_S)

    def open(self) -> None:
        """Let all evaluations through from here on."""
        with self._changed:
            self._open = True
            self._changed.notify_all()


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    """A closed gate before every evaluation."""
    gate = Gate()
    call, run = Evaluator.__call__, DeviceLoop.run

    def evaluate(self: Evaluator, images: Mapping[int, np.ndarray]) -> dict[int, Score]:
        gate.pass_through(tuple(x.size for x in images.values()))
        return call(self, images)

    def step(self: DeviceLoop, count: int) -> np.ndarray:
        gate.pass_through((self._form.batch,))
        return run(self, count)

    monkeypatch.setattr(Evaluator, "__call__", evaluate)
    monkeypatch.setattr(DeviceLoop, "run", step)
    yield gate
    gate.open()
