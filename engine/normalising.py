"""A network normalised over the user's pictures, see `impasto.export.normalisation`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir

from impasto.engine import images
from impasto.engine.network import load_network
from impasto.export.normalisation import normalise
from impasto.export.tap_graph import available_taps, set_pooling
from impasto.export.taps import SMALLEST_SIDE_PX
from impasto.models.errors import ImpastoError
from impasto.models.store import atomic_file, network_file

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp")
LONG_SIDE_PX = 512


def normalise_network(
    model: str | Path, pictures: Sequence[Path], output: str | Path, pool: str = "avg"
) -> tuple[Path, int, int]:
    """Write a network whose filters have mean activation 1 over the pictures and their positions.

    Args:
        model: as `impasto.engine.network.load_network` takes it.
        pictures: image files, or folders of them; larger ones are brought to 512 px.
        output: a file that ends in .onnx, or a name for the cache.
        pool: pooling of the runs that it is for, avg or max: it decides the means.

    Returns:
        The file, the number of pictures, and the number of filters that none of them activates, which stay as they are.

    Raises:
        ImpastoError: no pictures, a file cannot be read or written, or the network cannot be normalised.
    """
    target = Path(output) if str(output).endswith(".onnx") else network_file(str(output))
    files = _files(pictures)
    network = load_network(model)
    copy = network.model.clone()
    set_pooling(copy, pool)
    silent = normalise(copy, mean_activations(copy, files))
    copy.metadata_props["normalised"] = f"mean activation 1 over {len(files)} pictures, {pool} pooling"
    copy.metadata_props["normalised_from"] = network.sha256
    with atomic_file(target, durable=True) as part:
        ir.save(copy, part)
    return target, len(files), len(silent)


def mean_activations(model: ir.Model, files: Sequence[Path]) -> dict[str, np.ndarray]:
    """Return {tap: mean over pictures and positions, (channels,), float64}; every position counts alike."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 4
    session: Any = ort.InferenceSession(
        ir.to_proto(model).SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    taps = available_taps(model)
    sums: dict[str, Any] = dict.fromkeys(taps, 0.0)
    counts = dict.fromkeys(taps, 0)
    for file in files:
        picture = images.read_image(file)
        images.require_min_side(picture, SMALLEST_SIDE_PX, "image")
        longest = min(LONG_SIDE_PX, max(picture.height, picture.width))
        picture = picture.resized(*images.fit_long_side(picture.height, picture.width, longest))
        values = session.run(list(taps), {session.get_inputs()[0].name: images.to_nchw(picture.pixels)})
        for tap, value in zip(taps, values, strict=True):
            sums[tap] = sums[tap] + value.sum((0, 2, 3), dtype=np.float64)
            counts[tap] += value.shape[2] * value.shape[3]
    return {tap: np.asarray(sums[tap]) / counts[tap] for tap in taps}


def _files(pictures: Sequence[Path]) -> list[Path]:
    found: list[Path] = []
    for path in pictures:
        inside = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES) if path.is_dir() else [path]
        found += inside
    if not found:
        raise ImpastoError(
            f"no pictures in {', '.join(map(str, pictures)) or 'nothing'}: "
            "give image files or folders of them with --images"
        )
    return found
