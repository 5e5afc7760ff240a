"""Adam against PyTorch's, and its guards."""

import math

import numpy as np
import pytest

from impasto.engine.optimisers.adam import AdamSettings, adam
from impasto.engine.optimisers.outcome import Budget, Outcome, Vector
from tests.oracles.problems import gram_matching, quadratic, rosenbrock

START = np.array([-1.2, 1, -1.2, 1], np.float32)


def test_every_step_is_that_of_torch() -> None:
    torch = pytest.importorskip("torch")
    evaluate, x0 = gram_matching()
    largest = float(np.abs(evaluate(x0)[1]).max())
    settings = AdamSettings(learning_rate=0.02, beta1=0.8, beta2=0.99, epsilon=1e-3)
    theirs = torch.tensor(x0)
    optimizer = torch.optim.Adam([theirs], lr=0.02, betas=(0.8, 0.99), eps=1e-3 * largest)
    for step in adam(evaluate, x0, settings, Budget(iterations=60)):
        np.testing.assert_allclose(step.x, theirs.numpy(), atol=2e-5)
        assert step.loss == evaluate(step.x)[0]
        theirs.grad = torch.tensor(evaluate(theirs.numpy())[1])
        optimizer.step()


def test_the_first_step_is_the_learning_rate_in_every_element() -> None:
    steps = [step.x.copy() for step in adam(rosenbrock, START, AdamSettings(0.01), Budget(iterations=1))]
    np.testing.assert_allclose(steps[1] - steps[0], -0.01 * np.sign(rosenbrock(START)[1]), rtol=1e-3)


def test_a_quadratic_is_solved() -> None:
    evaluate, centre = quadratic(np.linspace(1, 10, 8))
    run = adam(evaluate, np.zeros(8, np.float32), AdamSettings(learning_rate=0.05), Budget(iterations=600))
    for _ in run:
        pass
    assert run.last is not None
    np.testing.assert_allclose(run.last.x, centre, atol=1e-3)


@pytest.mark.parametrize("scale", [1e-18, 1e-6, 1e6, 1e18])
def test_the_units_of_the_loss_do_not_matter(scale: float) -> None:
    evaluate, x0 = gram_matching()

    def scaled(x: Vector) -> tuple[float, Vector]:
        loss, gradient = evaluate(x)
        return loss * scale, gradient * np.float32(scale)

    plain = [step.loss for step in adam(evaluate, x0, budget=Budget(iterations=20))]
    other = [step.loss / scale for step in adam(scaled, x0, budget=Budget(iterations=20))]
    np.testing.assert_allclose(other, plain, rtol=1e-4)


def test_one_evaluation_is_one_iteration() -> None:
    run = adam(rosenbrock, START, budget=Budget(evaluations=9))
    assert [(step.iteration, step.evaluations) for step in run] == [(i, i + 1) for i in range(9)]
    assert run.outcome is Outcome.EVALUATIONS_DONE
    assert run.evaluations == 9


def test_iterations_end_it() -> None:
    run = adam(rosenbrock, START, budget=Budget(iterations=3))
    assert [step.iteration for step in run] == [0, 1, 2, 3]
    assert run.outcome is Outcome.ITERATIONS_DONE
    assert run.evaluations == 4


def test_a_zero_gradient_stays_where_it_is() -> None:
    run = adam(lambda x: (1.0, np.zeros_like(x)), START, budget=Budget(iterations=5))
    for step in run:
        np.testing.assert_array_equal(step.x, START)
    assert run.outcome is Outcome.ITERATIONS_DONE


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("where", ["loss", "gradient"])
@pytest.mark.parametrize("at", [(2,), (5, 6, 7)])
def test_values_not_finite_are_stepped_back_from(bad: float, where: str, at: tuple[int, ...]) -> None:
    evaluate, x0 = gram_matching(size=60)
    calls = [0]

    def poisoned(x: Vector) -> tuple[float, Vector]:
        calls[0] += 1
        loss, gradient = evaluate(x)
        if calls[0] in at:
            loss = bad if where == "loss" else loss
            gradient[3] = bad if where == "gradient" else gradient[3]
        return loss, gradient

    shares = []
    losses = []
    for step in adam(poisoned, x0, budget=Budget(evaluations=60)):
        assert step.evaluations not in at
        assert math.isfinite(step.loss)
        assert np.isfinite(step.x).all()
        shares.append(step.step_size)
        losses.append(step.loss)
    assert sorted(set(shares)) == [0, 0.5 ** len(at), 1]
    assert losses[-1] < 0.5 * losses[0]


def test_a_start_that_is_not_finite_is_an_outcome() -> None:
    run = adam(lambda x: (math.nan, np.ones_like(x)), START)
    assert list(run) == []
    assert run.outcome is Outcome.NON_FINITE_START


def test_a_wall_all_around_is_an_outcome() -> None:
    def walled(x: Vector) -> tuple[float, Vector]:
        return (1.0 if np.array_equal(x, START) else math.inf), np.ones_like(x)

    run = adam(walled, START, AdamSettings(max_halvings=4))
    assert len(list(run)) == 1
    assert run.outcome is Outcome.NON_FINITE_STEP
    assert run.evaluations == 6


def test_two_runs_are_the_same_to_the_bit_and_x0_stays() -> None:
    evaluate, x0 = gram_matching(size=3000)
    before = x0.copy()
    first = [step.x.copy() for step in adam(evaluate, x0, budget=Budget(iterations=10))]
    second = [step.x.copy() for step in adam(evaluate, x0, budget=Budget(iterations=10))]
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(x0, before)


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("learning_rate", 0.0, "above 0"),
        ("beta1", 1.0, "at least 0 and below 1"),
        ("beta2", -0.1, "at least 0 and below 1"),
        ("epsilon", 0.0, "above 0"),
        ("max_halvings", -1, "0 or more"),
    ],
)
def test_a_setting_out_of_range_is_refused(name: str, value: float, allowed: str) -> None:
    with pytest.raises(ValueError, match=f"^{name} is {value}; it must be {allowed}$"):
        AdamSettings(**{name: value})  # type: ignore[arg-type]
