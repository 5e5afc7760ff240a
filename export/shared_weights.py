"""Graph files whose weights are files of their own, named by their content, so that graphs share them.

    SHA256.onnx       a graph; its large initializers are external data
    SHA256.weights    one initializer's values

Each file is whole or not there, and its name tells whether it is still what was written.
"""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from impasto.models.atomic import atomic_file
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

    model = onnx.load_from_string(source) if isinstance(source, bytes) else onnx.load(source, load_external_data=False)
    names = []
    for tensor in model.graph.initializer:
        content = _content(tensor, source)
        if content is not None:
            names.append(_written(content, WEIGHTS, folder))
            _refer(tensor, names[-1], len(content))
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


def _content(tensor: "onnx.TensorProto", source: bytes | Path) -> bytes | None:
    """Return the values of an initializer; None where they are to stay in the graph."""
    if tensor.data_location != tensor.EXTERNAL:
        return bytes(tensor.raw_data) if len(tensor.raw_data) >= SMALLEST_BYTES else None
    if isinstance(source, bytes):
        raise ValueError(f"the weights of a model in memory are elsewhere: {tensor.name}")
    where = {entry.key: entry.value for entry in tensor.external_data}
    with (source.parent / where["location"]).open("rb") as file:
        file.seek(int(where.get("offset", 0)))
        content: bytes = file.read(int(where["length"]))
    return content


def _refer(tensor: "onnx.TensorProto", name: str, length: int) -> None:
    """Make an initializer external data."""
    tensor.ClearField("raw_data")
    del tensor.external_data[:]
    tensor.data_location = tensor.EXTERNAL
    for key, value in (("location", name), ("offset", "0"), ("length", str(length))):
        tensor.external_data.add(key=key, value=value)


def _written(content: bytes, suffix: str, folder: Path) -> str:
    """Write a file under the name of its content, and return that."""
    path = folder / f"{hashlib.sha256(content).hexdigest()}{suffix}"
    if _is_intact(path):
        path.touch()  # so that another process does not take it for abandoned
    else:
        with atomic_file(path) as part:
            part.write_bytes(content)
    return path.name
