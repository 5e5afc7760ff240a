"""What `make demo` runs, small: it ends in time, and the picture is written all the same."""

import importlib.util
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from impasto.engine.images import read_image, read_metadata
from tests.conftest import REPOSITORY


@pytest.fixture
def demo(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("demo", REPOSITORY / "examples" / "demo.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "SETTINGS", replace(module.SETTINGS, size=64, iterations=10))
    monkeypatch.setattr(module, "OUTPUT", tmp_path / "demo.png")
    return module


def test_it_paints(demo: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert demo.main() == 0
    assert capsys.readouterr().out.splitlines()[1].startswith("iteration 10 of 10, loss ")
    assert read_metadata(demo.OUTPUT)["iterations"] == 10


def test_it_ends_in_time(demo: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "LIMIT_S", 0.0)
    assert demo.main() == 0
    told = read_metadata(demo.OUTPUT)
    assert (told["iterations"], told["outcome"]) == (1, "cancelled")
    assert read_image(demo.OUTPUT).width == 64


def test_a_mistake_is_one_line(
    demo: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo, "CONTENT", tmp_path / "nothing.jpg")
    assert demo.main() == 2
    assert capsys.readouterr().err.startswith("error: ")
