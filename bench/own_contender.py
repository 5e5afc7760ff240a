"""This project as a contender: the engine's objective and its optimiser."""

import math
from typing import TYPE_CHECKING

import numpy as np

from impasto.bench.clock import Clock
from impasto.bench.subject import engine_facts, engine_name
from impasto.engine.jobs.descent import Descent
from impasto.engine.optimisers.outcome import Vector

if TYPE_CHECKING:
    from impasto.engine.jobs.engine import Engine
    from impasto.engine.settings import Settings


class OwnContender:
    """A contender; `impasto.bench.contender.Contender` says what its attributes mean."""

    def __init__(
        self,
        engine: "Engine",
        content: np.ndarray,
        style: np.ndarray,
        settings: "Settings",
        *,
        begin_s: float,
        clock: Clock,
    ) -> None:
        """Compile, and evaluate once.

        Args:
            engine: closed by `close`; it reports every evaluation, so that each image is that of its own step.
            content: uint8 H x W x 3.
            style: likewise.
            settings: of the run; its limits do not count.
            begin_s: when the engine was asked for.
            clock: for the set-up.
        """
        self.name, self.facts = engine_name(engine), {**engine_facts(engine), "bounded": settings.bounded}
        self.evaluations, self.loss, self.finished = 0, math.nan, False
        self._engine = engine
        self.features = engine.network.model
        self._objective, self.start = engine.objective(content, style, settings)
        noise = engine.provider.numbers.loss_noise
        self._descent = Descent(self._objective, noise, self.start, settings)
        self._steps = iter(self._descent)
        self.evaluate()
        self.setup_s = clock.now() - begin_s

    def evaluate(self) -> float:
        """Evaluate at the start; the session copies the results to the host, so that the device has finished."""
        loss, self._gradient = self._objective(self.start)
        return loss

    def gradient(self) -> np.ndarray:
        """Return the latest gradient."""
        return self._gradient

    def step(self) -> None:
        """Go on to the next accepted image."""
        step = next(self._steps, None)
        self.finished = step is None
        if step is not None:
            self.evaluations, self.loss = step.evaluations, step.loss
            self.facts["loop"] = self._descent.loop

    def image(self) -> Vector:
        """Return where the optimiser is."""
        return (self.start if self._descent.last is None else self._descent.last.x).copy()

    def close(self) -> None:
        """Close the engine."""
        self._engine.close()
