"""The check of a bundle: its files are those that were written, and every size of it renders."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from impasto.engine.bundle.files import check_files, graph_file
from impasto.engine.bundle.manifest import NAME, read_manifest
from impasto.engine.bundle.running import BundleRun
from impasto.models.errors import ImpastoError

ITERATIONS = 3


@dataclass(frozen=True)
class Rendered:
    """What the check of a size saw.

    Attributes:
        width: px.
        height: px.
        losses: the loss at the start and after each evaluation.
    """

    width: int
    height: int
    losses: tuple[float, ...]


def check_bundle(folder: Path, threads: int = 0) -> list[Rendered]:
    """Check the files of a bundle against their hashes, and run `ITERATIONS` iterations at every size.

    The images are made for the check: a gradient of colours in the style of a pattern of squares.

    Args:
        folder: of the bundle.
        threads: number of CPU threads; 0 is one per core.

    Raises:
        ImpastoError: a file is missing, changed or not of a bundle; or a size does not render.
    """
    record = read_manifest(folder)
    check_files(folder, record)
    found = []
    try:
        for size in record["sizes"]:
            graph_file(folder, record, size["render"]["file"])
        for number, result in enumerate(record["results"]):
            for scale in range(len(result["scales"])):
                run = BundleRun(folder, record, result=number, scale=scale, threads=threads)
                run.set_images(_gradient(run.height, run.width), _squares())
                rows = run.run(ITERATIONS + 1)
                found.append(Rendered(run.width, run.height, tuple(row["loss"] for row in rows)))
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise ImpastoError(f"damaged bundle: {folder / NAME} ({error!r:.100}); make it again") from error
    for one in found:
        if not all(map(math.isfinite, one.losses)) or one.losses[-1] >= one.losses[0] > 0:
            losses = ", ".join(f"{loss:.6g}" for loss in one.losses)
            raise ImpastoError(
                f"{folder}: the loss at {one.width}x{one.height} px does not fall: {losses}; make it again"
            )
    return found


def _gradient(height: int, width: int) -> np.ndarray:
    rows, columns = np.linspace(40, 215, height), np.linspace(40, 215, width)
    red, green = np.meshgrid(columns, rows)
    return np.stack([red, green, 255 - red], 2).astype(np.uint8)


def _squares() -> np.ndarray:
    rows, columns = np.indices((64, 96)) // 8
    return np.stack([rows * 37 % 256, columns * 53 % 256, (rows + columns) % 2 * 200], 2).astype(np.uint8)
