"""Whoever takes part in a comparison."""

from typing import Any, Protocol, runtime_checkable

import numpy as np

from impasto.engine.optimisers.outcome import Vector


class Evaluating(Protocol):
    """An objective at the images that it starts from: one, or a batch of them.

    Attributes:
        name: as its series are called.
        setup_s: from nothing to the end of the first evaluation: network, targets, compilation.
        facts: what ran, as plain values.
    """

    name: str
    setup_s: float
    facts: dict[str, Any]

    def evaluate(self) -> float:
        """Evaluate loss and gradient at the start, and return the loss when the device has finished.

        Of a batch it is the sum over the images.
        """

    def gradient(self) -> np.ndarray:
        """Return the gradient of the latest `evaluate`, flat float32 for pixels on 0..1, one image after the other."""

    def close(self) -> None:
        """Give the memory back."""


@runtime_checkable
class Contender(Evaluating, Protocol):
    """An objective of one image with an optimiser, from that image on.

    Attributes:
        evaluations: that its optimiser has made.
        loss: of the optimiser's latest evaluation, in the contender's own precision.
        finished: whether its optimiser has ended.
    """

    evaluations: int
    loss: float
    finished: bool

    def step(self) -> None:
        """Take the optimiser's next step, nearly always one evaluation."""

    def image(self) -> Vector:
        """Return a copy of where the optimiser is: planes of R, G and B, 0..1."""
