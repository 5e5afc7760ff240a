"""The function that an optimiser minimises: image in, loss and gradient out."""

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from impasto.engine.optimisers.outcome import Vector
from impasto.engine.runtime.evaluator import Score
from impasto.engine.runtime.providers import Provider
from impasto.engine.runtime.session import Session

REMEMBERED_CALLS = 64  # more than one line search makes


class Place(Protocol):
    """One image in a loop on the device, alone or beside others."""

    def run(self, most: int) -> NDArray[np.float32]:
        """Evaluate and step, at least once and at most so often.

        Returns:
            A row for each time, in order: [count, columns], as `impasto.export.optimiser.REPORTED`, then the terms.

        Raises:
            ImpastoError: the provider fails.
        """

    def x(self) -> Vector:
        """Return a copy of the last accepted image, flat."""


@dataclass(frozen=True)
class OnDevice:
    """What it takes to minimise an objective without the host (`impasto.engine.device.lbfgs`).

    Attributes:
        session: one of whose samples the image is; targets are set.
        provider: of the session.
        threads: of the CPU; 0 is one per core.
        terms: their names.
        coefficients: their weights, [N, T].
        scaled: whether there is float16 inside, whose cotangents need a factor.
        every: evaluations between two looks of the host.
        demanded: whether it was asked for, so that it is an error if it cannot be.
        place: in a loop of several images, where this one has begun; None is a loop of its own.
    """

    session: Session
    provider: Provider
    threads: int
    terms: tuple[str, ...]
    coefficients: NDArray[np.float32]
    scaled: bool
    every: int
    demanded: bool
    place: Place | None = None


class Objective:
    """The loss of one image and its gradient, for targets and weights that stay the same.

    Attributes:
        image_shape: channels, height and width of the image.
        on_device: for a loop that does without the host; None where the host is to run it.
        seconds: spent in all calls so far; where several images are evaluated at once, in those evaluations.
    """

    def __init__(
        self, score: Callable[[Vector], Score], image_shape: tuple[int, int, int], on_device: OnDevice | None = None
    ) -> None:
        """Take over what evaluates an image."""
        self.image_shape = image_shape
        self.on_device = on_device
        self._score = score
        self.seconds = 0.0
        self._recent: deque[tuple[float, Mapping[str, float]]] = deque(maxlen=REMEMBERED_CALLS)

    def __call__(self, x: Vector) -> tuple[float, Vector]:
        """Return the loss at x and its gradient, both of them for a flat float32 vector of 3 H W values in 0..1.

        The gradient is the session's own buffer, valid until the next call.
        """
        start = time.perf_counter()
        score = self._score(x)
        self.remember(score.loss, score.terms, time.perf_counter() - start)
        return score.loss, score.gradient

    def remember(self, loss: float, terms: Mapping[str, float], seconds: float) -> None:
        """Take note of an evaluation that was done elsewhere."""
        self._recent.append((loss, terms))
        self.seconds += seconds

    def terms_of(self, loss: float) -> dict[str, float]:
        """Return every weighted term of the latest call that returned this loss, by name."""
        return next(dict(terms) for seen, terms in reversed(self._recent) if seen == loss)
