"""A run with bounds ends within what a file of 8 bits a channel can hold."""

import pytest

from impasto.engine import Engine, Settings
from tests.engine.conftest import Files


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
def test_a_picture_stays_within_what_a_file_can_hold(files: Files, optimizer: str) -> None:
    ends = {}
    with Engine(files.model) as engine:
        for bounded in (True, False):
            settings = Settings(
                size=0, iterations=40, content_taps=("relu2_1",), style_taps=("relu1_1", "relu3_1"),
                optimizer=optimizer, learning_rate=8.0, bounded=bounded,
            )  # fmt: skip
            ends[bounded] = engine.transfer(files.content, files.style, settings).picture.pixels
    assert ends[True].min() >= 0
    assert ends[True].max() <= 1
    assert ends[False].min() < 0 or ends[False].max() > 1
