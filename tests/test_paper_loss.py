"""The real VGG-19 in float32 against an independent float64 reference of the paper's loss and gradient."""

import importlib.util
import statistics
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from impasto.engine import Engine, Settings

SIZES = [(64, 96), (150, 113), (256, 256)]  # height, width
ALPHA = 1e-3
WORST_TERM, MEDIAN_GRADIENT, WORST_GRADIENT = 1e-5, 5e-6, 2e-3


@pytest.fixture(scope="module")
def reference(shared: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("paper_loss", shared / "tools" / "paper_loss.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def engine(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    from impasto.export.tap_model import import_weights

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IMPASTO_CACHE", str(tmp_path_factory.mktemp("cache")))
        path = import_weights(shared / "weights" / "vgg19_oxford.safetensors", "vgg19")
        with Engine(path, provider="cpu") as engine:
            yield engine


def photograph(shared: Path, name: str, height: int, width: int) -> np.ndarray:
    return np.asarray(
        Image.open(shared / "images" / name).convert("RGB").resize((width, height), Image.Resampling.LANCZOS)
    )


def referee(
    reference: ModuleType, shared: Path, pool: str, image: np.ndarray, content: np.ndarray, style: np.ndarray
) -> Any:
    """Return terms by our names and d loss / d pixel, both in float64; images 0..255, H x W x 3."""
    weights = reference.load_weights(shared / "weights" / "vgg19_oxford.safetensors", torch.float64)

    def tensor(pixels: np.ndarray) -> torch.Tensor:
        return torch.tensor((pixels.astype(np.float64) - np.array(reference.MEAN)).transpose(2, 0, 1)[None].copy())

    style_taps = ["conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv5_1"]
    with torch.no_grad():
        features = reference.features(tensor(style), weights, pool)
        targets = {
            "content": reference.features(tensor(content), weights, pool),
            "style": {tap: reference.gram(features[tap]) for tap in style_taps},
        }
    x = tensor(image).requires_grad_(True)
    total, content_terms, style_terms = reference.objective(
        x, targets, weights, ALPHA, 1.0, ["conv4_2"], style_taps, pool
    )
    total.backward()
    terms = {f"content_{tap.replace('conv', 'relu')}": float(value.detach()) for tap, value in content_terms.items()}
    terms |= {f"style_{tap.replace('conv', 'relu')}": float(value.detach()) for tap, value in style_terms.items()}
    assert x.grad is not None
    return terms, x.grad[0].permute(1, 2, 0).numpy()


@pytest.mark.slow
def test_terms_and_gradient_are_the_papers(engine: Engine, reference: ModuleType, shared: Path) -> None:
    errors = []
    for height, width in SIZES:
        content = photograph(shared, "neckarfront.jpg", height, width)
        style = photograph(shared, "starry_night.jpg", height, width)
        finished = engine.transfer(content, style, Settings(size=0, iterations=25)).picture.pixels * np.float32(255)
        noise = np.random.default_rng(1).normal(118, 58, content.shape).astype(np.float32)
        for pool in ("avg", "max"):
            for image in (noise, finished):
                settings = Settings(size=0, content_weight=ALPHA, pool=pool)
                score = engine.evaluate(image / np.float32(255), content, style, settings)
                terms, gradient = referee(reference, shared, pool, image, content, style)
                for name, expected in terms.items():
                    assert score.terms[name] == pytest.approx(expected, rel=WORST_TERM), (name, height, width, pool)
                errors.append(float(np.linalg.norm(score.gradient - gradient) / np.linalg.norm(gradient)))
    print("relative errors of the gradient:", " ".join(f"{error:.1e}" for error in errors))
    assert len(errors) >= 12
    assert statistics.median(errors) <= MEDIAN_GRADIENT
    assert max(errors) <= WORST_GRADIENT
