"""What a preview costs: the loop with each kind in turn."""

import json
import sys
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from PIL import Image

from impasto.bench.studies import preview
from impasto.bench.studies.study import as_script


def test_each_way_in_turn(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        Image.fromarray(np.zeros((32, 40, 3), np.uint8) + 99).save(tmp_path / name)
    words = ["preview", tmp_path / "a.png", tmp_path / "b.png", "-o", tmp_path / "p.json", "--size", 48]
    words += ["--evaluations", 2, "--rounds", 2, "--threads", 1, "--model", "vgg19-slim"]
    with patch.object(sys, "argv", [str(word) for word in words]):
        as_script(preview.main)
    found = json.loads((tmp_path / "p.json").read_text())
    assert set(found["runs"]) == set(found["summary"]) == {"off", "blocks", "sixel", "kitty"}
    assert all(len(runs) == 2 for runs in found["runs"].values())
    assert found["summary"]["off"]["over_off_clock"] == 0


def test_the_summary_compares_within_a_round() -> None:
    def one(seconds: float, share: float = 0.0) -> dict[str, float]:
        return {"seconds": seconds, "cpu_s": seconds, "pictures": 1, "drawing_share": share}

    found = preview.summary({"off": [one(1), one(10), one(2)], "blocks": [one(1.1, 0.01), one(10.1, 0.02), one(4)]})
    assert found["blocks"]["over_off_clock"] == pytest.approx(0.1)
    assert found["blocks"]["largest_drawing_share"] == 0.02
