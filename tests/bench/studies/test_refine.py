"""What `bench.refine` makes of its runs, and the whole of it, small and short."""

import json
import sys
from pathlib import Path

import onnx_ir as ir
import pytest

from impasto.bench.studies import refine
from impasto.bench.studies.refine import Descent, by_settings, by_target, summary
from impasto.bench.studies.study import as_script
from impasto.models.store import network_file
from tests.conftest import REPOSITORY
from tests.small_network import VGG_WIDTHS, features_model

ALONE = Descent(((1, 100.0, 1.0), (10, 50.0, 10.0), (20, 20.0, 20.0), (40, 10.0, 40.0)), {}, {})
DRAFT = Descent((), {}, {5: 2.0})
REFINED = {5: Descent(((1, 40.0, 1.5), (3, 20.0, 3.0), (9, 5.0, 8.0)), {}, {})}


def test_a_draft_and_a_refinement_are_compared_at_equal_loss() -> None:
    reached, below = by_settings(ALONE, DRAFT, REFINED, [4, 9])
    assert reached == {
        "draft": 5,
        "refine": 4,
        "loss": 20.0,
        "seconds": 5.0,
        "alone_evaluations": 20,
        "alone_s": 20.0,
        "ratio": 4.0,
    }
    assert (below["loss"], below["seconds"], below["alone_s"], below["ratio"]) == (5.0, 10.0, None, None)


def test_a_target_is_the_loss_of_the_full_network() -> None:
    first, second, *_, last = by_target(ALONE, DRAFT, REFINED)
    assert (first["alone_evaluations"], first["loss"], first["alone_s"]) == (10, 50.0, 10.0)
    assert first["drafts"] == {5: {"refine": 1, "seconds": 3.5, "ratio": 10.0 / 3.5}}
    assert second["drafts"][5]["ratio"] == 4.0
    assert (last["alone_evaluations"], last["drafts"][5]["refine"]) == (40, 9)
    assert by_target(ALONE, DRAFT, {5: Descent(((1, 60.0, 1.0),), {}, {})})[0]["drafts"] == {5: None}


def test_a_mean_is_that_of_all_pairs_or_none() -> None:
    quick, slow, unknown = ({"draft": 5, "refine": 4, "alone_evaluations": 1, "ratio": r} for r in (4.0, 1.0, None))
    (row,) = summary({"a": {"settings": [quick]}, "b": {"settings": [slow]}})
    assert row["ratio"] == pytest.approx(2.0)
    (row,) = summary({"a": {"settings": [quick]}, "b": {"settings": [unknown]}})
    assert (row["ratio"], row["ratios"]) == (None, [4.0])


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMPASTO_CACHE", str(tmp_path / "cache"))
    network_file("vgg19").parent.mkdir(parents=True)
    ir.save(features_model(widths=VGG_WIDTHS), network_file("vgg19"))


@pytest.mark.usefixtures("cache")
def test_the_whole(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    output = tmp_path / "a.json"
    words = ["--size", "32", "--evaluations", "6", "--draft", "2", "--draft", "4", "--refine", "2", "--refine", "4"]
    monkeypatch.setattr(sys, "argv", ["refine", str(REPOSITORY / "examples"), *words, "-o", str(output)])
    as_script(refine.main)
    found = json.loads(output.read_text())
    assert {"date", "processor", "load_1_min"} <= set(found["conditions"])
    assert len(found["pairs"]) == 3
    for pair in found["pairs"].values():
        assert [(row["draft"], row["refine"]) for row in pair["settings"]] == [(2, 2), (2, 4), (4, 2), (4, 4)]
        for points in (pair["alone"], *pair["refined"].values()):
            evaluations, losses, seconds = zip(*points, strict=True)
            assert sorted(set(evaluations)) == list(evaluations)
            assert sorted(losses, reverse=True) == list(losses)
            assert sorted(seconds) == list(seconds)
        assert 0 < pair["draft_s"]["2"] <= pair["draft_s"]["4"]
    assert [(row["draft"], row["refine"]) for row in found["summary"]] == [(2, 2), (2, 4), (4, 2), (4, 4)]

    monkeypatch.setattr(refine, "measure", lambda *_: pytest.fail("measured again"))
    as_script(refine.main)
    assert json.loads(output.read_text())["pairs"] == found["pairs"]
    monkeypatch.setattr(sys, "argv", [*sys.argv, "--draft", "5"])
    with pytest.raises(pytest.fail.Exception):
        as_script(refine.main)


def test_a_mistake_is_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["refine", str(tmp_path), "--refine", "0", "-o", str(tmp_path / "a.json")])
    with pytest.raises(SystemExit) as caught:
        as_script(refine.main)
    assert caught.value.code == 2
    assert capsys.readouterr().err == (
        "error: bad --evaluations, --draft or --refine: allowed are whole numbers of 1 or more\n"
    )
