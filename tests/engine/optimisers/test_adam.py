"""Adam against PyTorch's, and its guards."""

import math

import numpy as np
import pytest

from impasto.engine.optimisers.adam import AdamSettings
from impasto.engine.optimisers.solution import Budget, Outcome, StateError, Vector
from tests.engine.optimisers.running import adam
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


@pytest.mark.parametrize("decay", [0.3, 0.9, 0.99])
def test_the_average_is_that_of_all_iterates_in_float64(decay: float) -> None:
    """Bias-corrected, the start included; losses are those of the iterates, which the average does not touch."""
    evaluate, x0 = gram_matching()
    iterates: list[Vector] = []
    for number, (plain, averaged) in enumerate(
        zip(
            adam(evaluate, x0, AdamSettings(0.02), Budget(iterations=60)),
            adam(evaluate, x0, AdamSettings(0.02, average=decay), Budget(iterations=60)),
            strict=True,
        ),
        start=1,
    ):
        iterates.append(plain.x.copy())
        assert averaged.loss == plain.loss
        weights = (1 - decay) * decay ** np.arange(number - 1, -1, -1.0) / (1 - decay**number)
        np.testing.assert_allclose(averaged.x, weights @ np.array(iterates, np.float64), rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(averaged.state()["iterate"], plain.x)
        np.testing.assert_array_equal(averaged.state()["x"], averaged.x)


def test_the_average_is_that_of_the_published_form() -> None:
    """S_n = D S_(n-1) + (1 - D) x_n, divided by 1 - D^n, as Kingma and Ba write it and others implement it."""
    evaluate, x0 = gram_matching()
    total, product = np.zeros(len(x0)), 1.0
    for step in adam(evaluate, x0, AdamSettings(0.02, average=0.9), Budget(iterations=30)):
        total = 0.9 * total + 0.1 * step.state()["iterate"].astype(np.float64)
        product *= 0.9
        np.testing.assert_allclose(step.x, total / (1 - product), rtol=1e-5, atol=1e-6)


def test_an_average_swings_less() -> None:
    rng, (evaluate, centre) = np.random.default_rng(0), quadratic(np.linspace(1, 10, 8))

    def noisy(x: Vector) -> tuple[float, Vector]:
        loss, gradient = evaluate(x)
        return loss, gradient + rng.normal(0, 1, 8).astype(np.float32)

    run = adam(noisy, np.zeros(8, np.float32), AdamSettings(learning_rate=0.05, average=0.99), Budget(iterations=2000))
    errors = [np.abs([step.x - centre, step.state()["iterate"] - centre]).mean(1) for step in run][1000:]
    average, iterate = np.mean(errors, 0)
    assert average < 0.5 * iterate


def test_an_average_stays_between_bounds() -> None:
    evaluate, x0 = gram_matching()
    settings = AdamSettings(0.3, bounds=(0.2, 0.8), average=0.7)
    for step in adam(evaluate, x0, settings, Budget(iterations=40)):
        assert step.x.min() >= np.float32(0.2)
        assert step.x.max() <= np.float32(0.8)


def test_a_state_without_the_iterate_is_refused() -> None:
    settings = AdamSettings(average=0.9)
    (*_, last) = adam(rosenbrock, START, settings, Budget(iterations=3))
    state = last.state()
    del state["iterate"]
    with pytest.raises(StateError, match="iterate is missing"):
        adam(rosenbrock, START, settings, Budget(iterations=9), state)


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
        ("average", 1.0, "at least 0 and below 1"),
        ("average", -0.5, "at least 0 and below 1"),
    ],
)
def test_a_setting_out_of_range_is_refused(name: str, value: float, allowed: str) -> None:
    with pytest.raises(ValueError, match=f"^{name} is {value}; it must be {allowed}$"):
        AdamSettings(**{name: value})  # type: ignore[arg-type]
