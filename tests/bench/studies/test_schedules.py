"""The study of random schedules: its record, and a status that tells."""

import json
import sys
from pathlib import Path

import pytest

from impasto.bench.studies import schedules
from impasto.engine.jobs.workshop import Workshop


def run(monkeypatch: pytest.MonkeyPatch, *words: object) -> None:
    monkeypatch.setattr(sys, "argv", ["schedules", *map(str, words)])
    monkeypatch.setattr(sys, "path", list(sys.path))
    schedules.main()


def test_a_few_schedules(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    output = tmp_path / "schedules.json"
    run(monkeypatch, "--count", 2, "--first", 4, "--size", 64, "--json", output)
    found = json.loads(output.read_text())
    assert found["problems"] == {}
    assert found["schedules"] == 2
    assert found["jobs"] == sum(found["endings"].values())
    assert found["sums"]["identical"] > 0


def test_what_is_not_as_predicted_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A job whose value is not finite waits for the others, though there is no safer precision."""
    output = tmp_path / "schedules.json"
    monkeypatch.setattr(Workshop, "has_safer", lambda *_: True)
    with pytest.raises(SystemExit) as ended:
        run(monkeypatch, "--count", 1, "--first", 4, "--size", 64, "--json", output)
    assert ended.value.code == 1
    assert list(json.loads(output.read_text())["problems"]) == ["4"]
    assert "schedule 4: evaluation" in capsys.readouterr().out
