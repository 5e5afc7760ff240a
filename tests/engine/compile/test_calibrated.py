"""Under `calibrated`, weights mean the same on another network, at another size and with another pooling."""

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from PIL import Image

from impasto.engine import Engine, Settings
from tests.engine.conftest import Files
from tests.small_network import features_model

SETTINGS = {"content_taps": ("relu2_1",), "style_taps": ("relu1_1", "relu3_1"), "weighting": "calibrated"}


def scores(model: Path, image: Path, files: Files, **settings: object) -> dict[str, float]:
    with Engine(model, provider="cpu") as engine:
        chosen = Settings(**{"size": 0, **SETTINGS, **settings})  # type: ignore[arg-type]
        return dict(engine.evaluate(image, files.content, files.style, chosen).terms)


def louder(path: Path, factors: tuple[float, ...]) -> Path:
    """A network that computes the same, with activations larger by these factors, layer by layer."""
    model = features_model()
    before = 1.0
    for tap, factor in zip(("relu1_1", "relu2_1", "relu3_1"), factors, strict=True):
        for part, by in (("weight", factor / before), ("bias", factor)):
            value = model.graph.initializers[f"{tap}.{part}"]
            assert value.const_value is not None
            value.const_value = ir.tensor(value.const_value.numpy() * np.float32(by), name=value.name)
        before = factor
    ir.save(model, path)
    return path


def test_another_scale_of_the_activations_changes_nothing(files: Files) -> None:
    loud = louder(files.folder / "loud.onnx", (7.0, 0.3, 40.0))
    image = files.folder / "image.png"
    Image.fromarray(np.random.default_rng(3).integers(0, 255, (48, 64, 3)).astype(np.uint8)).save(image)
    expected = scores(files.model, image, files)
    assert all(value > 0 for value in expected.values())
    found = scores(loud, image, files)
    assert found == pytest.approx(expected, rel=1e-4)
    literal = scores(files.model, image, files, weighting="paper")
    assert scores(loud, image, files, weighting="paper") != pytest.approx(literal, rel=0.5)


def test_another_size_changes_little(files: Files, tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    tile = [rng.integers(0, brightest, (32, 32, 3)).astype(np.uint8) for brightest in (60, 255, 160)]
    found = []
    for repeats in (2, 5):  # the same texture over a larger area: only borders differ
        paths = []
        for name, part in zip(("image", "content", "style"), tile, strict=True):
            paths.append(tmp_path / f"{name}-{repeats}.png")
            Image.fromarray(np.tile(part, (repeats, repeats, 1))).save(paths[-1])
        with Engine(files.model, provider="cpu") as engine:
            settings = Settings(size=0, content_weight=1.0, **SETTINGS)  # type: ignore[arg-type]
            found.append(dict(engine.evaluate(paths[0], paths[1], paths[2], settings).terms))
    small, large = found
    assert large == pytest.approx(small, rel=0.15)


def test_a_picture_that_is_its_own_content_and_style_scores_nothing(files: Files) -> None:
    with Engine(files.model, provider="cpu") as engine:
        settings = Settings(size=0, **SETTINGS)  # type: ignore[arg-type]
        assert engine.evaluate(files.content, files.content, files.content, settings).loss == pytest.approx(0, abs=1e-9)
