"""Loss and gradient of one image as a function, for use with other optimisers."""

import time

from impasto.engine.optimisers.solution import Score, Vector
from impasto.engine.runtime.evaluator import Evaluator


class Objective:
    """The function that a transfer minimises, with fixed targets and weights.

    Attributes:
        image_shape: channels, height and width of the image.
        evaluator: a loaded evaluator with one sample.
        seconds: time spent in all calls so far.
    """

    def __init__(self, evaluator: Evaluator, image_shape: tuple[int, int, int]) -> None:
        """Wrap a loaded evaluator."""
        self.evaluator, self.image_shape, self.seconds = evaluator, image_shape, 0.0

    def __call__(self, x: Vector) -> Score:
        """Return loss, terms and gradient at x, a flat float32 vector of 3 H W values in 0..1.

        The gradient is the session's own buffer, valid until the next call.
        """
        start = time.perf_counter()
        score = self.evaluator({0: x})[0]
        self.seconds += time.perf_counter() - start
        return score
