"""Graph files whose weights are files of their own, named by their content, so that graphs share them.

    SHA256.onnx       a graph; its large initializers are external data
    SHA256.weights    one initializer's values

Each file is whole or not there, and its name tells whether it is still what was written.
"""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from impasto.models.atomic import write_atomically
from impasto.models.checksum import sha256_of

if TYPE_CHECKING:
    import onnx

GRAPH, WEIGHTS = ".onnx", ".weights"
SMALLEST_BYTES = 1024
_READERS = 2


def split(source: bytes | Path, folder: Path) -> tuple[str, ...]:
    """Write a model as such files, except those that exist already.

    Args:
        source: a serialised model, or the path of one whose weights may be in one file next to it.
        folder: where to write; it is made where it does not exist.

    Returns:
        The names of its files, the graph's first.

    Raises:
        ImpastoError: a file cannot be written.
        OSError: a file cannot be read.
    """
    import onnx
    from onnx.external_data_helper import set_external_data

    model = onnx.load_from_string(source) if isinstance(source, bytes) else onnx.load(source, load_external_data=False)
    names = []
    for tensor in model.graph.initializer:
        if _stands_alone(tensor, source):
            names.append(_written(tensor.raw_data, WEIGHTS, folder))
            set_external_data(tensor, names[-1], offset=0, length=len(tensor.raw_data))
            tensor.ClearField("raw_data")
    return _written(model.SerializeToString(), GRAPH, folder), *dict.fromkeys(names)


def join(graph: Path) -> bytes:
    """Return the serialised model of such files, with its weights inside."""
    import onnx

    return bytes(onnx.load(graph).SerializeToString())


def intact(folder: Path, names: tuple[str, ...]) -> bool:
    """Tell whether the files are what was written, and delete those that are not."""
    with ThreadPoolExecutor(_READERS) as readers:
        return all(list(readers.map(lambda name: _is_intact(folder / name), names)))  # each of them is looked at


def _is_intact(path: Path) -> bool:
    try:
        if sha256_of(path) == path.stem:
            return True
        path.unlink()
    except FileNotFoundError:
        pass
    return False


def _stands_alone(tensor: "onnx.TensorProto", source: bytes | Path) -> bool:
    """Tell whether an initializer gets a file of its own; one whose values are in another file is read."""
    from onnx.external_data_helper import load_external_data_for_tensor

    if tensor.data_location != tensor.EXTERNAL:
        return len(tensor.raw_data) >= SMALLEST_BYTES
    if isinstance(source, bytes):
        raise ValueError(f"the weights of a model in memory are elsewhere: {tensor.name}")
    load_external_data_for_tensor(tensor, str(source.parent))
    return True


def _written(content: bytes, suffix: str, folder: Path) -> str:
    """Write a file under the name of its content, and return that."""
    path = folder / f"{hashlib.sha256(content).hexdigest()}{suffix}"
    if _is_intact(path):
        path.touch()  # so that another process does not take it for abandoned
    else:
        write_atomically(path, content)
    return path.name
