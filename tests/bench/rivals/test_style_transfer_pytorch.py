"""The rival's loss against float64 NumPy and SciPy, and its steps against formulas or a second way."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import scipy.linalg
import torch

from impasto.bench.rivals.equal_power import EqualPower
from impasto.bench.rivals.matrix_root import STEPS, square_root
from impasto.bench.rivals.style_transfer_losses import EPSILON, GaussianError, moments, total_variation
from impasto.bench.rivals.style_transfer_pytorch import (
    CONTENT_TAP,
    STYLE_WEIGHTS,
    TAPS,
    Average,
    Method,
    Objective,
    _carried,
    fitted,
    paint,
)
from impasto.engine.images import Picture
from impasto.models.errors import ImpastoError
from tests.oracles import style_transfer_pytorch as oracle
from tests.small_network import VGG_WIDTHS, features_model, weights

SHORT = Method(end_scale=45, min_scale=32, initial_iterations=3, iterations=2)


def pictures(seed: int = 0, height: int = 34, width: int = 48, count: int = 1) -> list[Picture]:
    rng = np.random.default_rng(seed)
    return [Picture(rng.random((height, width, 3), np.float32), None, f"{number}") for number in range(count)]


@pytest.fixture(scope="module")
def network() -> EqualPower:
    return EqualPower(features_model(widths=VGG_WIDTHS), TAPS, pictures=pictures(seed=3, count=2))


def nchw(pixels: np.ndarray) -> torch.Tensor:
    return torch.tensor(pixels.transpose(2, 0, 1)[None].copy())


def covariance(seed: int, channels: int) -> np.ndarray:
    factor = np.random.default_rng(seed).normal(size=(channels, 3 * channels))
    return np.asarray(factor @ factor.T / factor.shape[1])


def test_root_is_scipy_s() -> None:
    matrix = covariance(0, 6)
    expected = np.real(scipy.linalg.sqrtm(matrix))
    np.testing.assert_allclose(square_root(torch.tensor(matrix)).numpy(), expected, atol=1e-6)
    assert np.abs(square_root(torch.tensor(matrix), steps=3).numpy() - expected).max() > 1e-2


def test_derivative_of_the_root_is_that_of_differences() -> None:
    matrix, direction = covariance(1, 5), covariance(2, 5)
    cotangent = np.random.default_rng(3).normal(size=(5, 5))
    x = torch.tensor(matrix, requires_grad=True)
    (square_root(x) * torch.tensor(cotangent + cotangent.T)).sum().backward()  # type: ignore[no-untyped-call]
    assert x.grad is not None
    step = 1e-5
    ahead, behind = (np.real(scipy.linalg.sqrtm(matrix + sign * step * direction)) for sign in (1, -1))
    expected = np.sum((ahead - behind) / (2 * step) * (cotangent + cotangent.T))
    assert float((x.grad.numpy() * direction).sum()) == pytest.approx(expected, rel=1e-5)


def test_gaussian_error_by_scipy() -> None:
    rng = np.random.default_rng(4)
    own, painting = rng.normal(1, 1, (5, 6, 7)), rng.normal(0, 2, (5, 9, 8))
    found = GaussianError(moments(torch.tensor(painting)[None]))(torch.tensor(own)[None])
    assert float(found) == pytest.approx(oracle.gaussian_error(own, painting, EPSILON, oracle.exact_root), rel=1e-6)
    same = GaussianError(moments(torch.tensor(own)[None]))(torch.tensor(own)[None])
    assert float(same) == pytest.approx(0, abs=1e-9)


def test_total_variation_pixel_by_pixel() -> None:
    pixels = np.random.default_rng(5).random((5, 7, 3))
    assert float(total_variation(nchw(pixels))) == pytest.approx(oracle.total_variation(pixels), rel=1e-12)
    assert float(total_variation(nchw(np.full((4, 4, 3), 0.3)))) == 0


@pytest.mark.parametrize("padding", ["replicate", "zero"])
def test_every_term_by_numpy_and_scipy(padding: str) -> None:
    model, rule = features_model(widths=VGG_WIDTHS), pictures(seed=3, count=2)
    network = EqualPower(model, TAPS, padding=padding, pictures=rule)
    content, style, image = (picture.pixels for picture in pictures(seed=6, count=3))
    method = Method()
    found = Objective(network, nchw(content), nchw(style), method).terms(nchw(image))

    def taps(pixels: np.ndarray) -> dict[str, np.ndarray]:
        return oracle.features(pixels, weights(widths=VGG_WIDTHS), VGG_WIDTHS, edge=padding == "replicate")

    seen = [taps(picture.pixels) for picture in rule]
    powers = {tap: np.sqrt(np.mean([np.mean(values[tap] ** 2) for values in seen])) for tap in TAPS}
    of_content, of_style, own = (
        {tap: values[tap] / powers[tap] for tap in TAPS} for values in map(taps, (content, style, image))
    )
    expected = {
        f"content_{CONTENT_TAP}": 0.015 * np.mean((own[CONTENT_TAP] - of_content[CONTENT_TAP]) ** 2),
        **{
            f"style_relu{n}_1": w
            / 341
            * oracle.gaussian_error(own[f"relu{n}_1"], of_style[f"relu{n}_1"], EPSILON, oracle.root_after(STEPS))
            for n, w in zip(range(1, 6), (256, 64, 16, 4, 1), strict=True)
        },
        "tv": 2 * oracle.total_variation(image),
    }
    assert {name: float(value) for name, value in found.items()} == pytest.approx(expected, rel=1e-3)


def test_taps_have_power_1_and_only_that_is_changed(network: EqualPower) -> None:
    plain = network._layers(nchw(pictures()[0].pixels))
    for (tap, value), expected in zip(network(nchw(pictures()[0].pixels)).items(), plain, strict=True):
        torch.testing.assert_close(value * network.powers[tap], expected)
    squares = [[value.square().mean() for value in network(nchw(p.pixels)).values()] for p in pictures(3, count=2)]
    np.testing.assert_allclose(np.mean(squares, axis=0), 1, rtol=1e-5)


def test_first_padding_repeats_the_border() -> None:
    model, even = features_model(widths=VGG_WIDTHS), nchw(np.full((40, 40, 3), 0.5, np.float32))
    spread = {
        padding: float(EqualPower(model, TAPS, padding=padding, pictures=pictures())(even)["relu1_1"].std((2, 3)).max())
        for padding in ("replicate", "zero")
    }
    assert spread["replicate"] < 1e-6 < 1e-2 < spread["zero"]


def test_a_network_without_the_taps_is_refused() -> None:
    with pytest.raises(ImpastoError, match=r"the network has no tap relu4_1: its taps are relu1_1, relu2_1, relu3_1"):
        EqualPower(features_model(), TAPS, pictures=pictures())


@pytest.mark.parametrize(
    ("end", "least", "expected"),
    [
        (512, 128, [128, 181, 256, 362, 512]),
        (256, 128, [128, 181, 256]),
        (300, 128, [150, 212, 300]),
        (96, 128, [96]),
    ],
)
def test_scales(end: int, least: int, expected: list[int]) -> None:
    assert Method(end_scale=end, min_scale=least).scales() == expected


def test_sizes() -> None:
    assert fitted((1024, 768), 256) == (256, 192)
    assert fitted((300, 451), 181) == (round(181 * 300 / 451), 181)
    assert fitted((100, 50), 256) == (100, 50)
    assert fitted((100, 50), 256, enlarge=True) == (256, 128)


def test_average_is_the_weighted_sum() -> None:
    iterates = torch.tensor(np.random.default_rng(7).random((6, 4)))
    average = Average(iterates[0], 0.9)
    for iterate in iterates[1:]:
        average.add(iterate)
    factors = 0.9 ** np.arange(5, -1, -1)
    np.testing.assert_allclose(average.value(), factors @ iterates.numpy() / factors.sum())


def test_adam_goes_on_where_it_was() -> None:
    def step(x: torch.Tensor, optimiser: torch.optim.Adam) -> None:
        optimiser.zero_grad()
        (x**4).sum().backward()  # type: ignore[no-untyped-call]
        optimiser.step()

    first = torch.rand(1, 3, 8, 8, dtype=torch.float64, requires_grad=True)
    one = _carried(None, first, 0.02)
    for _ in range(3):
        step(first, one)
    second = first.detach().clone().requires_grad_()
    other = _carried(one, second, 0.02)
    step(second, other)
    step(first, one)
    torch.testing.assert_close(second, first)
    larger = torch.rand(1, 3, 12, 10, dtype=torch.float64, requires_grad=True)
    state = _carried(one, larger, 0.02).state[larger]
    assert state["step"] == 4
    assert state["exp_avg"].shape == state["exp_avg_sq"].shape == larger.shape
    assert float(state["exp_avg_sq"].min()) >= 0


def test_result_is_that_of_the_last_scale_and_repeats(network: EqualPower) -> None:
    content, style = pictures(seed=8, count=2)
    told: list[tuple[int, int]] = []
    found = paint(network, content, style, SHORT, lambda scale, number, _: told.append((scale, number)))
    assert found.shape == (round(45 * 34 / 48), 45, 3)
    assert told == [*itertools.product([32], (1, 2, 3)), *itertools.product([45], (1, 2))]
    assert found.min() >= 0
    assert found.max() <= 1
    np.testing.assert_array_equal(paint(network, content, style, SHORT), found)


def test_seed_is_that_of_the_noise(network: EqualPower) -> None:
    content, style = pictures(seed=9, count=2)
    noisy = replace(SHORT, init="uniform")
    one, again, other = (paint(network, content, style, replace(noisy, seed=seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert np.abs(one - other).max() > 0.1


def test_iterations_lower_the_loss(network: EqualPower) -> None:
    content, style = pictures(seed=10, count=2)
    losses: list[float] = []
    paint(network, content, style, replace(SHORT, initial_iterations=25), lambda *told: losses.append(told[2]))
    assert losses[24] < 0.8 * losses[0]


def test_the_weights_are_the_program_s() -> None:
    assert sum(STYLE_WEIGHTS.values()) == pytest.approx(1)
    assert STYLE_WEIGHTS["relu1_1"] / STYLE_WEIGHTS["relu5_1"] == pytest.approx(256)
