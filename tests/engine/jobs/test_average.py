"""The average of adam's images through the engine: events, results, checkpoints, batches, the command line."""

import dataclasses
import re
from typing import Any

import numpy as np
import pytest

from impasto.engine import Engine, Event, Iteration, Job, Settings
from impasto.engine.inputs.checkpoint import load_checkpoint, save_checkpoint
from tests.engine.command_line import run
from tests.engine.conftest import TAPS, Files

DECAY = 0.8
ADAM = Settings(
    size=48,
    content_taps=("relu2_1",),
    style_taps=("relu1_1", "relu3_1"),
    content_weight=1e-5,
    optimizer="adam",
    iterations=12,
)
AVERAGED = dataclasses.replace(ADAM, average=DECAY)


@pytest.fixture
def engine(files: Files) -> Engine:
    return Engine(files.model, provider="cpu", threads=1)


def snapshots(engine: Engine, files: Files, settings: Settings) -> tuple[list[np.ndarray], list[float], Any]:
    """The images and losses of a run from its start, and its result."""
    images = [engine.transfer(files.content, files.style, dataclasses.replace(settings, iterations=0)).picture.pixels]
    losses: list[float] = []

    def take(event: Event) -> None:
        if isinstance(event, Iteration):
            images.append(event.snapshot())
            losses.append(event.loss)

    return images, losses, engine.transfer(files.content, files.style, settings, on_event=take)


def test_snapshots_and_the_result_are_averages_and_losses_those_of_the_images(engine: Engine, files: Files) -> None:
    plain, plain_losses, _ = snapshots(engine, files, ADAM)
    averaged, losses, result = snapshots(engine, files, AVERAGED)
    assert losses == plain_losses
    assert result.loss == losses[-1]
    assert result.settings.average == DECAY
    for count, found in enumerate(averaged, start=1):
        weights = (1 - DECAY) * DECAY ** np.arange(count - 1, -1, -1.0) / (1 - DECAY**count)
        expected = np.tensordot(weights, np.array(plain[:count], np.float64), 1)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(result.picture.pixels, averaged[-1])
    assert np.abs(averaged[-1] - plain[-1]).max() > 1e-3


def test_a_finished_run_has_its_average_after_a_checkpoint_too(engine: Engine, files: Files) -> None:
    result = engine.transfer(files.content, files.style, AVERAGED, keep_state=True)
    assert result.state is not None
    path = files.folder / "c.safetensors"
    save_checkpoint(result.state, path)
    again = engine.resume(load_checkpoint(path)[0])
    np.testing.assert_array_equal(again.picture.pixels, result.picture.pixels)


def test_a_batch_gives_what_single_runs_give(engine: Engine, files: Files) -> None:
    settings = [dataclasses.replace(AVERAGED, average=decay, iterations=4) for decay in (0.0, 0.5, 0.99)]
    together = engine.transfer_many([Job(files.content, files.style, each) for each in settings], batch=3)
    found = {item.index: item.result for item in together}
    for index, each in enumerate(settings):
        one = found[index]
        assert one is not None
        alone = engine.transfer(files.content, files.style, each)
        np.testing.assert_allclose(one.picture.pixels, alone.picture.pixels, atol=1e-3)


def test_the_command_line(capsys: pytest.CaptureFixture[str], files: Files) -> None:
    chosen = ("--model", files.model, "--provider", "cpu", "--threads", 1, "--size", 48, *TAPS, "--iterations", 2)
    asked = ("transfer", files.content, files.style, "-o", files.folder / "o.png", *chosen, "--quiet", "--average")
    assert run(capsys, *asked, 0.99, "--optimizer", "adam").status == 0
    assert re.search(r"average +0.99", run(capsys, "show", files.folder / "o.png").out)
    refused = run(capsys, *asked, 0.99)
    assert (refused.status, refused.err) == (
        2,
        "error: bad average 0.99 with optimizer lbfgs: only the images of adam are averaged; give --optimizer adam, "
        "or leave --average out\n",
    )
    assert run(capsys, *asked, 1.5, "--optimizer", "adam").err == (
        "error: bad average 1.5: allowed are numbers from 0 to below 1\n"
    )
