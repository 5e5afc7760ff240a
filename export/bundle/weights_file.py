"""Several graphs in one folder whose large initializers are in one file, each of them once."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx_ir as ir

from impasto.export.serialised import whole

WEIGHTS_FILE = "weights.bin"
SMALLEST_BYTES = 1024  # smaller ones may be needed for shape inference
_ALIGNMENT, _PAGE = 64, 4096
"""Bytes at whose multiples an array begins; a large one begins at a page, so that a runtime can map it."""


def write_with_shared_weights(models: Mapping[str, ir.Model], folder: Path) -> None:
    """Write graphs and their weights. The models are not changed.

    Args:
        models: by the name of the file.
        folder: an empty folder that exists.

    Raises:
        OSError: a file cannot be written.
    """
    places: dict[tuple[str, str], int] = {}
    with (folder / WEIGHTS_FILE).open("wb") as file:
        for name, model in models.items():
            kept = []
            try:
                for value in _initializers(model):
                    tensor = value.const_value
                    if tensor is None or tensor.nbytes < SMALLEST_BYTES:
                        continue
                    content = np.ascontiguousarray(tensor.numpy()).tobytes()
                    known = (str(tensor.dtype), hashlib.sha256(content).hexdigest())
                    if known not in places:
                        file.write(bytes(-file.tell() % (_PAGE if len(content) >= _PAGE else _ALIGNMENT)))
                        places[known] = file.tell()
                        file.write(content)
                    kept.append((value, tensor))
                    value.const_value = ir.ExternalTensor(
                        WEIGHTS_FILE,
                        places[known],
                        len(content),
                        tensor.dtype,
                        shape=ir.Shape(tensor.shape.numpy()),
                        name=value.name or "",
                    )
                (folder / name).write_bytes(whole(model))
            finally:
                for value, tensor in kept:
                    value.const_value = tensor


def _initializers(model: ir.Model) -> list[ir.Value]:
    """Return the initializers of a model and of its subgraphs."""
    return [value for graph in (model.graph, *model.graph.subgraphs()) for value in graph.initializers.values()]
