"""Small images and a narrow network for the paper's figures, and what a figure's folder says."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from PIL import Image

from tests.small_network import VGG_WIDTHS, features_model


@dataclass(frozen=True)
class Inputs:
    folder: Path
    content: Path
    styles: tuple[Path, Path]
    model: Path

    def command(self, number: int, name: str, *more: object) -> list[object]:
        styles = [option for path in self.styles[: 2 if number == 2 else 1] for option in ("--style", path)]
        chosen = ["--model", self.model, "--provider", "cpu", "--size", 40, "--evaluations", 4, "--threads", 1]
        return ["figure", number, "-o", self.folder / name, "--content", self.content, *styles, *chosen, *more]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    folder = tmp_path_factory.mktemp("figures")
    rng = np.random.default_rng(0)
    for name in ("scene", "first", "second"):
        Image.fromarray(rng.integers(0, 255, (44, 48, 3)).astype(np.uint8)).save(folder / f"{name}.png")
    ir.save(features_model(widths=VGG_WIDTHS), folder / "narrow.onnx")
    styles = (folder / "first.png", folder / "second.png")
    return Inputs(folder, folder / "scene.png", styles, folder / "narrow.onnx")


def record(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "figure.json").read_text())
    return content


def outcome(folder: Path) -> dict[str, Any]:
    """Everything about the cells but how long they took."""
    cells = record(folder)["cells"]
    return {name: {key: value for key, value in cell.items() if key != "seconds"} for name, cell in cells.items()}
