"""The pipeline from Python, on a small network."""

import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from impasto.engine import Engine, Event, ImpastoError, Iteration, Settings, Started
from impasto.engine.images import read_image, read_metadata
from tests.engine.conftest import Files

SMALL = {"content_taps": ("relu2_1",), "style_taps": ("relu1_1", "relu3_1"), "size": 0, "content_weight": 1e-5}


def settings(**values: object) -> Settings:
    return Settings(**{**SMALL, "iterations": 12, **values})  # type: ignore[arg-type]


@pytest.fixture
def engine(files: Files) -> Engine:
    return Engine(files.model, provider="cpu", threads=1)


def test_a_transfer_lowers_the_loss_and_reports_each_iteration(engine: Engine, files: Files) -> None:
    events: list[Event] = []
    result = engine.transfer(files.content, files.style, settings(), on_event=events.append)
    started, *iterations = events
    assert isinstance(started, Started)
    assert (started.height, started.width, started.provider, started.precision) == (48, 64, "cpu", "fp32")
    steps = [event for event in iterations if isinstance(event, Iteration)]
    assert [event.iteration for event in steps] == list(range(1, 13))
    assert steps[-1].loss < 0.5 * engine.evaluate(files.content, files.content, files.style, settings()).loss
    for event in steps:
        assert sum(event.terms.values()) == pytest.approx(event.loss, rel=1e-5)
    assert result.loss == steps[-1].loss
    assert result.terms == steps[-1].terms
    assert result.outcome == "iterations_done"
    assert result.evaluations >= result.iterations + 1
    np.testing.assert_array_equal(result.picture.pixels, steps[-1].snapshot())


def test_the_result_scores_what_the_run_said(engine: Engine, files: Files) -> None:
    result = engine.transfer(files.content, files.style, settings())
    result.save(files.folder / "out.npy")
    score = engine.evaluate(files.folder / "out.npy", files.content, files.style, settings())
    assert score.loss == pytest.approx(result.loss, rel=1e-5)
    assert score.terms == pytest.approx(dict(result.terms), rel=1e-5)


def test_gradient_is_per_grey_level(engine: Engine, files: Files) -> None:
    rng = np.random.default_rng(1)
    image = 0.1 + 0.8 * rng.random((48, 64, 3), np.float32)
    score = engine.evaluate(image, files.content, files.style, settings())
    direction = score.gradient / np.abs(score.gradient).max()
    step = 0.25 / 255  # a quarter of a grey level
    ahead, behind = (
        engine.evaluate(image + sign * step * direction, files.content, files.style, settings()).loss
        for sign in (1, -1)
    )
    expected = (ahead - behind) / 0.5
    assert float(np.sum(score.gradient * direction)) == pytest.approx(expected, rel=1e-2)


def test_the_same_run_gives_the_same_file(engine: Engine, files: Files) -> None:
    first, second = files.folder / "first.png", files.folder / "second.png"
    for path in (first, second):
        engine.transfer(files.content, files.style, settings(init="noise", seed=3)).save(path)
    assert first.read_bytes() == second.read_bytes()


def test_seeds_differ(engine: Engine, files: Files) -> None:
    first, second = (
        engine.transfer(files.content, files.style, settings(init="noise", seed=seed, iterations=0)).picture.pixels
        for seed in (0, 1)
    )
    assert not np.array_equal(first, second)


@pytest.mark.parametrize("init", ["content", "style", "FILE"])
def test_a_run_starts_where_it_is_told_to(engine: Engine, files: Files, init: str) -> None:
    start = {"content": files.content, "style": files.style, "FILE": files.folder / "start.png"}[init]
    Image.fromarray(np.full((48, 64, 3), 200, np.uint8)).save(files.folder / "start.png")
    chosen = str(start) if init == "FILE" else init
    result = engine.transfer(files.content, files.style, settings(init=chosen, iterations=0))
    np.testing.assert_array_equal(result.picture.pixels, read_image(start).resized(48, 64).pixels)


def test_inputs_may_be_paths_images_and_arrays(engine: Engine, files: Files) -> None:
    as_image, as_array = Image.open(files.content), np.asarray(Image.open(files.content))
    results = [
        engine.transfer(content, files.style, settings(iterations=2)).picture.pixels
        for content in (files.content, str(files.content), as_image, as_array)
    ]
    for other in results[1:]:
        np.testing.assert_array_equal(results[0], other)


def test_size_is_the_long_side_and_proportions_stay(engine: Engine, files: Files) -> None:
    result = engine.transfer(files.content, files.style, settings(size=51, iterations=1))
    assert result.picture.pixels.shape == (38, 51, 3)


def test_alpha_of_the_content_is_kept(engine: Engine, files: Files) -> None:
    alpha = np.zeros((48, 64), np.uint8)
    alpha[:, 20:] = 255
    rgba = np.dstack([np.asarray(Image.open(files.content)), alpha])
    result = engine.transfer(rgba, files.style, settings(iterations=1))
    result.save(files.folder / "alpha.png")
    assert np.array_equal(np.asarray(Image.open(files.folder / "alpha.png"))[..., 3], alpha)


def test_a_file_says_how_it_was_made(engine: Engine, files: Files) -> None:
    result = engine.transfer(files.content, files.style, settings(iterations=1))
    result.save(files.folder / "out.png")
    record = read_metadata(files.folder / "out.png")
    assert Settings.from_dict(record["settings"]) == settings(iterations=1)
    assert record["model_sha256"] == engine.network.sha256
    assert (record["content"], record["style"], record["model"]) == ("content.png", "style.png", "small")


def test_weights_of_zero_leave_their_terms_out(engine: Engine, files: Files) -> None:
    score = engine.evaluate(files.content, files.content, files.style, settings(content_weight=0.0, tv_weight=2.0))
    assert list(score.terms) == ["style_relu1_1", "style_relu3_1", "tv"]


def test_style_at_another_size_is_the_same_texture(engine: Engine) -> None:
    tile = np.random.default_rng(5).random((32, 32, 3), np.float32)
    content = np.full((64, 64, 3), 0.2, np.float32)
    small, large = np.tile(tile, (2, 2, 1)), np.tile(tile, (4, 4, 1))
    losses = [engine.evaluate(content, content, style, settings(content_weight=0.0)).loss for style in (small, large)]
    assert losses[1] == pytest.approx(losses[0], rel=0.1)  # but for the border; literal sums would differ 16-fold


def test_budget_of_evaluations_and_time(engine: Engine, files: Files) -> None:
    result = engine.transfer(files.content, files.style, settings(iterations=10_000, evaluations=7))
    assert (result.evaluations, result.outcome) == (7, "evaluations_done")
    start = time.perf_counter()
    result = engine.transfer(files.content, files.style, settings(iterations=10**9, timeout_s=0.3))
    assert result.outcome == "deadline"
    assert result.iterations > 0
    assert time.perf_counter() - start < 30


def test_cancelling_keeps_what_there_is(engine: Engine, files: Files) -> None:
    seen: list[Event] = []
    result = engine.transfer(files.content, files.style, settings(), on_event=seen.append, cancel=lambda: len(seen) > 4)
    assert result.outcome == "cancelled"
    assert result.iterations == 4


def test_adam_lowers_the_loss_too(engine: Engine, files: Files) -> None:
    start = engine.evaluate(files.content, files.content, files.style, settings()).loss
    assert engine.transfer(files.content, files.style, settings(optimizer="adam", iterations=30)).loss < 0.7 * start


def test_image_and_content_of_two_sizes_are_an_error(engine: Engine, files: Files) -> None:
    with pytest.raises(ImpastoError) as caught:
        engine.evaluate(files.style, files.content, files.style, settings())
    assert str(caught.value) == (
        "image and content differ in size: style.png is 52x40, content.png is 64x48 px; "
        "give images of one size, or --size"
    )


def test_the_loop_never_imports_torch(files: Files) -> None:
    import subprocess
    import sys

    code = (
        "import sys\n"
        "from impasto.engine import Engine, Settings\n"
        f"settings = Settings(size=0, iterations=2, content_taps=('relu2_1',), style_taps=('relu1_1',))\n"
        f"with Engine({str(files.model)!r}) as engine:\n"
        f"    result = engine.transfer({str(files.content)!r}, {str(files.style)!r}, settings)\n"
        f"    result.save({str(files.folder / 'o.png')!r})\n"
        "assert not [name for name in sys.modules if name.split('.')[0] in ('torch', 'onnxscript')]\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path.home())
