"""How much of the content is kept: the measure, and the study on small pictures with the slim network as the judge."""

import json
import sys
from pathlib import Path

import pytest

from impasto.bench.studies import strength
from impasto.bench.studies.paired_images import Pair
from impasto.bench.studies.study import as_script
from impasto.engine import Engine
from impasto.models.store import EMBEDDED

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"


def test_the_content_keeps_all_of_itself_and_another_picture_little() -> None:
    pair = Pair("harbour+swirls", EXAMPLES / "harbour.jpg", EXAMPLES / "swirls.jpg")
    with Engine(EMBEDDED, provider="cpu", precision="fp32", threads=1) as judge:
        assert strength.kept(judge, pair.content, pair, 96) == pytest.approx(
            1, abs=1e-4
        )  # of 8-bit files, resized twice
        assert strength.kept(judge, pair.style, Pair("", pair.content, pair.style), 96) < 0.1


def test_spread_is_of_one_strength_and_pair() -> None:
    rows = [
        {"pair": "a+b", "strength": 0.5, "kept": 0.4},
        {"pair": "a+b", "strength": 0.5, "kept": 0.5},
        {"pair": "a+b", "strength": 0.7, "kept": 0.1},
    ]
    found = strength.spreads(rows, "kept")
    assert found == {"strength 0.5, a+b": pytest.approx(0.25), "strength 0.7, a+b": 0}


def test_a_study_of_small_pictures(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(strength, "FULL", EMBEDDED)
    file, pictures = tmp_path / "found.json", tmp_path / "pictures"
    words = ("--size", 64, "--strength", 0.2, "--strength", 0.9, "--pair", "harbour+swirls")
    monkeypatch.setattr(sys, "argv", list(map(str, ("strength", "-o", pictures, "--json", file, *words))))
    as_script(strength.main)
    found = json.loads(file.read_text())
    assert len(found["rows"]) == 4
    by_strength = {value: [row["kept"] for row in found["rows"] if row["strength"] == value] for value in (0.2, 0.9)}
    assert min(by_strength[0.2]) > max(by_strength[0.9])
    assert set(found["spread"]["kept"]) == {"strength 0.2, harbour+swirls", "strength 0.9, harbour+swirls"}
