"""The steps of one visit to a GPU, small, on the processor: that they work."""

import json
from pathlib import Path

import pytest

from impasto.bench.gpu.__main__ import main

PARTS = ("checks", "evaluation", "loop")


@pytest.mark.slow
def test_checks_and_measurements_work(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["-o", str(tmp_path), "--smoke", "--model", "vgg19-slim", "--threads", "1"]
    assert main([*words, *(word for part in PARTS for word in ("--only", part))]) == 0
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert [step["ok"] for step in found["steps"]] == [True] * len(found["steps"])
    assert {step["step"].split(",")[0] for step in found["steps"]} >= {"parity", "placement", "replay", "loop"}
    assert {item["benchmark"] for item in found["series"]} == {"evaluation", "loop"}
    assert (tmp_path / "gpu.md").read_text().startswith("# What ran on this machine\n")
    assert capsys.readouterr().out == f"{tmp_path / 'gpu.json'}, {tmp_path / 'gpu.md'}\n"


def test_a_mistake_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-o", str(tmp_path), "--smoke", "--content", str(tmp_path / "none.jpg")]) == 2
    assert capsys.readouterr().err.startswith("error: cannot read ")
    assert list(tmp_path.iterdir()) == []
