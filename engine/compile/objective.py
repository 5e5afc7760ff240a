"""Loss and gradient of one image as a function, for use with other optimisers."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from impasto.engine.optimisers.solution import Score, Vector
from impasto.engine.runtime.evaluator import Evaluator
from impasto.models.errors import ImpastoError


class Objective:
    """The function that a transfer minimises, with fixed targets and weights.

    Args:
        evaluator: a loaded evaluator with one sample.
        image_shape: channels, height and width of the image.
        borrow: returns a context in which no other thread uses the evaluator's session.

    Attributes:
        image_shape: channels, height and width of the image.
        evaluator: a loaded evaluator with one sample.
        seconds: time spent in all calls so far.
        expired: whether the session has other targets or is closed, because the engine was used for something else.
    """

    def __init__(
        self,
        evaluator: Evaluator,
        image_shape: tuple[int, int, int],
        borrow: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self.evaluator, self.image_shape, self._borrow = evaluator, image_shape, borrow
        self.seconds, self.expired = 0.0, False

    def __call__(self, x: Vector) -> Score:
        """Return loss, terms and gradient at x, a flat float32 vector of 3 H W values in 0..1.

        The gradient is the session's own buffer, valid until the next call.

        Raises:
            ImpastoError: the objective has expired, or the engine is in use or closed.
        """
        with self._borrow():
            if self.expired:
                raise ImpastoError(
                    "this objective has expired: the engine was used for something else since; call `objective` again"
                )
            start = time.perf_counter()
            score = self.evaluator({0: x})[0]
            self.seconds += time.perf_counter() - start
            return score
