"""The spectral initial inverse against its definition, and what it brings to L-BFGS."""

import numpy as np
import pytest

from impasto.engine.optimisers.curvature import CurvatureHistory
from impasto.engine.optimisers.initial_inverse import (
    BANDS,
    NARROWEST,
    STRENGTH,
    WIDEST,
    InitialInverse,
    ScalarInverse,
    SpectralInverse,
    prior_energies,
)
from impasto.engine.optimisers.lbfgs import LbfgsSettings, lbfgs
from impasto.engine.optimisers.outcome import Budget, Vector
from tests.oracles.bfgs import two_loop_direction

SHAPES = [(3, 16, 16), (3, 15, 17), (1, 16, 9), (3, 1, 5), (4, 7, 1), (3, 1, 1)]

Shape = tuple[int, int, int]


def vectors(count: int, shape: Shape, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.normal(size=int(np.prod(shape))).astype(np.float32) for _ in range(count)]


def observe(inverse: InitialInverse, s: np.ndarray, y: np.ndarray) -> None:
    inverse.observe(s, y, float(s @ y), float(y @ y))


def product(inverse: InitialInverse, vector: np.ndarray) -> np.ndarray:
    out = np.empty_like(vector)
    inverse.multiply(vector, out)
    return out


def learnt(shape: Shape, pairs: int = 3) -> SpectralInverse:
    """An inverse that has seen pairs whose y is s with an uneven spectrum."""
    inverse = SpectralInverse(shape)
    for s in vectors(pairs, shape):
        observe(inverse, s, coloured(s, shape))
    return inverse


def coloured(vector: np.ndarray, shape: Shape) -> np.ndarray:
    """Multiply the coarse by 0.1 and the fine by up to 10: a symmetric positive definite Hessian."""
    _, height, width = shape
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :])
    image = np.fft.irfft2(np.fft.rfft2(vector.reshape(shape)) * 10 ** (4 * frequency - 1), s=shape[1:])
    return np.asarray(image, np.float32).reshape(-1)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_matrix_is_symmetric_and_positive(shape: Shape) -> None:
    inverse = learnt(shape)
    a, b = vectors(2, shape, seed=1)
    assert float(a @ product(inverse, b)) == pytest.approx(float(b @ product(inverse, a)), rel=1e-4, abs=1e-4)
    for vector in vectors(5, shape, seed=2):
        assert float(vector @ product(inverse, vector)) > 0


@pytest.mark.parametrize("shape", SHAPES)
def test_where_the_curvature_is_the_same_everywhere_it_is_the_scalar(shape: Shape) -> None:
    spectral, scalar = SpectralInverse(shape), ScalarInverse()
    for s in vectors(3, shape):
        for inverse in (spectral, scalar):
            observe(inverse, s, 4 * s)
    vector = vectors(1, shape, seed=1)[0]
    np.testing.assert_allclose(product(scalar, vector), vector / 4, rtol=1e-6)
    np.testing.assert_allclose(product(spectral, vector), vector / 4, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("channel_curvature", [(1.0, 1.0, 1.0), (1.0, 30.0, 900.0)])
def test_factors_follow_the_curvature_of_a_colour_direction(channel_curvature: tuple[float, ...]) -> None:
    shape = (3, 8, 8)
    colours = np.array([[1, 1, 1], [1, 0, -1], [1, -2, 1]]) / np.sqrt([[3], [2], [6]])
    hessian = colours.T @ np.diag(channel_curvature) @ colours
    inverse = SpectralInverse(shape)
    s = vectors(1, shape)[0]
    y = (hessian @ s.reshape(3, -1)).astype(np.float32).reshape(-1)
    observe(inverse, s, y)
    scalar = float(s @ y) / float(y @ y)
    for direction, curvature in zip(colours, channel_curvature, strict=True):
        vector = np.outer(direction, np.cos(np.arange(64))).astype(np.float32).reshape(-1)
        factor = scalar * np.clip((1 / (curvature * scalar)) ** STRENGTH, NARROWEST, WIDEST)
        np.testing.assert_allclose(product(inverse, vector), factor * vector, rtol=1e-3, atol=1e-5 * factor)


def test_a_coarse_wave_is_stretched_more_than_a_fine_one_where_the_fine_is_steep() -> None:
    shape = (3, 32, 32)
    inverse = learnt(shape)
    coarse = np.tile(np.cos(2 * np.pi * np.arange(32) / 32), 96).astype(np.float32)
    fine = np.tile(np.cos(2 * np.pi * 14 * np.arange(32) / 32), 96).astype(np.float32)
    stretch = [float(np.linalg.norm(product(inverse, wave)) / np.linalg.norm(wave)) for wave in (coarse, fine)]
    steepness = 10 ** (4 * 13 / 32)
    assert stretch[0] / stretch[1] == pytest.approx(steepness**STRENGTH, rel=0.3)


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 16, 9), (3, 1, 1)])
def test_the_prior_is_a_stretch_of_one_over_frequency(shape: Shape) -> None:
    of_s, of_y = prior_energies(shape)
    assert of_s.sum() == pytest.approx(1)
    assert of_y.sum() == pytest.approx(1)
    stretch = np.sqrt(of_s / of_y)
    octaves = np.log2(np.sqrt(0.5) * max(*shape[1:], 2)) / BANDS
    np.testing.assert_allclose(stretch[:, 1:] / stretch[:, :-1], 2**-octaves)


def test_the_prior_counts_as_so_many_pairs_and_is_forgotten() -> None:
    shape = (3, 32, 32)
    coarse = np.tile(np.cos(2 * np.pi * np.arange(32) / 32), 96).astype(np.float32)
    fine = np.tile(np.cos(2 * np.pi * 14 * np.arange(32) / 32), 96).astype(np.float32)
    preferences = []
    for prior_pairs, pairs in ((0, 1), (10, 1), (10, 20), (10, 2000)):
        inverse = SpectralInverse(shape, prior_pairs)
        for s in vectors(pairs, shape):
            observe(inverse, s, 4 * s)  # as steep for all
        stretch = [float(np.linalg.norm(product(inverse, wave)) / np.linalg.norm(wave)) for wave in (coarse, fine)]
        preferences.append(stretch[0] / stretch[1])
    without, early, later, at_last = preferences
    assert without == pytest.approx(1, rel=1e-3)
    assert early > later > at_last
    assert early > 2
    assert at_last == pytest.approx(1, rel=0.02)


def test_one_extreme_band_stays_within_the_limits() -> None:
    shape = (3, 16, 16)
    inverse = SpectralInverse(shape)
    flat = np.full(shape, 1e-3, np.float32)
    s = (vectors(1, shape)[0].reshape(shape) + flat).reshape(-1)
    y = (s.reshape(shape) - s.reshape(shape).mean((1, 2), keepdims=True)).reshape(-1)  # no curvature at all in the mean
    observe(inverse, s, y)
    level = np.ones(s.size, np.float32)
    assert product(inverse, level).max() <= WIDEST * float(s @ y) / float(y @ y) * (1 + 1e-4)
    assert np.isfinite(product(inverse, s)).all()


@pytest.mark.parametrize("shape", SHAPES)
def test_the_compact_direction_is_that_of_the_two_loops(shape: Shape) -> None:
    size = int(np.prod(shape))
    history, inverse = CurvatureHistory(4, size, SpectralInverse(shape)), SpectralInverse(shape)
    gradient = vectors(1, shape, seed=3)[0]
    pairs = []
    for s in vectors(6, shape, seed=4):
        y = coloured(s, shape)
        gradient = gradient + y
        history.advance(s, y, gradient, least_cosine=0.0)
        observe(inverse, s, y)
        pairs.append((s.astype(np.float64), y.astype(np.float64)))
    out = np.empty_like(gradient)
    history.direction(gradient, out=out)
    expected = two_loop_direction(pairs[-4:], gradient, lambda q: product(inverse, q.astype(np.float32)))
    assert np.linalg.norm(out - expected) < 1e-3 * np.linalg.norm(expected)


def test_held_variables_count_as_no_gradient() -> None:
    shape = (3, 8, 8)
    history, inverse = CurvatureHistory(4, 192, SpectralInverse(shape)), SpectralInverse(shape)
    gradient, s = vectors(2, shape)
    y = coloured(s, shape)
    history.advance(s, y, gradient, least_cosine=0.0)
    observe(inverse, s, y)
    held = np.array([0, 17, 100])
    free = gradient.copy()
    free[held] = 0
    out = np.empty_like(gradient)
    history.direction(gradient, out=out, held=held)
    pair = [(s.astype(np.float64), y.astype(np.float64))]
    expected = two_loop_direction(pair, free, lambda q: product(inverse, q.astype(np.float32)))
    assert np.linalg.norm(out - expected) < 1e-3 * np.linalg.norm(expected)


@pytest.mark.parametrize("bounds", [None, (-10.0, 10.0)])
def test_it_goes_down_faster_where_curvature_depends_on_frequency(bounds: tuple[float, float] | None) -> None:
    shape = (3, 24, 24)
    goal = vectors(1, shape)[0]

    def bowl(x: Vector) -> tuple[float, Vector]:
        gradient = coloured(x - goal, shape)
        return 0.5 * float(gradient @ (x - goal)), gradient

    start = np.zeros_like(goal)
    left = []
    for image_shape in (shape, None):
        settings = LbfgsSettings(history_size=5, image_shape=image_shape, bounds=bounds, loss_noise=0)
        *_, last = lbfgs(bowl, start, settings, Budget(evaluations=40))
        left.append(last.loss)
    assert left[0] < 0.1 * left[1]


def test_an_image_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match=r"x0 has 10 values; an image of \(3, 2, 2\) has 12"):
        lbfgs(lambda x: (0.0, x), np.zeros(10, np.float32), LbfgsSettings(image_shape=(3, 2, 2)))
