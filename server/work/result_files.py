"""The files that a worker makes of a picture, each there in full or not at all."""

import io
import os
from pathlib import Path

import numpy as np

from impasto.engine import Result, save_checkpoint
from impasto.engine.images import fit_long_side, thumbnail
from impasto.engine.images.writing import encode

PREVIEW_SIDE_PX = 512


def write_result(result: Result, stem: Path) -> dict[str, Path]:
    """Write the files of a result; return them by their column in the journal.

    Args:
        result: of a run.
        stem: path of the files without their endings.

    Raises:
        OSError: a file cannot be written.
        ImpastoError: likewise.
    """

    def path(ending: str) -> Path:
        return stem.with_name(f"{stem.name}.{ending}")

    pixels, alpha = result.picture.pixels, result.picture.alpha
    files = {"result_file": path("npy"), "png_file": path("png"), "preview_file": path("jpg")}
    replace(files["result_file"], _npy(pixels))
    if alpha is not None:
        files["alpha_file"] = path("alpha.npy")
        replace(files["alpha_file"], _npy(alpha))
    result.save(files["png_file"])
    write_preview(pixels, files["preview_file"])
    if result.state is not None:
        files["state_file"] = path("end.safetensors")
        save_checkpoint(result.state, files["state_file"], durable=False)
    return files


def write_preview(pixels: np.ndarray, path: Path) -> None:
    """Write a small JPEG.

    Args:
        pixels: float32 H x W x 3, RGB, 0..1.
        path: of the file.
    """
    height, width = pixels.shape[:2]
    side_px = min(PREVIEW_SIDE_PX, max(height, width))
    replace(path, encode(thumbnail(pixels, *fit_long_side(height, width, side_px)), ".jpg"))


def replace(path: Path, data: bytes) -> None:
    """Write a file in full or not at all."""
    part = path.with_name(f"{path.name}.part")
    part.write_bytes(data)
    os.replace(part, path)  # noqa: PTH105 - the same


def _npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, np.ascontiguousarray(array, np.float32))
    return file.getvalue()
