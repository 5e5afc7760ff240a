"""A small bundle."""

from pathlib import Path
from typing import Any

import pytest

from impasto.engine import Settings
from impasto.engine.bundle import Order, write_bundle
from impasto.engine.compile.network import load_network
from tests.engine.conftest import Files

TAPS: dict[str, Any] = {"content_taps": ("relu2_1",), "style_taps": ("relu1_1", "relu3_1")}


@pytest.fixture
def bundle(files: Files, tmp_path: Path) -> Path:
    write_bundle(load_network(files.model), tmp_path / "bundle", Order(Settings(size=64, **TAPS), ((64, 48),)))
    return tmp_path / "bundle"
