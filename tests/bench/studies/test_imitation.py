"""How vgg19-slim is scored, and what it costs beside VGG-19: small pictures, the slim network as its own judge."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("skimage")

from impasto.bench.studies import imitation
from impasto.bench.studies.study import as_script
from impasto.models.store import EMBEDDED

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
PICTURES = ("--content", "skimage:cat", "--style", EXAMPLES / "mosaic.jpg", EXAMPLES / "swirls.jpg")
SMALL = ("--size", 32, "--evaluations", 3, "--threads", 1, "--model", EMBEDDED, "--judge", EMBEDDED)


def run(monkeypatch: pytest.MonkeyPatch, module: Any, *words: object) -> None:
    monkeypatch.setattr(sys, "argv", [module.__name__, *map(str, words)])
    as_script(module.main)


def test_pairs_are_painted_scored_and_not_painted_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, sheet = tmp_path / "a.json", tmp_path / "sheet.png"
    common = (*PICTURES, *SMALL, "-o", tmp_path / "pictures", "--json", file)
    run(monkeypatch, imitation, *common, "--every", 2)
    label = "vgg19-slim, lbfgs, from content"
    first = json.loads(file.read_text())["series"][label]
    assert set(first["pairs"]) == {"cat-mosaic"}
    assert {"date", "processor", "versions", "threads"} <= set(first["conditions"])
    capsys.readouterr()
    run(monkeypatch, imitation, *common, "--sheet", sheet)
    assert "cat-mosaic, " not in capsys.readouterr().out
    found = json.loads(file.read_text())
    series = found["series"][label]
    assert series["pairs"]["cat-mosaic"] == first["pairs"]["cat-mosaic"]
    assert series["pairs"].keys() == found["start"].keys() == {"cat-mosaic", "cat-swirls"}
    assert all(row["evaluations"] <= 3 and row["processor_s"] > 0 for row in series["pairs"].values())
    assert 0 < series["summary"]["style_left"] < 1
    assert sheet.is_file()
    run(monkeypatch, imitation, *common, "--init", "noise", "--alpha", 0, "--every", 2)
    assert set(json.loads(file.read_text())["series"]) == {label, "vgg19-slim, lbfgs, from noise, alpha 0"}


def test_summary_is_of_geometric_means_and_of_common_pairs() -> None:
    start = {"a": {"style": 100.0}, "b": {"style": 100.0}}
    rows = {"a": {"style": 10.0, "content": 8.0}, "b": {"style": 40.0, "content": 2.0}}
    found = imitation.summary(rows, start, {"a": {"style": 1.0, "content": 4.0}})
    assert found["style_left"] == pytest.approx(20 / 100)
    assert found["worst"] == ["b", 0.4]
    assert found["content_against_judge"] == pytest.approx(2.0)
    assert "content_against_judge" not in imitation.summary(rows, start, {})


def test_what_is_fine_is_above_three_eighths_of_the_sampling_frequency() -> None:
    y, x = np.mgrid[:64, :64]
    checkerboard = np.repeat(((x + y) % 2)[:, :, None] * 0.2, 3, axis=2)
    waves = np.repeat(0.5 + 0.4 * np.sin(2 * np.pi * x / 4)[:, :, None], 3, axis=2)
    assert imitation.fine(checkerboard) == pytest.approx(0.1 * 255)
    assert imitation.fine(waves) == pytest.approx(0, abs=1e-6)
    assert imitation.fine(checkerboard + waves) == pytest.approx(0.1 * 255)


@pytest.mark.parametrize(
    ("module", "words", "line"),
    [
        (
            imitation,
            (*SMALL, "--content", "skimage:nobody", "--style", "a.jpg", "-o", "p", "--json", "a.json"),
            "no photograph skimage:nobody: allowed are names of skimage.data, as skimage:cat",
        ),
        (imitation, (*PICTURES, *SMALL, "-o", "p", "--json", "a.txt"), "cannot write a.txt: unknown extension .txt"),
        (imitation, (*PICTURES, *SMALL, "-o", "p", "--json", "b.json"), "b.json is no record of this benchmark"),
    ],
)
def test_a_mistake_is_one_line(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    module: Any,
    words: tuple[object, ...],
    line: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "b.json").write_text("{}")
    with pytest.raises(SystemExit) as caught:
        run(monkeypatch, module, *words)
    assert caught.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: {line}")
    assert said.count("\n") == 1
