"""The program's readers, each as a function of a path. A reader returns, or raises an `ImpastoError`."""

import dataclasses
import io
import sys
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from unittest.mock import patch

import numpy as np

from impasto.engine.cli import main
from impasto.engine.images import read_image, read_metadata, read_size
from impasto.engine.images.reducing import LARGE_PIXELS
from impasto.engine.inputs.checkpoint import load_checkpoint
from impasto.engine.inputs.manifest import read_manifest
from impasto.engine.inputs.pictures import read_pictures
from impasto.engine.inputs.saved_style import SavedStyle
from impasto.engine.settings import Settings
from impasto.export.gradient.model_file import gradient_file
from impasto.models.errors import ImpastoError
from impasto.models.weight_files import read_arrays

Reader = Callable[[Path], object]

SIZE_PX = 64
SETTINGS = Settings(size=SIZE_PX)


class WrongError(Exception):
    """A file was read and something that is not true of every file that can be read is true of it."""


def _pixels(path: Path) -> None:
    """Read an image as a content image of 64 px."""
    scene, _ = read_pictures(path, path, SETTINGS)
    for name, array in (("pixels", scene.pixels), ("alpha", scene.alpha)):
        if array is not None and not (np.isfinite(array).all() and array.min() >= 0 and array.max() <= 1):
            raise WrongError(f"{name} outside 0..1: {array.min()} to {array.max()}")


def _own_size(path: Path) -> None:
    """Read an image as it is; at 64 px where it has so many pixels that gigabytes are what it takes."""
    height, width = read_size(path)
    pixels = read_image(path, SIZE_PX if height * width > LARGE_PIXELS else 0).pixels
    if height * width <= LARGE_PIXELS and pixels.shape[:2] != (height, width):
        raise WrongError(f"the header says {height} x {width} and the pixels are {pixels.shape}")


def _style(path: Path) -> None:
    style = SavedStyle.read(path)
    if not all(np.isfinite(gram).all() for gram in style.grams.values()):
        raise WrongError("a saved style with numbers that are not finite")


def _manifest(path: Path) -> None:
    for row in read_manifest(path, path.parent / "results"):
        dataclasses.replace(row.settings)  # checks them again


def _gradient(path: Path) -> None:
    gradient_file(path, path.parent / "gradient.onnx", "loss", "image", {})


READERS: Mapping[str, tuple[Reader, ...]] = {
    "image": (_pixels, _own_size, read_metadata),
    "safetensors": (_style, load_checkpoint),
    "weights": (read_arrays,),
    "manifest": (_manifest,),
    "model": (_gradient,),
}


def command_lines(kind: str, path: Path, folder: Path) -> list[list[object]]:
    """Return commands that read a file of a kind; `folder` holds the images c.png and s.png."""
    # The default preset's graph takes seconds of a slow processor, and no damaged image or style changes it.
    chosen = ["--preset", "paper", "--size", SIZE_PX, "--iterations", 1, "--provider", "cpu", "--threads", 1, "--quiet"]
    out = folder / "out.png"
    transfer = ["transfer", folder / "c.png", folder / "s.png", "-o", out, *chosen]
    match kind:
        case "image":
            return [
                ["transfer", path, folder / "s.png", "-o", out, *chosen],
                ["transfer", folder / "c.png", path, "-o", out, *chosen],
                [*transfer, "--init", path, "--dry-run"],
                ["show", path],
            ]
        case "safetensors":
            return [
                ["transfer", folder / "c.png", path, "-o", out, *chosen],
                ["show", path],
                ["resume", path, "-o", out, "--quiet"],
            ]
        case "weights":
            return [[*transfer, "--model", path, "--content-tap", "relu2_1", "--style-tap", "relu1_1"]]
        case "manifest":
            return [
                ["batch", path, "-o", folder / "results", "--dry-run", "--provider", "cpu", "--set", "iterations=1"]
            ]
        case _:
            return [[*transfer, "--model", path, "--content-tap", "relu2_1", "--style-tap", "relu1_1"]]


def run_command(line: list[object]) -> None:
    """Run a command line in this process.

    Raises:
        ImpastoError: the command refused its input in one line.
        WrongError: its status or its words are not those of a command that was given a bad file.
    """
    out, err = io.StringIO(), io.StringIO()
    status: object = 0
    with patch.object(sys, "argv", ["impasto", *map(str, line)]), redirect_stdout(out), redirect_stderr(err):
        try:
            main()
        except SystemExit as ended:
            status = ended.code
    said = err.getvalue().splitlines()
    if status == 0:
        return
    unexpected = "Traceback" in out.getvalue() or any(line.startswith("error: unexpected ") for line in said)
    if status not in (1, 2) or len(said) != 1 or unexpected:
        raise WrongError(f"status {status}, {len(said)} lines on stderr: {err.getvalue()[-2000:]}")
    if not said[0].isprintable():
        raise WrongError(f"control characters in {said[0]!r}")
    raise ImpastoError(said[0])
