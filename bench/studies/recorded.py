"""An objective held to a number of evaluations, and optimisers on it: nothing but the optimiser differs."""

import contextlib
from collections.abc import Callable
from typing import Self

import numpy as np

from impasto.engine.compile.objective import Objective
from impasto.engine.optimisers.lbfgs import LbfgsSettings, lbfgs
from impasto.engine.optimisers.solution import Budget, Score, Vector, minimise

HISTORY = 10  # of torch.optim.LBFGS in most programs for style transfer
PIXEL = np.float32(255.0)


class _BudgetSpent(Exception):  # noqa: N818 - ends an optimiser that has no exact budget of its own
    """The objective was run as often as allowed."""


class Recorded:
    """An objective that keeps every loss and the best image, and stops at its budget.

    Attributes:
        losses: of every evaluation.
        best: the image of the lowest.
    """

    def __init__(self, objective: Objective, evaluations: int) -> None:
        """Take over the objective and how often it may be run."""
        self._objective = objective
        self._evaluations = evaluations
        self.losses: list[float] = []
        self.best: Vector = np.empty(0, np.float32)

    def __call__(self, x: Vector) -> Score:
        """Return loss and gradient at x.

        Raises:
            _BudgetSpent: no evaluation is left.
        """
        if len(self.losses) == self._evaluations:
            raise _BudgetSpent
        score = self._objective(x)
        if not self.losses or score.loss < min(self.losses):
            self.best = x.copy()
        self.losses.append(score.loss)
        return score

    def lowest(self, minimise: Callable[[Self], None]) -> Vector:
        """Let an optimiser run, and return the lowest loss seen after each evaluation."""
        with contextlib.suppress(_BudgetSpent):
            minimise(self)
        return np.asarray(np.minimum.accumulate(self.losses))


def run_lbfgs(objective: Recorded, x: Vector, evaluations: int, settings: LbfgsSettings) -> None:
    """Minimise with this project's L-BFGS."""
    for _ in minimise(lbfgs(x, settings), objective, Budget(evaluations=evaluations)):
        pass


def run_torch(objective: Recorded, x: Vector, evaluations: int, line_search: str | None = None) -> None:
    """Minimise with torch.optim.LBFGS as people use it for style transfer: pixels on 0..255, tolerances off."""
    import torch

    pixels = torch.tensor(x * PIXEL, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [pixels],
        max_iter=evaluations,
        max_eval=evaluations,
        history_size=HISTORY,
        tolerance_grad=-1,
        tolerance_change=-1,
        line_search_fn=line_search,
    )

    def closure() -> torch.Tensor:
        score = objective(np.asarray(pixels.detach().numpy() / PIXEL, np.float32))
        pixels.grad = torch.tensor(score.gradient / PIXEL)
        return torch.tensor(score.loss)

    optimizer.step(closure)  # type: ignore[no-untyped-call]
