"""The optimisers stepped with functions that return (loss, gradient)."""

from collections.abc import Callable

from impasto.engine.optimisers import adam as adam_module
from impasto.engine.optimisers import lbfgs as lbfgs_module
from impasto.engine.optimisers.adam import AdamSettings
from impasto.engine.optimisers.lbfgs import LbfgsSettings
from impasto.engine.optimisers.solution import Budget, Minimisation, Score, State, Vector, minimise

Evaluate = Callable[[Vector], tuple[float, Vector]]


def lbfgs(
    evaluate: Evaluate,
    x0: Vector,
    settings: LbfgsSettings | None = None,
    budget: Budget | None = None,
    state: State | None = None,
) -> Minimisation:
    return minimise(lbfgs_module.lbfgs(x0, settings, state), lambda x: Score(*evaluate(x)), budget, state)


def adam(
    evaluate: Evaluate,
    x0: Vector,
    settings: AdamSettings | None = None,
    budget: Budget | None = None,
    state: State | None = None,
) -> Minimisation:
    return minimise(adam_module.adam(x0, settings, state), lambda x: Score(*evaluate(x)), budget, state)
