"""neural-style's formulas in NumPy: by hand, and against PyTorch's mean squared error and gradient."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from torch.nn import functional

from impasto.bench.rivals import neural_style


def features(seed: int, channels: int = 3, height: int = 4, width: int = 5) -> np.ndarray:
    return np.random.default_rng(seed).random((channels, height, width))


def test_content_is_the_mean_squared_error() -> None:
    one, other = features(0), features(1)
    expected = 5 * functional.mse_loss(torch.tensor(one), torch.tensor(other))
    assert neural_style.content_loss(one, other, 5.0) == pytest.approx(float(expected))


def test_style_is_the_mean_squared_error_of_grams_over_their_elements() -> None:
    own, painting = features(2), features(3, height=6)
    matrices = []
    for values in (own, painting):
        flat = torch.tensor(values).flatten(1)
        matrices.append(flat @ flat.T / flat.numel())
    found = neural_style.style_loss(own, neural_style.style_target([painting]), 100.0)
    one, other = matrices
    assert found == pytest.approx(100 * float(functional.mse_loss(one, other)))


def test_gram_by_hand() -> None:
    # Two maps of two positions: F F^T = [[1 + 4, 3 + 8], [3 + 8, 9 + 16]] over 2 x 2 elements.
    found = neural_style.gram(np.array([[[1.0, 2.0]], [[3.0, 4.0]]]))
    np.testing.assert_allclose(found, np.array([[5, 11], [11, 25]]) / 4)


def test_paintings_are_blended_by_shares() -> None:
    one, other = features(4), features(5)
    found = neural_style.style_target([one, other], [3, 1])
    np.testing.assert_allclose(found, 0.75 * neural_style.gram(one) + 0.25 * neural_style.gram(other))
    np.testing.assert_allclose(
        neural_style.style_target([one, other]), (neural_style.gram(one) + neural_style.gram(other)) / 2
    )


def test_smoothness_by_hand() -> None:
    # White but for one black pixel in the corner of 2 x 2: two differences of 256 in each of three colours.
    pixels = np.ones((2, 2, 3))
    pixels[0, 0] = 0
    assert neural_style.absolute_smoothness(pixels, 1e-3) == pytest.approx(1e-3 * 6 * 256)
    assert neural_style.squared_smoothness(pixels, 1e-3) == pytest.approx(1e-3 * 0.5 * 6 * 256**2)
    # In the other corner the pairs lie in the last row and the last column, which neural-style leaves out.
    assert neural_style.absolute_smoothness(pixels[::-1, ::-1], 1e-3) == pytest.approx(1e-3 * 6 * 256)
    assert neural_style.squared_smoothness(pixels[::-1, ::-1], 1e-3) == 0


def test_gradient_of_squared_smoothness_is_what_neural_style_adds() -> None:
    pixels = np.random.default_rng(6).random((4, 5, 3))
    x = 256 * pixels  # the gradient is by these
    expected = np.zeros_like(x)
    across, down = x[:-1, :-1] - x[:-1, 1:], x[:-1, :-1] - x[1:, :-1]
    expected[:-1, :-1] += across + down
    expected[:-1, 1:] -= across
    expected[1:, :-1] -= down
    step = 1e-6
    for place in ((0, 0, 0), (3, 4, 1), (1, 4, 2), (2, 2, 0)):
        ahead, behind = pixels.copy(), pixels.copy()
        ahead[place] += step
        behind[place] -= step
        losses = [neural_style.squared_smoothness(image, 2.0) for image in (ahead, behind)]
        assert (losses[0] - losses[1]) / (2 * step * 256) == pytest.approx(2 * expected[place], abs=1e-4)


def test_no_pytorch_is_needed() -> None:
    code = "import sys; import impasto.bench.rivals.neural_style; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
