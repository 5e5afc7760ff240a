"""A clock that is told to pass, a watch that stops when it is told to, and a contender whose losses are known."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from impasto.bench.sampling import Clock, Watch
from impasto.engine.optimisers.solution import Vector


class ToldClock(Clock):
    """A clock that passes when work is said to be done on it, and jumps where one sleeps."""

    def __init__(self, now_s: float = 100.0) -> None:
        self.now_s = now_s
        self.slept_s = 0.0

    def now(self) -> float:
        return self.now_s

    def sleep_until(self, time_s: float) -> None:
        self.slept_s += max(0.0, time_s - self.now_s)
        self.now_s = max(self.now_s, time_s)

    def work(self, seconds: float) -> None:
        self.now_s += seconds


class CountingWatch(Watch):
    """A watch that stops after having been asked so many times, and keeps what it was told."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.stages: list[str] = []
        self.amounts: list[float] = []
        self._left = stop_after

    def stage(self, text: str, total: float) -> None:
        self.stages.append(text)

    def done(self, amount: float) -> None:
        self.amounts.append(amount)

    def stopped(self) -> bool:
        if self._left is None:
            return False
        self._left -= 1
        return self._left < 0


class KnownContender:
    """A contender that goes down a list of losses, one per evaluation; its image holds the number of the step.

    Each step takes ``step_s`` of the clock. Past the end of the list its optimiser has ended.
    """

    def __init__(
        self, name: str, losses: Sequence[float], clock: ToldClock, *, step_s: float = 1.0, evaluations_each: int = 1
    ) -> None:
        self.name, self.setup_s, self.facts = name, 0.5, dict[str, Any]()
        self.evaluations, self.loss, self.finished = 0, losses[0], False
        self._losses, self._clock, self._step_s, self._each = losses, clock, step_s, evaluations_each
        self._taken = 0

    def evaluate(self) -> float:
        return self._losses[0]

    def gradient(self) -> np.ndarray:
        return np.ones(3, np.float32)

    def step(self) -> None:
        self._clock.work(self._step_s)
        if self._taken == len(self._losses):
            self.finished = True
            return
        self.loss = self._losses[self._taken]
        self._taken += 1
        self.evaluations += self._each

    def image(self) -> Vector:
        return np.array([self._losses[max(0, self._taken - 1)]], np.float32)


def judge(image: Vector) -> float:
    """Return the loss of a known contender's image."""
    return float(image[0])
