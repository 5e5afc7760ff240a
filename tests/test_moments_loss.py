"""The real VGG-19 in float32 under `gram-mean` and `moments` against float64: SciPy's sqrtm and PyTorch's autograd."""

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from impasto.engine import Engine, Settings
from impasto.export.square_root import FLOOR
from tests.oracles import moments
from tests.test_paper_loss import engine, photograph, reference

__all__ = ["engine", "reference"]

HEIGHT, WIDTH = 96, 128  # relu4_1 and relu5_1 have fewer positions than channels
TERM, MEDIAN_GRADIENT = 1e-4, 1e-3
TAPS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")


def loss_of(style_loss: str, own: torch.Tensor, painting: np.ndarray) -> torch.Tensor:
    """The unweighted loss of one tap in float64."""
    if style_loss == "moments":
        return moments.distance_of(own, painting, FLOOR)
    flat = own.flatten(1)
    without = flat - flat.mean(1, keepdim=True)
    difference = without @ without.T / flat.shape[1] - torch.tensor(moments.mean_and_covariance(painting)[1])
    return difference.square().sum() / (4 * len(flat) ** 2)


@pytest.mark.slow
@pytest.mark.parametrize("style_loss", ["gram-mean", "moments"])
def test_terms_and_gradient_are_those_of_float64(
    engine: Engine,
    reference: ModuleType,
    shared: Path,
    style_loss: str,
) -> None:
    weights: Any = reference.load_weights(shared / "weights" / "vgg19_oxford.safetensors", torch.float64)
    content, style = (
        photograph(shared, f"{name}.jpg", HEIGHT, WIDTH).astype(np.float64) for name in ("neckarfront", "starry_night")
    )

    def features(pixels: torch.Tensor) -> dict[str, torch.Tensor]:
        image = (pixels - torch.tensor(reference.MEAN)).permute(2, 0, 1)[None]
        return {tap: reference.features(image, weights, "avg")[tap.replace("relu", "conv")][0] for tap in TAPS}

    pixels = torch.tensor(content, requires_grad=True)
    own, painting = features(pixels), {tap: value.numpy() for tap, value in features(torch.tensor(style)).items()}
    terms = {tap: loss_of(style_loss, own[tap], painting[tap]) for tap in TAPS}
    torch.stack(list(terms.values())).sum().backward()  # type: ignore[no-untyped-call]
    assert pixels.grad is not None
    settings = Settings(
        size=0,
        content_weight=0.0,
        style_weight=1.0,
        style_taps=tuple(f"{tap}=1" for tap in TAPS),
        style_loss=style_loss,
    )
    found = engine.evaluate(content.astype(np.uint8), None, style.astype(np.uint8), settings)
    for tap in TAPS:
        value = float(terms[tap].detach())
        assert found.terms[f"style_{tap}"] == pytest.approx(value, rel=TERM)
        if style_loss == "moments":
            assert moments.distance(own[tap].detach().numpy(), painting[tap], FLOOR) == pytest.approx(value, rel=1e-6)
    exact = pixels.grad.numpy()
    error = np.abs(found.gradient - exact) / np.abs(exact)
    assert np.median(error) < MEDIAN_GRADIENT
