"""An objective held to a number of evaluations, and PyTorch's optimiser on it: nothing but the optimiser differs."""

import numpy as np

from impasto.engine.device.objective import Objective
from impasto.engine.optimisers.outcome import Vector

HISTORY = 10  # of torch.optim.LBFGS in most programs for style transfer
PIXEL = np.float32(255.0)


class BudgetSpent(Exception):  # noqa: N818 - ends an optimiser that has no exact budget of its own
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

    def __call__(self, x: Vector) -> tuple[float, Vector]:
        """Return loss and gradient at x.

        Raises:
            BudgetSpent: no evaluation is left.
        """
        if len(self.losses) == self._evaluations:
            raise BudgetSpent
        loss, gradient = self._objective(x)
        if not self.losses or loss < min(self.losses):
            self.best = x.copy()
        self.losses.append(loss)
        return loss, gradient


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
        loss, gradient = objective(np.asarray(pixels.detach().numpy() / PIXEL, np.float32))
        pixels.grad = torch.tensor(gradient / PIXEL)
        return torch.tensor(loss)

    optimizer.step(closure)  # type: ignore[no-untyped-call]
