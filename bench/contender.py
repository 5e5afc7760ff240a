"""Whoever takes part in a comparison."""

from typing import Any, Protocol

import numpy as np

from impasto.engine.outcome import Vector


class Contender(Protocol):
    """An objective and an optimiser, from one image on.

    Attributes:
        name: as its series are called.
        setup_s: from nothing to the end of the first evaluation: network, targets, compilation.
        evaluations: that its optimiser has made.
        loss: of the optimiser's latest evaluation, in the contender's own precision.
        finished: whether its optimiser has ended.
        facts: what ran, as plain values.
    """

    name: str
    setup_s: float
    evaluations: int
    loss: float
    finished: bool
    facts: dict[str, Any]

    def evaluate(self) -> float:
        """Evaluate loss and gradient at the start, and return the loss when the device has finished."""

    def gradient(self) -> np.ndarray:
        """Return the gradient of the latest `evaluate`, flat float32 for pixels on 0..1."""

    def step(self) -> None:
        """Take the optimiser's next step, nearly always one evaluation."""

    def image(self) -> Vector:
        """Return a copy of where the optimiser is: planes of R, G and B, 0..1."""

    def close(self) -> None:
        """Give the memory back."""
