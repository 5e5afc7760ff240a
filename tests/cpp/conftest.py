"""The library as `make cpp` builds it, and bundles to run it on."""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from PIL import Image

from impasto.engine import Settings
from impasto.engine.bundle import Order, write_bundle
from impasto.engine.compile.network import load_network
from tests.conftest import REPOSITORY
from tests.cpp.runtimes import installed_runtime
from tests.small_network import features_model

BUILD = REPOSITORY / "build-cpp"
TAPS: Mapping[str, tuple[str, ...]] = {"content_taps": ("relu2_1",), "style_taps": ("relu1_1", "relu3_1")}


@dataclass(frozen=True)
class Built:
    """What CMake made.

    Attributes:
        folder: of the build.
        runtime: ONNX Runtime's library.
    """

    folder: Path
    runtime: Path

    @property
    def library(self) -> Path:
        return self.folder / "impasto" / "libimpasto.so"

    def program(self, name: str) -> Path:
        part = "tests" if name in ("impasto-probe", "impasto-inside") else "examples"
        path = self.folder / "impasto" / part / name
        if not path.is_file():
            pytest.skip(f"{name} was not built: it needs libpng and libjpeg (Debian: libpng-dev libjpeg-dev)")
        return path

    def run(
        self, name: str, *arguments: object, given: bytes = b"", status: int | None = 0, **environment: Any
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a program with the runtime that Python uses, and check its exit status."""
        ended = subprocess.run(
            [self.program(name), *map(str, arguments)],
            input=given,
            capture_output=True,
            env={**os.environ, "IMPASTO_ONNXRUNTIME": str(self.runtime), **environment},
            timeout=600,
            check=False,
        )
        assert status is None or ended.returncode == status, (ended.stdout[-2000:], ended.stderr[-2000:])
        return ended

    def lines(self, name: str, *arguments: object, **environment: Any) -> list[str]:
        return self.run(name, *arguments, **environment).stdout.decode().splitlines()


def needed(*programs: str) -> None:
    """Skip where a program is missing."""
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"no {program} on this machine")


def build(folder: Path, options: Sequence[str] = ()) -> None:
    """Configure and build; what is up to date is not built again."""
    needed("cmake", "c++")
    for command in (
        ["cmake", "-S", str(REPOSITORY / "cpp"), "-B", str(folder), *options],
        ["cmake", "--build", str(folder), "--parallel", "2"],
    ):
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-3000:]


@pytest.fixture(scope="session")
def built() -> Built:
    runtime = installed_runtime()
    build(BUILD)
    return Built(BUILD, runtime)


@pytest.fixture(scope="session")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("network") / "small.onnx"
    ir.save(features_model(), path)
    return path


@pytest.fixture(scope="session")
def bundle(network: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """L-BFGS at 64 x 48 px; tests must not change it."""
    folder = tmp_path_factory.mktemp("bundle") / "plain"
    write_bundle(load_network(network), folder, Order(Settings(size=64, **TAPS), ((64, 48),)))  # type: ignore[arg-type]
    return folder


def raw_image(source: Path, size: tuple[int, int] | None, target: Path) -> tuple[Path, int, int, Path]:
    """Write an image as bytes for the programs and as PNG for Python; return both with width and height."""
    with Image.open(source) as image:
        rgb = image.convert("RGB")
    if size is not None:
        rgb = rgb.resize(size)
    png = target.with_suffix(".png")
    rgb.save(png)
    target.write_bytes(np.asarray(rgb).tobytes())
    return target, rgb.width, rgb.height, png
