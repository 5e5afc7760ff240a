"""The step of Adam as a graph, against the optimiser in NumPy on the same functions."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest

from impasto.engine.optimisers.adam import AdamSettings
from impasto.engine.optimisers.solution import Budget
from impasto.export.optimiser import ADAM_SCALARS, NEXT, REPORTED, AdamForm, Code, build_adam_step
from tests.engine.optimisers.running import adam

SHAPE = (3, 6, 5)
SIZE = 90
START = np.random.default_rng(3).uniform(0.4, 1.0, SIZE).astype(np.float32)

Function = Callable[[np.ndarray], tuple[float, np.ndarray]]


def bowl(x: np.ndarray) -> tuple[float, np.ndarray]:
    offset = x.astype(np.float64) - np.linspace(-0.3, 1.3, SIZE)
    curvatures = np.logspace(-1, 3, SIZE)
    return float(np.float32(0.5 * offset @ (curvatures * offset))), (curvatures * offset).astype(np.float32)


def cliff(x: np.ndarray) -> tuple[float, np.ndarray]:
    """Not finite where the mean falls below 0.65, which is near the start: steps have to be halved, and then fail."""
    loss, gradient = bowl(x)
    return (math.nan if x.mean() < 0.65 else loss), gradient


def form(settings: AdamSettings, scale: tuple[int, int, int, int] | None = None) -> AdamForm:
    numbers = {
        name: getattr(settings, name)
        for name in ("learning_rate", "beta1", "beta2", "epsilon", "max_halvings", "bounds", "average")
    }
    return AdamForm(batch=1, shape=SHAPE, terms=2, log_rows=1, scale=scale, **numbers)


class Driver:
    """Runs the graph on a function. The factor of the weights multiplies what the function returns."""

    def __init__(self, form: AdamForm, function: Function, limit: float = 1e9) -> None:
        graph = build_adam_step(form)
        self._session = ort.InferenceSession(ir.to_proto(graph.model).SerializeToString())
        self._names = [output.name for output in self._session.get_outputs()]
        self._function, self._limit, self._form = function, limit, form
        self.state: dict[str, Any] = {buffer.name: np.array(buffer.initial) for buffer in graph.state}
        self.state["x"][:] = START
        self.image, self.factor = START, np.float32(1)
        self.rows: list[np.ndarray] = []

    def step(self, loss: float, gradient: np.ndarray) -> None:
        values = {
            "loss": np.array([loss], np.float32),
            "terms": np.array([[loss, 2 * loss]], np.float32),
            "d_image": gradient.reshape(1, *SHAPE),
            "limit": np.full((1, 1), float(self._limit)),
            **({"coefficients": np.ones((1, 2), np.float32)} if self._form.scale else {}),
            **self.state,
        }
        outputs: dict[str, Any] = dict(zip(self._names, self._session.run(None, values), strict=True))
        self.state = {name: outputs[name + NEXT] for name in self.state}
        self.image = outputs["image"].reshape(SIZE)
        self.factor = outputs["weights"][0, 0] if self._form.scale else self.factor
        self.rows.append(self.state["log"][0, 0])

    def run(self, steps: int) -> "Driver":
        for _ in range(steps):
            loss, gradient = self._function(self.image)
            self.step(float(np.float32(loss) * self.factor), gradient * self.factor)
        return self

    def column(self, name: str) -> list[float]:
        return [float(row[REPORTED.index(name)]) for row in self.rows]


@pytest.mark.parametrize("average", [0.0, 0.9])
@pytest.mark.parametrize("bounds", [None, (0.0, 1.0)])
@pytest.mark.parametrize("scale", [None, (10, 6, 12, 12)])
def test_follows_the_optimiser_in_numpy(
    bounds: tuple[float, float] | None, average: float, scale: tuple[int, int, int, int] | None
) -> None:
    settings = AdamSettings(bounds=bounds, average=average)
    run = adam(bowl, START, settings, Budget(evaluations=40))
    expected = [(step.loss, step.evaluations, step.point().copy()) for step in run]
    driver = Driver(form(settings, scale), bowl)
    seen = 0
    for _ in range(60):
        driver.run(1)
        if int(driver.rows[-1][REPORTED.index("iteration")]) == seen and seen < len(expected):
            loss, evaluations, point = expected[seen]
            assert driver.column("loss")[-1] == pytest.approx(loss, rel=1e-5)
            assert int(driver.column("evaluations")[-1]) == evaluations
            np.testing.assert_allclose(driver.state["x"][0], point, atol=2e-6)
            seen += 1
    assert seen == len(expected) == 40


def test_halves_steps_and_ends_as_in_numpy() -> None:
    settings = AdamSettings(max_halvings=5)
    run = adam(cliff, START, settings, Budget(evaluations=200))
    steps = list(run)
    driver = Driver(form(settings), cliff).run(200)
    assert len(steps) > 3
    assert any(step.step_size not in (0.0, 1.0) for step in steps)
    assert run.outcome is not None
    assert Code(int(driver.column("code")[-1])).name == run.outcome.name == "NON_FINITE_STEP"
    assert int(driver.column("iteration")[-1]) == steps[-1].iteration
    assert driver.column("loss")[-1] == pytest.approx(steps[-1].loss, rel=1e-5)


def test_a_start_that_is_not_finite_ends_the_run() -> None:
    driver = Driver(form(AdamSettings()), lambda x: (math.inf, bowl(x)[1])).run(3)
    assert Code(int(driver.column("code")[0])) == Code.NON_FINITE_START
    assert driver.column("evaluations") == [1, 1, 1]


def test_the_limit_is_kept_to_the_iteration() -> None:
    driver = Driver(form(AdamSettings()), bowl, limit=3).run(8)
    assert driver.column("iteration") == [0, 1, 2, 3, 3, 3, 3, 3]
    assert Code(int(driver.column("code")[-1])) == Code.ITERATIONS_DONE


def test_continues_from_moments_without_a_trial_point() -> None:
    """What a change of the size does: the next trial point is computed from the moments alone."""
    driver = Driver(form(AdamSettings()), bowl).run(5)
    wanted, scalars = driver.image.copy(), driver.state["scalars"].copy()
    driver.state["trial"] = np.zeros_like(driver.state["trial"])
    driver.state["scalars"][0, ADAM_SCALARS.index("halvings")] = -1
    driver.state["scalars"][0, ADAM_SCALARS.index("evaluations")] -= 1
    driver.step(math.nan, np.zeros(SIZE, np.float32))
    np.testing.assert_array_equal(driver.image, wanted)
    np.testing.assert_array_equal(driver.state["scalars"], scalars)
