"""Weights that a model keeps in other files: only files next to it, or below its folder, are read.

A model is foreign data. Without this check it could name any file of the machine, and the result would contain that
file's bytes.
"""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath

import onnx_ir as ir

from impasto.models.errors import ImpastoError
from impasto.models.regular_file import NO_SUCH_FILE, why_unreadable


def take_in_weights(model: ir.Model, source: Path) -> tuple[Path, ...]:
    """Read the weights that are in other files into memory; in place.

    Args:
        model: the model, as `onnx_ir.load` returns it.
        source: its file.

    Returns:
        The other files.

    Raises:
        ImpastoError: a file is outside of the model's folder, or is no regular file.
        OSError: a file cannot be read.
        ValueError: a file is too short.
    """
    places = external_places(model)
    for place in places:
        names = (PurePosixPath(place), PureWindowsPath(place))
        if any(name.is_absolute() or name.drive or ".." in name.parts for name in names):
            raise ImpastoError(
                f"cannot read {source}: its weights are in {place!r}, outside of the model's folder; "
                "put that file next to the model"
            )
        why = why_unreadable(source.parent / place)
        if why not in ("", NO_SUCH_FILE):  # reading says that there is none
            raise ImpastoError(
                f"cannot read {source}: its weights are in another file, {place!r}, and {why}; put that file next to it"
            )
    if places:
        ir.external_data.load_to_model(model)
    return tuple(source.parent / place for place in places)


def external_places(model: ir.Model) -> tuple[str, ...]:
    """Return the places of the weights that are in other files, as the model names them, each once."""
    places = (str(one.location) for one in _tensors(model) if isinstance(one, ir.ExternalTensor))
    return tuple(dict.fromkeys(places))


def _tensors(model: ir.Model) -> Iterator[object]:
    """Yield the tensors of a model: initializers and attributes, also those of subgraphs and functions."""
    functions = [one for function in model.functions.values() for one in (function.graph, *function.subgraphs())]
    for graph in (model.graph, *model.graph.subgraphs(), *functions):
        for value in graph.initializers.values():
            yield value.const_value
        for node in graph:
            for attribute in node.attributes.values():
                if attribute.type is ir.AttributeType.TENSOR:
                    yield attribute.value
                elif attribute.type is ir.AttributeType.TENSORS:
                    yield from attribute.value
