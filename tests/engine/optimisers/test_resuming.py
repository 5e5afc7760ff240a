"""A run that is resumed from the state of a step takes the same steps, to the bit, as one that never stopped."""

import io
import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest

from impasto.engine.optimisers.adam import AdamSettings
from impasto.engine.optimisers.lbfgs import LbfgsSettings
from impasto.engine.optimisers.solution import Budget, Minimisation, Outcome, State, Step, Vector, counts_of
from tests.engine.optimisers.running import Evaluate, adam, lbfgs
from tests.oracles.problems import gram_matching, rosenbrock

SIZE, SHAPE = 240, (3, 8, 10)
EVALUATIONS = 48
SHORT_SEARCHES = LbfgsSettings(max_search_evaluations=3)


@dataclass(frozen=True)
class Case:
    """A run of one optimiser.

    Attributes:
        name: of the test.
        settings: decide the optimiser.
        bad: numbers of the evaluations whose loss is NaN, from 1.
        rough: the loss is made uneven by a function of x, so that searches fail for other reasons.
        valley: Rosenbrock's function instead of Gram matching.
    """

    name: str
    settings: LbfgsSettings | AdamSettings
    bad: tuple[range, ...] = ()
    rough: bool = False
    valley: bool = False

    def run(
        self, state: State | None = None, before: Callable[[], None] = lambda: None, budget: Budget | None = None
    ) -> Minimisation:
        """Start the run, or resume it; `before` is called at every evaluation."""
        evaluate, x0 = (rosenbrock, np.tile(np.array([-1.2, 1], np.float32), 6)) if self.valley else gram_matching(SIZE)
        done = [0 if state is None else counts_of(state)[1]]

        def counting(x: Vector) -> tuple[float, Vector]:
            before()
            done[0] += 1
            loss, gradient = evaluate(x)
            if self.rough:
                loss *= 1 + 0.05 * math.sin(1e6 * float(x.sum()))
            return math.nan if any(done[0] in numbers for numbers in self.bad) else loss, gradient

        return self._begin(counting, x0 if state is None else np.zeros_like(x0), budget, state)

    def _begin(self, evaluate: Evaluate, x0: Vector, budget: Budget | None, state: State | None) -> Minimisation:
        budget = budget or Budget(evaluations=EVALUATIONS)
        if isinstance(self.settings, AdamSettings):
            return adam(evaluate, x0, self.settings, budget, state)
        return lbfgs(evaluate, x0, self.settings, budget, state)


CASES = [
    Case("lbfgs", LbfgsSettings()),
    Case("one pair", LbfgsSettings(history_size=1)),
    Case("more pairs than steps", LbfgsSettings(history_size=100)),
    Case("valley", LbfgsSettings(), valley=True),
    Case("bounds", LbfgsSettings(bounds=(0.2, 0.8))),
    Case("spectral", LbfgsSettings(image_shape=SHAPE)),
    Case("prior", LbfgsSettings(image_shape=SHAPE, prior_pairs=10)),
    Case("all", LbfgsSettings(history_size=3, image_shape=SHAPE, prior_pairs=10, bounds=(0.2, 0.8))),
    Case("one rejected", LbfgsSettings(), bad=(range(2, 3), range(7, 10))),
    Case("dropped", SHORT_SEARCHES, bad=(range(12, 15), range(40, 43))),
    Case("dropped, spectral", LbfgsSettings(image_shape=SHAPE, max_search_evaluations=3), bad=(range(12, 15),)),
    Case("dropped, one pair", LbfgsSettings(history_size=1, max_search_evaluations=3), bad=(range(12, 15),)),
    Case("rough", SHORT_SEARCHES, rough=True),
    Case("failed", SHORT_SEARCHES, bad=(range(30, 100),)),
    Case("adam", AdamSettings()),
    Case("adam, average", AdamSettings(average=0.9)),
    Case("adam, average, bounds", AdamSettings(average=0.99, bounds=(0.2, 0.8))),
    Case("adam, average, halvings", AdamSettings(average=0.5), bad=(range(2, 4), range(20, 25))),
    Case("adam, bounds", AdamSettings(bounds=(0.2, 0.8))),
    Case("adam, halvings", AdamSettings(), bad=(range(2, 4), range(20, 25))),
    Case("adam, failed", AdamSettings(max_halvings=3), bad=(range(30, 100),)),
]
DROPPED = [case for case in CASES if case.name.startswith("dropped")]
PLAIN = [case for case in CASES if case.name in {"lbfgs", "adam"}]


def each(cases: list[Case]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", cases, ids=lambda case: case.name)


def seen(step: Step) -> tuple[int, int, float, float, bytes]:
    return step.iteration, step.evaluations, step.loss, step.step_size, step.x.tobytes()


def saved(state: State) -> bytes:
    file = io.BytesIO()
    np.savez(file, **state)  # type: ignore[arg-type]
    return file.getvalue()


def loaded(file: bytes) -> State:
    with np.load(io.BytesIO(file), allow_pickle=False) as arrays:
        return dict(arrays)


def assert_equal(one: State, other: State) -> None:
    assert one.keys() == other.keys()
    for name, array in one.items():
        assert array.dtype == other[name].dtype, name
        np.testing.assert_array_equal(array, other[name], err_msg=name, strict=True)


@each(CASES)
def test_a_run_resumed_from_any_step_takes_the_steps_that_followed(case: Case) -> None:
    run = case.run()
    steps, files = [], []
    for step in run:
        steps.append(seen(step))
        files.append(saved(step.state()))
    assert len(steps) > 20
    for done, file in enumerate(files, start=1):
        resumed = case.run(loaded(file))
        assert [seen(step) for step in resumed] == steps[done:]
        assert (resumed.outcome, resumed.evaluations) == (run.outcome, run.evaluations)


@each(DROPPED)
def test_the_cases_that_drop_the_history_do(case: Case) -> None:
    run = [(step.evaluations, len(step.state()["slots"])) for step in case.run()]
    most = SHORT_SEARCHES.max_search_evaluations
    pairs = [now for (before, _), (after, now) in pairwise(run) if after - before > most]  # two searches for one step
    assert pairs
    assert set(pairs) == {1}


def test_the_cases_that_fail_do() -> None:
    for case in CASES:
        run = case.run()
        assert list(run)
        expected = Outcome.NON_FINITE_STEP if case.name.endswith("failed") else Outcome.EVALUATIONS_DONE
        assert run.outcome is expected or case.rough


@each(CASES)
def test_the_state_stays_that_of_the_latest_step_until_the_next(case: Case) -> None:
    at_steps: list[State] = []
    late: list[tuple[int, State]] = []

    def take() -> None:
        if run.last is not None:
            late.append((run.last.iteration, run.last.state()))

    run = case.run(before=take)
    at_steps.extend(step.state() for step in run)
    take()  # after the end
    assert [iteration for iteration, _ in late][-1] == len(at_steps) - 1
    for iteration, state in late:
        assert_equal(state, at_steps[iteration])
    if case.bad or case.rough:
        assert len(late) > len(at_steps)


@each(CASES)
def test_a_state_shares_no_memory_with_the_run(case: Case) -> None:
    untouched = [seen(step) for step in case.run()]
    kept: list[tuple[State, bytes]] = []
    steps = []
    for step in case.run():
        steps.append(seen(step))
        kept.append((step.state(), saved(step.state())))
        for array in step.state().values():
            array[...] = 0
    assert steps == untouched
    for state, file in kept:
        assert_equal(state, loaded(file))


@each(CASES)
def test_a_resumed_run_leaves_its_state_alone(case: Case) -> None:
    state = next(step.state() for step in case.run() if step.iteration == 12)
    file = saved(state)
    list(case.run(state))
    assert_equal(state, loaded(file))
    for array in state.values():
        array.flags.writeable = False
    list(case.run(state))


@each(PLAIN + DROPPED)
@pytest.mark.parametrize("evaluations", [13, 14, 15, 16, 30])
def test_a_budget_of_evaluations_includes_those_before(case: Case, evaluations: int) -> None:
    states = [step.state() for step in case.run(budget=Budget(evaluations=13))]
    whole = case.run(budget=Budget(evaluations=evaluations))
    steps = [seen(step) for step in whole]
    resumed = case.run(states[-1], budget=Budget(evaluations=evaluations))
    assert [seen(step) for step in resumed] == steps[len(states) :]
    assert resumed.evaluations == whole.evaluations == evaluations
    assert resumed.outcome is whole.outcome is Outcome.EVALUATIONS_DONE


@each(PLAIN)
def test_a_spent_budget_allows_a_resumed_run_no_evaluation(case: Case) -> None:
    *_, last = case.run(budget=Budget(iterations=12))
    calls: list[None] = []
    for budget, outcome in (
        (Budget(iterations=12), Outcome.ITERATIONS_DONE),
        (Budget(evaluations=last.evaluations), Outcome.EVALUATIONS_DONE),
    ):
        run = case.run(last.state(), lambda: calls.append(None), budget)
        assert list(run) == []
        assert run.outcome is outcome
        assert run.evaluations == last.evaluations
    assert not calls
    one_more = case.run(last.state(), budget=Budget(iterations=13))
    assert [step.iteration for step in one_more] == [13]
    assert one_more.outcome is Outcome.ITERATIONS_DONE
