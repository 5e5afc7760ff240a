"""Networks and batches in turn in one run of `impasto bench evaluation`, compared picture by picture."""

import statistics
from pathlib import Path

import onnx_ir as ir
import pytest

from impasto.engine.compile import memory
from tests.bench.command import ON_CPU, bench, measured
from tests.small_network import VGG_WIDTHS, features_model


@pytest.fixture
def narrow(tmp_path: Path) -> Path:
    path = tmp_path / "narrow.onnx"
    ir.save(features_model(widths=VGG_WIDTHS), path)
    return path


def test_ratios_are_of_seconds_per_picture_round_by_round(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, narrow: Path
) -> None:
    found, ended = measured(capsys, tmp_path, "evaluation", *ON_CPU, "--model", narrow, "--batch", 1, "--batch", 2)
    names = [
        f"impasto cpu fp32{batch}, {network}" for network in ("vgg19-slim", "narrow") for batch in ("", " batch 2")
    ]
    assert [item["name"] for item in found["series"]] == names
    assert [item["evaluations"] for item in found["series"]] == [1, 2, 1, 2]
    assert (found["asked"]["models"], found["asked"]["batches"]) == (["vgg19-slim", str(narrow)], [1, 2])
    first, *others = found["series"]
    for item in others:
        assert len(item["samples_s"]) == len(first["samples_s"]) >= 5
        assert item["first_s"] > 0
        pairs = zip(item["samples_s"], first["samples_s"], strict=True)
        shares = [own / item["evaluations"] / other for own, other in pairs]
        expected = {"median": statistics.median(shares), "min": min(shares), "max": max(shares)}
        assert item["per_picture"].pop("to") == names[0]
        assert item["per_picture"] == pytest.approx(expected)
    assert "per_picture" not in first
    said = [line for line in ended.out.splitlines() if line.startswith(f"64 px, {names[3]}: ")]
    assert len(said) == 1
    assert said[0].endswith(f" of the time per picture of {names[0]}")


def test_one_network_is_not_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    found, ended = measured(capsys, tmp_path, "evaluation", *ON_CPU, "--batch", 2, "--batch", 1)
    assert [item["name"] for item in found["series"]] == ["impasto cpu fp32 batch 2", "impasto cpu fp32"]
    assert "64 px, impasto cpu fp32: " in ended.out


def test_alone_it_is_compared_with_nothing(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    found, _ = measured(capsys, tmp_path, "evaluation", *ON_CPU)
    assert "per_picture" not in found["series"][0]


def test_each_once(capsys: pytest.CaptureFixture[str]) -> None:
    ended = bench(capsys, "evaluation", *ON_CPU, "--batch", 2, "--batch", 2, "--quiet")
    assert (ended.status, ended.out) == (2, "")
    assert ended.err == "error: impasto cpu fp32 batch 2 is measured already: give each --model and each --batch once\n"


def test_what_does_not_fit_beside_the_others_is_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    left = iter([1 << 40])
    monkeypatch.setattr(memory, "available", lambda: next(left, 1 << 20))
    ended = bench(capsys, "evaluation", *ON_CPU, "--batch", 1, "--batch", 2, "--quiet")
    assert (ended.status, ended.out) == (2, "")
    assert ended.err.startswith("error: not enough memory: this run (64x64 px, ")
