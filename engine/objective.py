"""The function that an optimiser minimises: image in, loss and gradient out."""

import time
from collections import deque
from collections.abc import Callable, Mapping

from impasto.engine.evaluator import Score
from impasto.engine.outcome import Vector

REMEMBERED_CALLS = 64  # more than one line search makes


class Objective:
    """The loss of one image and its gradient, for targets and weights that stay the same.

    Attributes:
        image_shape: channels, height and width of the image.
        seconds: spent in all calls so far; where several images are evaluated at once, in those evaluations.
    """

    def __init__(self, score: Callable[[Vector], Score], image_shape: tuple[int, int, int]) -> None:
        """Take over what evaluates an image."""
        self.image_shape = image_shape
        self._score = score
        self.seconds = 0.0
        self._recent: deque[tuple[float, Mapping[str, float]]] = deque(maxlen=REMEMBERED_CALLS)

    def __call__(self, x: Vector) -> tuple[float, Vector]:
        """Return the loss at x and its gradient, both of them for a flat float32 vector of 3 H W values in 0..1.

        The gradient is the session's own buffer, valid until the next call.
        """
        start = time.perf_counter()
        score = self._score(x)
        self._recent.append((score.loss, score.terms))
        self.seconds += time.perf_counter() - start
        return score.loss, score.gradient

    def terms_of(self, loss: float) -> dict[str, float]:
        """Return every weighted term of the latest call that returned this loss, by name."""
        return next(dict(terms) for seen, terms in reversed(self._recent) if seen == loss)
