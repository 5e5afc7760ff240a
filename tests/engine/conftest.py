"""Small images and a small network as files."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from PIL import Image

from impasto.engine.device.loop import DeviceLoop
from impasto.engine.device.placement import LoopPlacement, OnDevice
from tests.small_network import features_model

TAPS = ("--content-tap", "relu2_1", "--style-tap", "relu1_1", "--style-tap", "relu3_1")


@dataclass(frozen=True)
class Files:
    """Paths of the inputs of a small transfer."""

    folder: Path
    content: Path
    style: Path
    model: Path


@pytest.fixture
def files(tmp_path: Path) -> Files:
    rng = np.random.default_rng(0)
    content = np.kron(rng.integers(0, 255, (6, 8, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    style = rng.integers(0, 255, (40, 52, 3)).astype(np.uint8)
    files = Files(tmp_path, tmp_path / "content.png", tmp_path / "style.png", tmp_path / "small.onnx")
    Image.fromarray(content).save(files.content)
    Image.fromarray(style).save(files.style)
    ir.save(features_model(), files.model)
    return files


@pytest.fixture
def device_steps(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Samples and steps of every call of a loop on the device."""
    seen: list[tuple[int, int]] = []
    run = DeviceLoop.run

    def spy(self: DeviceLoop, count: int) -> np.ndarray:
        seen.append((self._form.batch, count))
        return run(self, count)

    monkeypatch.setattr(DeviceLoop, "run", spy)
    return seen


def offer_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the device offered and not demanded, as "auto" does on a GPU."""
    original = LoopPlacement.on_device

    def on_device(self: LoopPlacement, *values: object) -> OnDevice | None:
        found = original(self, *values)  # type: ignore[arg-type]
        return None if found is None else dataclasses.replace(found, demanded=False)

    monkeypatch.setattr(LoopPlacement, "on_device", on_device)
