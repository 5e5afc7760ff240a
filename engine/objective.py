"""A session as a function: image in, loss and gradient out."""

import math
import time
from collections import deque
from collections.abc import Mapping, Sequence

import numpy as np

from impasto.engine.loss_scaling import MOST_ATTEMPTS, LossScale
from impasto.engine.session import Session
from impasto.export.terms import GRADIENT, IMAGE, LOSS, TERMS, WEIGHTS, Term

REMEMBERED_CALLS = 64  # more than one line search makes


class Objective:
    """The loss of one image and its gradient, for targets and weights that stay the same.

    Attributes:
        seconds: spent in all calls so far.
    """

    def __init__(
        self,
        session: Session,
        terms: Sequence[Term],
        targets: Mapping[str, np.ndarray],
        coefficients: Sequence[float],
        *,
        scale: LossScale | None = None,
    ) -> None:
        """Bind the targets and weights.

        Args:
            session: of an objective graph with batch 1.
            terms: of that graph.
            targets: arrays by the names of the graph's target inputs.
            coefficients: of the terms, in their order.
            scale: for a graph with float16 inside; None multiplies by nothing.
        """
        self._session = session
        self._names = [term.name for term in terms]
        for name, value in targets.items():
            session.set(name, value)
        self._coefficients = np.array([coefficients], np.float32)
        session.set(WEIGHTS, self._coefficients)
        self._scale = scale
        self.seconds = 0.0
        self._recent: deque[tuple[float, dict[str, float]]] = deque(maxlen=REMEMBERED_CALLS)

    def __call__(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the loss at x and its gradient, both of them for a flat float32 vector of 3 H W values in 0..1.

        The gradient is the session's own buffer, valid until the next call.
        """
        start = time.perf_counter()
        self._session.set(IMAGE, x.reshape(self._session.inputs[IMAGE].shape))
        outputs = self._session.run() if self._scale is None else self._run_scaled(self._scale)
        loss, terms = float(outputs[LOSS][0]), dict(zip(self._names, outputs[TERMS][0].tolist(), strict=True))
        self._recent.append((loss, terms))
        self.seconds += time.perf_counter() - start
        return loss, outputs[GRADIENT].reshape(-1)

    def _run_scaled(self, scale: LossScale) -> Mapping[str, np.ndarray]:
        """Run with weights multiplied, as often as it takes to find a factor, and return the results divided."""
        for _ in range(MOST_ATTEMPTS):
            factor = np.float32(scale.factor)
            self._session.set(WEIGHTS, self._coefficients * factor)
            outputs = self._session.run()
            largest = max(float(outputs[GRADIENT].max()), -float(outputs[GRADIENT].min()))
            if not scale.settle(largest if np.isfinite(outputs[LOSS][0]) else math.inf):
                break
        for name in (LOSS, TERMS, GRADIENT):
            outputs[name][...] /= factor
        return outputs

    def terms_of(self, loss: float) -> dict[str, float]:
        """Return every weighted term of the latest call that returned this loss, by name."""
        return next(terms for seen, terms in reversed(self._recent) if seen == loss)
