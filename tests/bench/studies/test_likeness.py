"""The measures of likeness, on features made by hand and on the slim network beside itself."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("skimage")

from impasto.bench.studies import likeness
from impasto.bench.studies.study import as_script
from impasto.models.store import EMBEDDED

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"


def answers(matrix: np.ndarray, noise: float = 0.0) -> Any:
    """Return a network with one tap that multiplies the colours of an image."""
    rng = np.random.default_rng(1)

    def run(image: np.ndarray) -> dict[str, np.ndarray]:
        values = matrix @ image.reshape(-1, 3).T
        return {"relu1_1": values + noise * rng.standard_normal(values.shape)}

    return run


def test_a_rotation_is_found_and_is_no_error() -> None:
    rng = np.random.default_rng(0)
    rotation = np.linalg.qr(rng.standard_normal((7, 3))).Q
    images = [rng.standard_normal((20, 20, 3)) for _ in range(4)]
    slim, full = answers(np.eye(3)), answers(rotation)
    found = likeness.fitted(slim, full, images)
    np.testing.assert_allclose(found["relu1_1"], rotation, atol=1e-5)
    assert likeness.errors(slim, full, images, found)["relu1_1"] < 1e-9


def test_an_error_is_told_as_a_share_of_the_power() -> None:
    rng = np.random.default_rng(0)
    images = [rng.standard_normal((40, 40, 3)) for _ in range(4)]
    rotations = {"relu1_1": np.eye(3)}
    full, noisy, half = answers(np.eye(3)), answers(np.eye(3), noise=0.5), answers(np.eye(3) / 2)
    assert likeness.errors(noisy, full, images, rotations)["relu1_1"] == pytest.approx(0.25, rel=0.05)
    assert likeness.errors(half, full, images, rotations)["relu1_1"] == pytest.approx(0.25, rel=1e-6)


def test_a_network_is_like_itself(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(likeness, "FITTED_ON", ("skimage:grass",))
    monkeypatch.setattr(likeness, "SIDE_PX", 32)
    monkeypatch.setattr(likeness, "CROP_PX", 64)
    monkeypatch.setattr(likeness, "POOLINGS", ("avg",))
    words = ["--content", EXAMPLES / "harbour.jpg", "--style", EXAMPLES / "mosaic.jpg", "--full", EMBEDDED]
    monkeypatch.setattr(sys, "argv", ["", *map(str, [*words, "--crops", 1, "-o", tmp_path / "a.json"])])
    as_script(likeness.main)
    found = json.loads((tmp_path / "a.json").read_text())["poolings"]["avg"]
    assert found["feature_error"].keys() == found["style_ratio"].keys()
    assert found["feature_error"]["relu1_1"] < 1e-9  # one crop has too few positions for the rotations of deep taps
    assert list(found["style_ratio"].values()) == list(found["content_ratio"].values()) == [pytest.approx(1)] * 12
    assert found["gradient_cosine"] == pytest.approx(1, abs=1e-5)
