"""Reconstructions as transfers with terms left out."""

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from impasto.engine import Engine, ImpastoError, Settings
from impasto.engine.images import read_image
from impasto.engine.reconstruction import content_reconstruction, style_reconstruction
from impasto.models.store import atomic_file
from tests.engine.conftest import Files
from tests.small_network import features_model

STYLE = ("relu1_1", "relu2_1")


@pytest.fixture
def engine(files: Files) -> Engine:
    return Engine(files.model, provider="cpu", threads=1)


@pytest.fixture
def waves() -> np.ndarray:
    """A texture of slow waves, which has no edges of its own to hide a seam behind."""
    y, x = np.mgrid[0:64, 0:64] * (2 * np.pi / 16)
    return np.stack([np.cos(x), np.sin(x + y), np.cos(y)], axis=2).astype(np.float32) * 0.4 + 0.5


def seam(pixels: np.ndarray) -> float:
    """Mean difference across the seams of a 2 x 2 tiling, over that of neighbours inside."""
    height, width = pixels.shape[:2]
    tiled = np.tile(pixels, (2, 2, 1))
    down, across = np.abs(np.diff(tiled, axis=0)), np.abs(np.diff(tiled, axis=1))
    at_seams = (down[height - 1].mean() + across[:, width - 1].mean()) / 2
    return float(at_seams / ((down[: height - 1].mean() + across[:, : width - 1].mean()) / 2))


def test_content_comes_back_from_a_shallow_tap(engine: Engine, files: Files) -> None:
    settings = content_reconstruction(["relu1_1"], size=0, iterations=150)
    result = engine.transfer(files.content, None, settings)
    pixels = read_image(files.content).pixels
    noise = engine.transfer(files.content, None, content_reconstruction(["relu1_1"], size=0, iterations=0))
    assert set(result.terms) == {"content_relu1_1"}
    assert result.initial_terms == noise.terms
    assert result.loss < 1e-3 * result.initial_terms["content_relu1_1"]
    assert np.abs(result.picture.pixels - pixels).mean() < 0.2 * np.abs(noise.picture.pixels - pixels).mean()
    assert (result.provenance["content"], result.provenance["style"]) == ("content.png", None)


def test_it_is_the_transfer_with_a_weight_of_nothing(engine: Engine, files: Files) -> None:
    plain = Settings(
        size=0, iterations=5, init="noise", content_taps=("relu2_1",), content_weight=1.0, style_weight=0.0
    )
    alone = engine.transfer(files.content, None, content_reconstruction(["relu2_1"], size=0, iterations=5))
    with_style = engine.transfer(files.content, files.style, plain)
    np.testing.assert_array_equal(alone.picture.pixels, with_style.picture.pixels)


def test_nothing_beyond_the_deepest_tap_is_computed(files: Files) -> None:
    """A network whose third convolution is nothing but NaN reconstructs from the first two."""
    model = features_model()
    broken = model.graph.initializers["relu3_1.weight"]
    assert broken.const_value is not None
    broken.const_value = ir.tensor(np.full_like(broken.const_value.numpy(), np.nan), name=broken.name)
    ir.save(model, files.folder / "broken.onnx")
    with Engine(files.folder / "broken.onnx", provider="cpu", threads=1) as engine:
        result = engine.transfer(None, files.style, style_reconstruction(STYLE, size=48, iterations=2))
        assert np.isfinite(result.picture.pixels).all()
        with pytest.raises(ImpastoError, match="not finite at the starting point"):
            engine.transfer(None, files.style, style_reconstruction([*STYLE, "relu3_1"], size=48, iterations=2))


@pytest.mark.parametrize(
    ("values", "shape"), [({"canvas": (80, 40)}, (40, 80)), ({"size": 64}, (49, 64)), ({"size": 0}, (40, 52))]
)
def test_style_takes_any_size(engine: Engine, files: Files, values: dict[str, object], shape: tuple[int, int]) -> None:
    settings = style_reconstruction(STYLE, iterations=3, **values)
    result = engine.transfer(None, files.style, settings)
    assert result.picture.pixels.shape == (*shape, 3)
    assert set(result.terms) == {"style_relu1_1", "style_relu2_1"}
    assert Settings.from_dict(result.settings.as_dict()) == settings
    assert (result.provenance["content"], result.provenance["style"]) == (None, "style.png")


def test_a_seamless_result_tiles(engine: Engine, waves: np.ndarray) -> None:
    taps = {"taps": ("relu1_1", "relu2_1", "relu3_1"), "canvas": (64, 48), "style_size": 0, "iterations": 150}
    seamless, ordinary = (
        engine.transfer(None, waves, style_reconstruction(**taps, seamless=wanted)).picture.pixels  # type: ignore[arg-type]
        for wanted in (True, False)
    )
    assert seam(seamless) < 1.15
    assert seam(ordinary) > 1.3


def test_a_seamless_result_tiles_with_total_variation_too(engine: Engine, waves: np.ndarray) -> None:
    """Total variation that is blind to the edges smooths everything else, and leaves a seam eleven times as strong."""
    settings = style_reconstruction(STYLE, canvas=(64, 48), style_size=0, iterations=60, seamless=True, tv_weight=1e-7)
    result = engine.transfer(None, waves, settings)
    assert result.terms["tv"] > 0.2 * result.loss
    assert seam(result.picture.pixels) < 1.15


def test_a_seamless_result_scores_the_same_wherever_it_is_cut(engine: Engine, waves: np.ndarray) -> None:
    settings = style_reconstruction(STYLE, canvas=(64, 48), style_size=0, iterations=10, seamless=True)
    pixels = engine.transfer(None, waves, settings).picture.pixels
    rolled = np.roll(pixels, (16, 32), (0, 1))
    scored = Settings.from_dict({**settings.as_dict()})
    losses = [engine.evaluate(image, None, waves, scored).loss for image in (pixels, rolled)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)


def test_sides_are_rounded_for_a_seamless_result(engine: Engine, files: Files) -> None:
    settings = style_reconstruction(STYLE, size=57, iterations=1, seamless=True)
    assert engine.transfer(None, files.style, settings).picture.pixels.shape == (48, 64, 3)


def test_a_seamless_transfer(engine: Engine, files: Files) -> None:
    settings = Settings(size=57, content_taps=("relu2_1",), style_taps=STYLE, iterations=2, seamless=True)
    assert engine.transfer(files.content, files.style, settings).picture.pixels.shape == (48, 64, 3)


@pytest.mark.parametrize(
    ("content", "style", "values", "message"),
    [
        (False, True, {}, "no content image for the content terms of relu4_2: give one, or a content_weight of 0"),
        (True, False, {"style_taps": STYLE}, "no style image for the style terms of relu1_1, relu2_1: give one, or "
         "a style_weight of 0"),
        (False, False, {"content_weight": 0, "style_weight": 0, "tv_weight": 1.0},
         "neither a content nor a style image: give one of them, or a canvas"),
        (True, True, {"canvas": (64, 64)},
         "a canvas is for results without a content image: give --size, the long side, instead"),
        (False, True, {"content_weight": 0, "init": "content", "style_taps": STYLE},
         "cannot start from the content image: there is none; take noise or a file"),
    ],
)  # fmt: skip
def test_a_missing_image_is_one_clear_line(
    engine: Engine, files: Files, content: bool, style: bool, values: dict[str, object], message: str
) -> None:
    settings = Settings(**{"size": 0, **values})  # type: ignore[arg-type]
    with pytest.raises(ImpastoError) as caught:
        engine.transfer(files.content if content else None, files.style if style else None, settings)
    assert str(caught.value) == message


def test_a_side_of_a_seamless_canvas_is_a_multiple() -> None:
    with pytest.raises(ImpastoError) as caught:
        style_reconstruction(STYLE, canvas=(640, 100), seamless=True)
    assert str(caught.value) == (
        "bad side 100 px for a seamless result: allowed are multiples of 16, such as 96 or 112"
    )


def test_the_start_may_be_a_file(engine: Engine, files: Files, tmp_path: Path) -> None:
    start = tmp_path / "start.npy"
    with atomic_file(start) as part, part.open("wb") as file:
        np.save(file, np.full((48, 64, 3), 51.0))
    settings = content_reconstruction(["relu1_1"], size=0, iterations=0, init=str(start))
    np.testing.assert_allclose(engine.transfer(files.content, None, settings).picture.pixels, 0.2, rtol=1e-6)
