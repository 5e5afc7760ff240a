"""Batches compared picture by picture."""

import json
import sys
from pathlib import Path
from unittest.mock import patch

import onnx_ir as ir
import pytest

from impasto.bench import batch_sizes
from tests.small_network import VGG_WIDTHS, features_model


def test_samples_are_per_evaluation_and_medians_per_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ir.save(features_model(widths=VGG_WIDTHS), tmp_path / "narrow.onnx")
    options = ["--model", tmp_path / "narrow.onnx", "--size", 40, "--rounds", 3, "--threads", 1]
    with patch.object(sys, "argv", ["batch_sizes", *map(str, options), "-o", str(tmp_path / "out.json")]):
        batch_sizes.main()
    found = json.loads((tmp_path / "out.json").read_text())
    (row,) = found["sizes"]
    assert found["conditions"]["threads"] == 1
    assert (row["size_px"], row["network"], row["provider"]) == (40, "narrow", "cpu")
    assert {name: len(samples) for name, samples in row["samples_s"].items()} == {"1": 3, "2": 3, "4": 3}
    for name, samples in row["samples_s"].items():
        assert row["median_per_picture_s"][name] == pytest.approx(sorted(samples)[1] / int(name))
    assert row["to_one"]["1"] == 1
    assert "batch 1 1.00, batch 2 " in capsys.readouterr().out
