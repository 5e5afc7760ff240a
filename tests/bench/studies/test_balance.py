"""The balance of content and style over networks, sizes and poolings: what is measured, and that it is."""

import json
import sys
from pathlib import Path
from unittest.mock import patch

import numpy as np
import onnx_ir as ir
import pytest
from PIL import Image

from impasto.bench.studies import balance
from impasto.bench.studies.study import as_script
from impasto.engine import Engine
from tests.small_network import VGG_WIDTHS, features_model


def row(weighting: str, network: str, size_px: int, content: float) -> dict[str, object]:
    cell = {"weighting": weighting, "network": network, "size_px": size_px, "pool": "avg"}
    return {**cell, "content_error": content, "style_error": 1.0}


def test_spreads_are_over_everything_and_over_one_thing_alone() -> None:
    rows = [row("paper", "a", 80, 1.0), row("paper", "a", 160, 3.0), row("paper", "b", 80, 2.0)]
    found = balance.spreads([*rows, row("calibrated", "a", 80, 7.0)])
    assert {varied: spread["content_error"] for varied, spread in found["paper"].items()} == {
        "all": 3.0, "network": 2.0, "size": 3.0, "pool": 1.0
    }  # fmt: skip
    assert found["paper"]["all"]["style_error"] == 1.0
    assert found["calibrated"]["all"]["content_error"] == 1.0


@pytest.fixture
def network(tmp_path: Path) -> Path:
    ir.save(features_model(widths=VGG_WIDTHS), tmp_path / "small.onnx")
    rng = np.random.default_rng(0)
    for name in ("content", "style"):
        Image.fromarray(rng.integers(0, 255, (40, 48, 3)).astype(np.uint8)).save(tmp_path / f"{name}.png")
    return tmp_path / "small.onnx"


def test_errors_are_relative_to_the_targets(network: Path) -> None:
    content, style = network.with_name("content.png"), network.with_name("style.png")
    with Engine(network, provider="cpu", threads=1) as judge:
        same = balance.errors(judge, content, content, style, 48)
        assert same["content_error"] == pytest.approx(0, abs=1e-6)
        assert 0 < same["style_error"] < 10
        assert balance.errors(judge, style, content, style, 48)["style_error"] == pytest.approx(0, abs=1e-6)


def test_derived_is_the_mean_error_on_the_normalised_network_alone() -> None:
    cells = balance.grid(balance.NETWORKS, (80,))
    derived = [cell for cell in cells if cell.weighting == "derived"]
    assert {cell.network for cell in derived} == {balance.NORMALISED}
    assert {cell.pool for cell in derived} == {"avg", "max"}
    assert len(cells) == 3 * 2 * 2 + 2
    settings = derived[0].settings(60, activations=1000)
    assert settings.weighting == "paper"  # alpha / 2 sum (F - P)^2
    assert settings.content_weight == pytest.approx(balance.ALPHAS["derived"] * 2 / 1000)
    plain = next(cell for cell in cells if cell.weighting == "calibrated").settings(60, activations=1000)
    assert (plain.weighting, plain.content_weight) == ("calibrated", balance.ALPHAS["calibrated"])


def test_a_small_grid(network: Path, tmp_path: Path) -> None:
    words = ["balance", tmp_path / "content.png", tmp_path / "style.png", "-o", tmp_path / "pictures", "--json"]
    words += [tmp_path / "a.json", "--sheet", tmp_path / "a.png", "--model", network, "--judge", network]
    words += ["--size", 40, "--size", 48, "--evaluations", 2, "--threads", 1]
    with patch.object(sys, "argv", [str(word) for word in words]):
        as_script(balance.main)
    found = json.loads((tmp_path / "a.json").read_text())
    assert len(found["rows"]) == 8
    assert set(found["spread"]) == {"paper", "calibrated"}
    assert found["spread"]["paper"]["network"]["content_error"] == 1.0
    with Image.open(tmp_path / "a.png") as sheet:
        assert sheet.width > 2 * 48
