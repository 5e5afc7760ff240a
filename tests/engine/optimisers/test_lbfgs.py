"""L-BFGS on problems with known minima, and what it shows of its steps."""

from itertools import pairwise

import numpy as np
import pytest

from impasto.engine.optimisers.lbfgs import LbfgsSettings
from impasto.engine.optimisers.solution import Budget, Outcome, Step, Vector
from tests.engine.optimisers.running import Evaluate, lbfgs
from tests.oracles.problems import gram_matching, quadratic, rosenbrock


def solve(
    evaluate: Evaluate, x0: Vector, settings: LbfgsSettings | None = None, *, evaluations: int
) -> tuple[Step, list[float]]:
    """Minimise; return the last step and all losses."""
    run = lbfgs(evaluate, x0, settings, Budget(evaluations=evaluations))
    losses = [step.loss for step in run]
    assert run.last is not None
    return run.last, losses


def test_a_small_quadratic_is_solved_to_rounding() -> None:
    evaluate, centre = quadratic(np.linspace(1, 10, 8))
    last, _ = solve(evaluate, np.zeros(8, np.float32), evaluations=60)
    np.testing.assert_allclose(last.x, centre, atol=1e-6)


@pytest.mark.parametrize(("decades", "evaluations", "share"), [(2, 150, 1e-9), (4, 400, 1e-6), (6, 400, 1e-4)])
def test_an_ill_conditioned_quadratic_is_brought_down(decades: int, evaluations: int, share: float) -> None:
    evaluate, _ = quadratic(10 ** np.linspace(-decades, 0, 50))
    last, losses = solve(evaluate, np.zeros(50, np.float32), evaluations=evaluations)
    assert last.loss < share * losses[0]


@pytest.mark.parametrize("size", [2, 10])
def test_rosenbrock_valley_is_followed_to_its_end(size: int) -> None:
    start = np.tile(np.array([-1.2, 1.0], np.float32), size // 2)
    last, _ = solve(rosenbrock, start, evaluations=200)
    np.testing.assert_allclose(last.x, 1, atol=1e-3)


@pytest.mark.parametrize("scale", [1e-20, 1e-6, 1e6, 1e20])
def test_the_units_of_the_loss_do_not_matter(scale: float) -> None:
    evaluate, x0 = gram_matching()

    def scaled(x: Vector) -> tuple[float, Vector]:
        loss, gradient = evaluate(x)
        return loss * scale, gradient * np.float32(scale)

    plain, _ = solve(evaluate, x0, evaluations=15)
    other, _ = solve(scaled, x0, evaluations=15)
    assert other.loss / scale == pytest.approx(plain.loss, rel=5e-3)  # rounding grows from step to step


def test_one_variable_is_enough() -> None:
    last, _ = solve(lambda x: (float((x[0] - 3) ** 2), 2 * (x - 3)), np.zeros(1, np.float32), evaluations=30)
    assert last.x[0] == pytest.approx(3, abs=1e-5)


def test_the_first_step_changes_x_by_its_setting_in_the_mean() -> None:
    points: list[Vector] = []

    def evaluate(x: Vector) -> tuple[float, Vector]:
        points.append(x.copy())
        return rosenbrock(x)

    x0 = np.full(20, 0.3, np.float32)
    list(lbfgs(evaluate, x0, LbfgsSettings(first_step_mean_change=0.01), Budget(evaluations=2)))
    change = points[1] - points[0]
    assert np.abs(change).mean() == pytest.approx(0.01, rel=1e-4)
    np.testing.assert_allclose(change / change[0], rosenbrock(x0)[1] / rosenbrock(x0)[1][0], rtol=1e-3)


def test_the_usual_step_is_accepted_at_its_first_trial() -> None:
    """Sixteen problems together: the share of a single one depends on how the processor rounds."""
    usual = count = 0
    for seed in range(16):
        evaluate, x0 = gram_matching(seed=seed)
        sizes = [step.step_size for step in lbfgs(evaluate, x0, budget=Budget(evaluations=100))]
        assert len(sizes) >= 85
        usual, count = usual + sum(size == 1 for size in sizes), count + len(sizes)
    assert usual >= 0.875 * count


def test_a_larger_history_helps_where_curvature_varies() -> None:
    evaluate, _ = quadratic(10 ** np.linspace(-4, 0, 50))
    small, _ = solve(evaluate, np.zeros(50, np.float32), LbfgsSettings(history_size=1), evaluations=150)
    large, _ = solve(evaluate, np.zeros(50, np.float32), LbfgsSettings(history_size=20), evaluations=150)
    assert large.loss < 0.5 * small.loss


def test_steps_say_what_happened() -> None:
    run = lbfgs(rosenbrock, np.array([-1.2, 1], np.float32), budget=Budget(iterations=12))
    seen = []
    for step in run:
        assert step is run.last
        assert step.evaluations == run.evaluations
        loss, _ = rosenbrock(step.x)
        assert step.loss == loss
        seen.append((step.iteration, step.evaluations, step.step_size))
    assert [iteration for iteration, _, _ in seen] == list(range(13))
    assert seen[0] == (0, 1, 0.0)
    assert all(later[1] > earlier[1] for earlier, later in pairwise(seen))
    assert all(size > 0 for _, _, size in seen[1:])
    assert any(size < 1 for _, _, size in seen[1:])  # this valley takes shortened steps
    assert run.outcome is Outcome.ITERATIONS_DONE


def test_the_caller_cannot_write_to_x_and_x0_stays() -> None:
    x0 = np.array([-1.2, 1], np.float32)
    seen: list[Vector] = []

    def evaluate(x: Vector) -> tuple[float, Vector]:
        seen.append(x)
        return rosenbrock(x)

    run = lbfgs(evaluate, x0, budget=Budget(iterations=5))
    for step in run:
        with pytest.raises(ValueError, match="read-only"):
            step.x[0] = 0
        with pytest.raises(ValueError, match="read-only"):
            seen[-1][0] = 0
    np.testing.assert_array_equal(x0, np.array([-1.2, 1], np.float32))


def test_the_objective_may_reuse_its_gradient_buffer() -> None:
    evaluate, x0 = gram_matching()
    buffer = np.empty_like(x0)

    def reusing(x: Vector) -> tuple[float, Vector]:
        loss, buffer[:] = evaluate(x)
        return loss, buffer

    _, expected = solve(evaluate, x0, evaluations=40)
    _, actual = solve(reusing, x0, evaluations=40)
    assert actual == expected


def test_two_runs_are_the_same_to_the_bit() -> None:
    evaluate, x0 = gram_matching(size=3000)
    first, first_losses = solve(evaluate, x0, evaluations=40)
    second, second_losses = solve(evaluate, x0, evaluations=40)
    assert first_losses == second_losses
    np.testing.assert_array_equal(first.x, second.x)


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("history_size", 0, "1 or more"),
        ("first_step_mean_change", 0.0, "above 0"),
        ("first_step_mean_change", float("nan"), "above 0"),
        ("sufficient_decrease", 1.0, "between 0 and 1"),
        ("loss_noise", -1e-9, "at least 0 and below 1"),
        ("least_cosine", 1.0, "at least 0 and below 1"),
        ("max_search_evaluations", 0, "1 or more"),
    ],
)
def test_a_setting_out_of_range_is_refused(name: str, value: object, allowed: str) -> None:
    with pytest.raises(ValueError, match=f"^{name} is {value}; it must be {allowed}$"):
        LbfgsSettings(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "x0", [np.zeros(3), np.zeros((2, 2), np.float32), np.zeros(0, np.float32)], ids=["float64", "2-D", "empty"]
)
def test_only_flat_float32_is_taken(x0: np.ndarray) -> None:
    with pytest.raises(ValueError, match="must be flat float32 with at least one element"):
        lbfgs(rosenbrock, x0)


def test_a_gradient_of_another_type_or_shape_is_refused() -> None:
    x0 = np.zeros(3, np.float32)
    with pytest.raises(ValueError, match=r"gradient is float64 \(3,\); it must be float32 \(3,\)"):
        list(lbfgs(lambda x: (0.0, np.zeros(3)), x0))  # type: ignore[arg-type,return-value]
    with pytest.raises(ValueError, match=r"gradient is float32 \(1,\); it must be float32 \(3,\)"):
        list(lbfgs(lambda x: (0.0, np.zeros(1, np.float32)), x0))
