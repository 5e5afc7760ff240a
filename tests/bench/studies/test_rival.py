"""The rival's study: its files, and its refusals."""

import json
import sys
from pathlib import Path
from unittest.mock import patch

import numpy as np
import onnx_ir as ir
import pytest
from PIL import Image

from impasto.bench.studies import rival
from impasto.bench.studies.study import as_script
from tests.small_network import VGG_WIDTHS, features_model


@pytest.fixture
def words(tmp_path: Path) -> list[object]:
    """A command line of a short run."""
    ir.save(features_model(widths=VGG_WIDTHS), tmp_path / "small.onnx")
    for seed, name in enumerate(("content.png", "style.png")):
        pixels = np.random.default_rng(seed).integers(0, 256, (40, 60, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / name)
    files = [
        tmp_path / "content.png",
        tmp_path / "style.png",
        "-o",
        tmp_path / "out.png",
        "--json",
        tmp_path / "a.json",
    ]
    numbers = ["--size", 45, "--min-scale", 32, "--initial-iterations", 3, "--iterations", 2, "--threads", 1]
    return [*files, "--model", tmp_path / "small.onnx", *numbers]


def run(*words: object) -> None:
    with patch.object(sys, "argv", ["rival", *map(str, words)]):
        as_script(rival.main)


def test_picture_and_record(words: list[object], tmp_path: Path) -> None:
    run(*words)
    with Image.open(tmp_path / "out.png") as picture:
        assert picture.size == (45, 30)
    found = json.loads((tmp_path / "a.json").read_text())
    assert found["method"]["end_scale"] == 45
    assert found["method"]["content_weight"] == 0.015
    assert list(found["last_loss"]) == ["32", "45"]
    assert set(found["powers"]) == {"relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu4_2", "relu5_1"}
    assert found["seconds"] > 0
    assert found["processor_seconds"] > 0
    assert (found["content"], found["threads"]) == ("content.png", 1)


@pytest.mark.parametrize(
    ("option", "value", "line"),
    [
        ("--size", 16, "bad --size 16: allowed are 32 px or more"),
        ("--iterations", 0, "bad --iterations 0: allowed are whole numbers of 1 or more"),
        ("--avg-decay", 1, "bad --avg-decay 1.0: allowed are 0 to below 1"),
        ("--tv-weight", -1, "bad --tv-weight -1.0: allowed are numbers of 0 or more"),
        ("--step-size", "nan", "bad --step-size nan: allowed are numbers above 0"),
        ("--json", "a.txt", "cannot write a.txt: unknown extension .txt; allowed are .json"),
    ],
)
def test_mistakes_are_one_line(
    words: list[object],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    option: str,
    value: object,
    line: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as caught:
        run(*words, option, value)
    assert caught.value.code == 2
    assert capsys.readouterr().err == f"error: {line}\n"
    assert not (tmp_path / "out.png").exists()
