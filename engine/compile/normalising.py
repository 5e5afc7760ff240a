"""A network normalised over the user's pictures, see `impasto.export.normalisation`."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir

from impasto.engine import images
from impasto.engine.compile.network import load_network
from impasto.engine.compile.trial import try_network
from impasto.engine.runtime import cpu_info
from impasto.engine.runtime.lowering import lower
from impasto.engine.runtime.providers import Provider, choose
from impasto.engine.runtime.session import Graph, Session
from impasto.export.normalisation import normalise
from impasto.export.serialised import whole
from impasto.export.tap_graph import available_taps, set_pooling, tap_graph
from impasto.export.taps import SMALLEST_SIDE_PX
from impasto.export.terms import IMAGE
from impasto.models.atomic import atomic_file
from impasto.models.errors import ImpastoError
from impasto.models.store import network_file

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp")
LONG_SIDE_PX = 512


def normalise_network(
    model: str | Path,
    pictures: Sequence[Path],
    output: str | Path,
    pool: str = "avg",
    *,
    provider: Provider | None = None,
    threads: int = 0,
) -> tuple[Path, int, int]:
    """Write a network whose filters have mean activation 1 over the pictures and their positions.

    Args:
        model: as for `impasto.engine.compile.network.load_network`.
        pictures: image files, or folders of them; larger pictures are reduced to 512 px.
        output: a file that ends in .onnx, or a name for the cache.
        pool: pooling of the runs that will use the network, avg or max; the means depend on it.
        provider: provider that computes the means; None is the CPU provider in fp32, without the project's operators.
        threads: number of CPU threads; 0 is one per core.

    Returns:
        The file, the number of pictures, and the number of filters that no picture activates. These filters are not
        changed.

    Raises:
        ImpastoError: there are no pictures, a file cannot be read or written, the network cannot be normalised, or it
            does not run on the provider.
    """
    cpu_info.check_threads(threads)
    provider = provider or choose("cpu,plain", "fp32")
    target = Path(output) if str(output).endswith(".onnx") else network_file(str(output))
    files = _files(pictures)
    network = load_network(model)
    copy = network.model.clone()
    set_pooling(copy, pool)
    means = mean_activations(copy, files, provider=provider, threads=threads)
    _check_means(means, network.path)
    silent = normalise(copy, means)
    copy.metadata_props["normalised"] = conditions(len(files), pool, provider)
    copy.metadata_props["normalised_from"] = network.sha256
    with atomic_file(target, durable=True) as part:
        ir.save(copy, part)
        try_network(part, network.path)
    return target, len(files), len(silent)


def mean_activations(
    model: ir.Model, files: Sequence[Path], *, provider: Provider | None = None, threads: int = 0
) -> dict[str, np.ndarray]:
    """Return {tap: mean over pictures and positions, (channels,), float64}. All positions have the same weight.

    Args:
        model: a features model; it is not changed.
        files: files of the pictures; successive pictures of the same size use one session.
        provider: as for `normalise_network`.
        threads: as for `normalise_network`.

    Raises:
        ImpastoError: a picture cannot be read or is too small, or the model does not run on the provider.
    """
    provider = provider or choose("cpu,plain", "fp32")
    provider = provider.uncaptured() or provider  # a size may come once
    taps = available_taps(model)
    sums: dict[str, Any] = dict.fromkeys(taps, 0.0)
    counts = dict.fromkeys(taps, 0)
    for (height, width), pictures in itertools.groupby(map(_read, files), lambda picture: picture.pixels.shape[:2]):
        graph = lower(tap_graph(model, taps, batch=1, height=height, width=width), provider)
        with Session(Graph(whole(graph)), provider, threads) as session:
            for picture in pictures:
                session.set(IMAGE, images.to_nchw(picture.pixels))
                values = session.run()
                for tap in taps:
                    sums[tap] = sums[tap] + values[tap].sum((0, 2, 3), dtype=np.float64)
                    counts[tap] += values[tap].shape[2] * values[tap].shape[3]
    return {tap: sums[tap] / counts[tap] for tap in taps}


def _check_means(means: Mapping[str, np.ndarray], path: Path) -> None:
    for tap, mean in means.items():
        if not np.isfinite(mean).all():
            raise ImpastoError(
                f"cannot normalise {path}: the mean activation of {tap} is NaN or infinite over the pictures; "
                "take another network, --provider cpu or --precision fp32"
            )


def _read(file: Path) -> images.Picture:
    """Return a picture that is large enough for the network, at no more than `LONG_SIDE_PX`."""
    picture = images.read_image(file)
    images.require_min_side(picture, SMALLEST_SIDE_PX, "image")
    return picture.within(LONG_SIDE_PX)


def conditions(count: int, pool: str, provider: Provider) -> str:
    """Describe the conditions of the means; the precision is named unless it is float32."""
    narrow = "" if provider.precision == "fp32" else f", in {provider.precision}"
    return f"mean activation 1 over {count} pictures, {pool} pooling{narrow}"


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
