"""The step of L-BFGS as a graph, against the optimiser in NumPy on the same functions."""

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest

from impasto.engine.optimisers import initial_inverse
from impasto.engine.optimisers.lbfgs import LbfgsSettings, lbfgs
from impasto.engine.optimisers.outcome import Budget, Outcome, Step
from impasto.export.optimiser import NEXT, REPORTED, Code, Spectrum, StepForm, build_step, real_fourier
from impasto.export.optimiser.state import SCALARS

SHAPE = (3, 12, 10)
SIZE = 360
Function = Callable[[np.ndarray], tuple[float, np.ndarray]]
"""Flat float32 -> loss and gradient."""


def quadratic(seed: int) -> Function:
    """Curvatures over five decades; the minimum is partly outside 0..1."""
    rng = np.random.default_rng(seed)
    axes, _ = np.linalg.qr(rng.standard_normal((SIZE, SIZE)))
    hessian = (axes * np.logspace(-2, 3, SIZE)) @ axes.T
    target = rng.uniform(-0.2, 1.2, SIZE)

    def function(x: np.ndarray) -> tuple[float, np.ndarray]:
        offset = x - target
        gradient = hessian @ offset
        return float(np.float32(0.5 * offset @ gradient)), gradient.astype(np.float32)

    return function


def wavy(seed: int) -> Function:
    """A quadratic with ripples, in which steps are too long now and then."""
    smooth, phase = quadratic(seed), np.random.default_rng(seed).uniform(0, 6, SIZE)

    def function(x: np.ndarray) -> tuple[float, np.ndarray]:
        loss, gradient = smooth(x)
        angle = 6 * x.astype(np.float64) + phase
        return float(np.float32(loss + 20 * np.sin(angle).sum() + 8000)), (gradient + 120 * np.cos(angle)).astype(
            np.float32
        )

    return function


def spectrum(prior_pairs: int = 0) -> Spectrum:
    vertical, horizontal = real_fourier(SHAPE[1])[1], real_fourier(SHAPE[2])[1]
    return Spectrum(
        initial_inverse.bands_of(vertical, horizontal, max(SHAPE)),
        initial_inverse.BANDS,
        initial_inverse.cosine_transform(3),
        initial_inverse.MEMORY,
        initial_inverse.FIRST_PAIRS,
        initial_inverse.EVERY,
        initial_inverse.STRENGTH,
        initial_inverse.NARROWEST,
        initial_inverse.WIDEST,
        initial_inverse.prior_energies(SHAPE),
        prior_pairs,
    )


def form(batch: int = 1, **changes: object) -> StepForm:
    settings = LbfgsSettings()
    plain = StepForm(
        batch=batch,
        shape=SHAPE,
        terms=2,
        log_rows=1,
        history_size=5,
        first_step_mean_change=settings.first_step_mean_change,
        sufficient_decrease=settings.sufficient_decrease,
        loss_noise=settings.loss_noise,
        least_cosine=settings.least_cosine,
        max_search_evaluations=settings.max_search_evaluations,
        bounds=None,
    )
    return dataclasses.replace(plain, **changes)  # type: ignore[arg-type]


class Driver:
    """Runs a step's graph on functions, one per sample.

    Attributes:
        rows: of the log, [N, columns] after each step.
        state: after the last step.
        images: to be evaluated next, [N, n].
        factors: of the weights, [N].
    """

    def __init__(self, form: StepForm, functions: Sequence[Function], starts: np.ndarray, limit: float = 1e9) -> None:
        graph = build_step(form)
        self._form, self._functions = form, functions
        self._session = ort.InferenceSession(ir.to_proto(graph.model).SerializeToString())
        self._names = [output.name for output in self._session.get_outputs()]
        self.state = {buffer.name: np.array(buffer.initial) for buffer in graph.state}
        self.state["x"][:] = starts
        self.images = starts
        self.factors = np.ones(form.batch, np.float32)
        self._limit = np.full((form.batch, 1), float(limit))
        self.rows: list[np.ndarray] = []

    def run(self, steps: int) -> "Driver":
        for _ in range(steps):
            found = [function(image) for function, image in zip(self._functions, self.images, strict=True)]
            with np.errstate(over="ignore", invalid="ignore"):
                losses = np.array([loss for loss, _ in found], np.float32) * self.factors
                gradients = np.stack([gradient for _, gradient in found]) * self.factors[:, None]
            values = {
                "loss": losses,
                "terms": np.stack([losses, 2 * losses], 1),
                "d_image": gradients.reshape(-1, *SHAPE),
                "limit": self._limit,
                **({"coefficients": np.ones((self._form.batch, 2), np.float32)} if self._form.scale else {}),
                **self.state,
            }
            outputs = dict(zip(self._names, self._session.run(None, values), strict=True))
            self.state = {name: outputs[name + NEXT] for name in self.state}
            self.images = outputs["image"].reshape(self._form.batch, SIZE)
            if self._form.scale:
                self.factors = outputs["weights"][:, 0]
            self.rows.append(self.state["log"][0])
        return self

    def column(self, name: str, sample: int = 0) -> list[float]:
        return [float(row[sample, REPORTED.index(name)]) for row in self.rows]

    def accepted(self, sample: int = 0) -> list[tuple[int, int, float]]:
        """Iteration, evaluations, loss of every accepted step, the start among them."""
        found: dict[int, tuple[int, int, float]] = {}
        columns = (self.column(name, sample) for name in ("iteration", "evaluations", "loss"))
        for iteration, evaluations, loss in zip(*columns, strict=True):
            if iteration >= 0:
                found.setdefault(int(iteration), (int(iteration), int(evaluations), loss))
        return list(found.values())


def approximately(points: Iterable[tuple[int, int, float]]) -> list[Any]:
    """Iteration and evaluations exactly, the loss within rounding."""
    return [(iteration, evaluations, pytest.approx(loss, rel=2e-4)) for iteration, evaluations, loss in points]


def in_numpy(function: Function, start: np.ndarray, form: StepForm, evaluations: int) -> tuple[list[Step], Outcome]:
    settings = LbfgsSettings(
        history_size=form.history_size,
        bounds=form.bounds,
        image_shape=SHAPE if form.spectrum else None,
        prior_pairs=form.spectrum.prior_pairs if form.spectrum else 0,
    )
    run = lbfgs(function, start, settings, Budget(evaluations=evaluations))
    steps = list(run)
    assert run.outcome is not None
    return steps, run.outcome


def starts(batch: int) -> np.ndarray:
    return np.random.default_rng(7).random((batch, SIZE), np.float32)


@pytest.mark.parametrize("bounds", [None, (0.0, 1.0)])
@pytest.mark.parametrize("spectral", [None, spectrum(), spectrum(prior_pairs=10)], ids=["scalar", "spectral", "prior"])
@pytest.mark.parametrize("kind", [quadratic, wavy])
def test_follows_the_optimiser_in_numpy(
    kind: Callable[[int], Function], spectral: Spectrum | None, bounds: tuple[float, float] | None
) -> None:
    chosen = form(3, bounds=bounds, spectrum=spectral)
    functions, x = [kind(seed) for seed in range(3)], starts(3)
    driver = Driver(chosen, functions, x).run(24)
    for sample, function in enumerate(functions):
        steps, _ = in_numpy(function, x[sample], chosen, 24)
        points = ((step.iteration, step.evaluations, step.loss) for step in steps)
        assert driver.accepted(sample) == approximately(points)
        assert np.abs(driver.state["x"][sample] - steps[-1].x).max() < 2e-3


def test_comes_as_far_as_the_optimiser_in_numpy_in_the_long_run() -> None:
    chosen = form(bounds=(0.0, 1.0), spectrum=spectrum())
    function, x = quadratic(1), starts(1)
    driver = Driver(chosen, [function], x).run(150)
    steps, _ = in_numpy(function, x[0], chosen, 150)
    assert driver.column("loss")[-1] == pytest.approx(steps[-1].loss, rel=0.03)
    assert steps[-1].loss < 0.02 * steps[0].loss


def test_a_rejected_step_is_shortened_as_in_numpy() -> None:
    function, x = wavy(6), starts(1)
    driver = Driver(form(), [function], x).run(20)
    steps, _ = in_numpy(function, x[0], form(), 20)
    shortened = [step for step in steps if 0 < step.step_size < 1]
    assert len(shortened) >= 2
    taken = dict(zip(driver.column("iteration"), driver.column("taken"), strict=True))
    for step in shortened:
        assert taken[step.iteration] == pytest.approx(step.step_size, rel=1e-2)


def test_terms_are_those_of_the_accepted_point() -> None:
    driver = Driver(form(), [wavy(5)], starts(1)).run(20)
    for row in driver.rows:
        loss = row[0, REPORTED.index("loss")]
        assert row[0, len(REPORTED) :].tolist() == [loss, 2 * loss]


def zero(x: np.ndarray) -> tuple[float, np.ndarray]:
    return 1.0, np.zeros_like(x)


def infinite(x: np.ndarray) -> tuple[float, np.ndarray]:
    return float("nan"), np.zeros_like(x)


class Uphill:
    """A gradient with the wrong sign; the loss is 0 at the start, so that noise explains nothing."""

    def __init__(self, start: np.ndarray) -> None:
        self._start = start

    def __call__(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        return float(np.float32((x - self._start).sum())), np.full_like(x, -1)


class Cliff:
    """Finite at the start, and only there."""

    def __init__(self, start: np.ndarray) -> None:
        self._start = start

    def __call__(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        there = np.array_equal(x, self._start)
        return (1.0 if there else float("inf")), np.full_like(x, 1.0 if there else np.nan)


@pytest.mark.parametrize("scale", [None, (10, 6, 12, 3)])
def test_ends_for_the_reasons_of_the_optimiser_in_numpy(scale: tuple[int, int, int, int] | None) -> None:
    x = starts(4)
    functions: list[Function] = [zero, infinite, Uphill(x[2]), Cliff(x[3])]
    driver = Driver(form(4, scale=scale), functions, x).run(120)
    for sample, function in enumerate(functions):
        steps, outcome = in_numpy(function, x[sample], form(), 120)
        assert Outcome[Code(int(driver.column("code", sample)[-1])).name] == outcome
        assert driver.column("iteration", sample)[-1] == (steps[-1].iteration if steps else -1)


def test_a_sample_that_has_ended_stays_as_it_is_and_disturbs_no_other() -> None:
    x = starts(2)
    alone = Driver(form(), [quadratic(0)], x[1:]).run(20)
    both = Driver(form(2), [zero, quadratic(0)], x).run(20)
    assert both.accepted(1) == approximately(alone.accepted())
    assert np.array_equal(both.state["x"][0], x[0])


def test_the_limit_is_kept_to_the_iteration() -> None:
    driver = Driver(form(), [quadratic(0)], starts(1), limit=4).run(5)
    kept = driver.state["x"].copy()
    driver.run(4)
    assert driver.column("iteration")[-1] == 4
    assert driver.column("code")[-1] == Code.ITERATIONS_DONE
    assert np.array_equal(driver.state["x"], kept)
    assert Driver(form(), [quadratic(0)], starts(1), limit=0).run(3).column("iteration")[-1] == 0


def test_the_factor_changes_nothing_but_what_float16_sees() -> None:
    function, x = quadratic(3), starts(1)
    plain = Driver(form(), [function], x).run(20)

    def small(image: np.ndarray) -> tuple[float, np.ndarray]:
        loss, gradient = function(image)
        return loss * 2.0**-30, gradient * np.float32(2.0**-30)

    scaled = Driver(form(scale=(10, 6, 12, 12)), [small], x).run(23)
    assert scaled.factors[0] > 2**20
    assert np.log2(scaled.factors[0]) == round(np.log2(scaled.factors[0]))
    expected = approximately((i, e, 2.0**-30 * loss) for i, e, loss in plain.accepted())
    assert scaled.accepted()[: len(expected)] == expected


def test_a_factor_too_large_is_backed_off() -> None:
    def function(x: np.ndarray) -> tuple[float, np.ndarray]:
        loss, gradient = quadratic(3)(x)
        return loss * 2.0**60, (gradient.astype(np.float64) * 2.0**60).astype(np.float32)

    driver = Driver(form(scale=(10, 6, 12, 12)), [function], starts(1)).run(12)
    assert driver.factors[0] < 2**-50
    assert driver.column("iteration")[-1] >= 8


def test_captured_graphs_need_no_control_flow_and_state_in_place_one_reader() -> None:
    graph = build_step(form(spectrum=spectrum(), bounds=(0.0, 1.0), scale=(10, 6, 12, 12)))
    assert {node.op_type for node in graph.model.graph}.isdisjoint({"If", "Loop", "Scan", "NonZero", "Unique"})
    in_place = {buffer.name for buffer in graph.state if buffer.in_place}
    assert in_place == {"s", "y", "log"}
    for value in graph.model.graph.inputs:
        if value.name in in_place:
            assert [use.node.op_type for use in value.uses()] == ["ScatterND"]


def test_every_value_has_a_static_shape() -> None:
    graph = build_step(form(2, spectrum=spectrum(), bounds=(0.0, 1.0)))
    for node in graph.model.graph:
        assert all(output.shape is not None and output.shape.is_static() for output in node.outputs), node


@pytest.mark.parametrize("size", [1, 2, 7, 16])
def test_real_fourier_is_orthonormal_and_names_its_frequencies(size: int) -> None:
    basis, frequencies = real_fourier(size)
    assert np.allclose(basis @ basis.T, np.eye(size), atol=1e-12)
    power = np.abs(np.fft.rfft(basis, axis=1)) ** 2
    assert np.allclose(np.fft.rfftfreq(size)[power.argmax(axis=1)], frequencies)


@pytest.mark.parametrize(("height", "width"), [(12, 10), (7, 9), (8, 5)])
def test_scaling_bands_in_the_real_basis_is_scaling_them_in_the_complex_spectrum(height: int, width: int) -> None:
    image, factors = np.random.default_rng(0).standard_normal((height, width)), np.random.default_rng(1).random(10)
    complex_band = initial_inverse.bands_of(np.abs(np.fft.fftfreq(height)), np.fft.rfftfreq(width), max(height, width))
    expected = np.fft.irfft2(np.fft.rfft2(image) * factors[complex_band], s=image.shape)
    (rows, vertical), (columns, horizontal) = real_fourier(height), real_fourier(width)
    band = initial_inverse.bands_of(vertical, horizontal, max(height, width))
    assert np.allclose(rows.T @ (factors[band] * (rows @ image @ columns.T)) @ columns, expected)


def test_the_state_has_a_column_for_everything_reported() -> None:
    assert set(REPORTED) <= set(SCALARS)
