"""`impasto show`."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from impasto.engine.cli.show import show
from impasto.engine.images import ImageError, write_image

METADATA: dict[str, Any] = {
    "content": "[bold]harbour.jpg",
    "settings": {
        "size": 512,
        "content_weight": 0.001,
        "timeout_s": None,
        "content_taps": {"relu4_2": None},
        "style_taps": {"relu1_1": 0.5, "relu2_1": None},
        "sizes": [1, 2],
        "nothing": [],
        "normalised": False,
    },
    "versions": {"impasto": "0.1.0"},
}

EXPECTED = """\
out.png
  content          [bold]harbour.jpg
settings
  size             512
  content_weight   0.001
  timeout_s        -
  content_taps     relu4_2
  style_taps       relu1_1=0.5 relu2_1
  sizes            1 2
  nothing          -
  normalised       no
versions
  impasto          0.1.0
"""


@pytest.fixture
def app() -> typer.Typer:
    app = typer.Typer()
    app.command()(show)
    return app


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    write_image(tmp_path / "out.png", np.zeros((4, 4, 3), np.float32), metadata=METADATA)
    return tmp_path / "out.png"


def test_settings_are_printed_in_words(app: typer.Typer, picture: Path) -> None:
    result = CliRunner().invoke(app, [str(picture)])
    assert result.exit_code == 0, result.output
    assert result.stdout == EXPECTED
    assert result.stderr == ""


def test_json_is_what_the_file_holds(app: typer.Typer, picture: Path) -> None:
    result = CliRunner().invoke(app, ["--json", str(picture)])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == METADATA
    assert list(json.loads(result.stdout)) == list(METADATA)


def test_long_values_stay_on_one_line(app: typer.Typer, tmp_path: Path) -> None:
    metadata = {"versions": {"long": "x" * 400}}
    write_image(tmp_path / "out.jpg", np.zeros((4, 4, 3), np.float32), metadata=metadata)
    lines = CliRunner().invoke(app, [str(tmp_path / "out.jpg")]).stdout.splitlines()
    assert lines == ["out.jpg", "versions", "  long             " + "x" * 400]


def test_message_for_a_file_without_settings(app: typer.Typer, tmp_path: Path) -> None:
    path = tmp_path / "out.png"
    write_image(path, np.zeros((4, 4, 3), np.float32))
    error = CliRunner().invoke(app, [str(path)]).exception
    assert isinstance(error, ImageError)
    assert str(error) == (
        f"{path} holds no settings: impasto did not write it, or they were lost when it was edited or converted"
    )
