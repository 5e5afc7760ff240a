"""A session as a function: image in, loss and gradient out."""

from collections.abc import Mapping, Sequence

import numpy as np

from impasto.engine.session import Session
from impasto.export.objective import GRADIENT, IMAGE, LOSS, TERMS, WEIGHTS, Term


class Objective:
    """The loss of one image and its gradient, for targets and weights that stay the same.

    Attributes:
        evaluations: how often it was called.
        terms: every weighted term of the last call, by name.
    """

    def __init__(
        self, session: Session, terms: Sequence[Term], targets: Mapping[str, np.ndarray], coefficients: Sequence[float]
    ) -> None:
        """Bind the targets and weights.

        Args:
            session: of an objective graph with batch 1.
            terms: of that graph.
            targets: arrays by the names of the graph's target inputs.
            coefficients: of the terms, in their order.
        """
        self._session = session
        self._names = [term.name for term in terms]
        for name, value in targets.items():
            session.set(name, value)
        session.set(WEIGHTS, np.array([coefficients], np.float32))
        self.evaluations = 0
        self.terms: dict[str, float] = {}

    def __call__(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the loss at x and its gradient, both of them for a flat float32 vector of 3 H W values in 0..1.

        The gradient is the session's own buffer, valid until the next call.
        """
        self._session.set(IMAGE, x.reshape(self._session.inputs[IMAGE].shape))
        outputs = self._session.run()
        self.evaluations += 1
        self.terms = dict(zip(self._names, outputs[TERMS][0].tolist(), strict=True))
        return float(outputs[LOSS][0]), outputs[GRADIENT].reshape(-1)
