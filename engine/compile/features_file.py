"""Reading of a features model's file."""

from pathlib import Path
from typing import TYPE_CHECKING

from impasto.models.errors import ImpastoError

if TYPE_CHECKING:
    import onnx_ir as ir


def read_features(path: Path) -> tuple["ir.Model", bool]:
    """Return the graph of a features model, with float32 weights in memory, and whether it is in a single file.

    Raises:
        ImpastoError: the file cannot be read, has no outputs, or a value in it has no definition.
    """
    import onnx_ir as ir

    from impasto.export.external_weights import take_in_weights
    from impasto.export.half_storage import widen
    from impasto.export.library_errors import without_remarks
    from impasto.export.serialised import hold_weights, is_whole

    try:
        with without_remarks():
            features = ir.load(path)
            whole = is_whole(features)
            take_in_weights(features, path)
            widen(features)
            hold_weights(features)
    except ImpastoError:
        raise
    except Exception as error:  # a damaged file may raise anything in protobuf, onnx_ir or NumPy
        raise ImpastoError(f"not an ONNX model: {path} ({type(error).__name__}); expected a features model") from error
    if not features.graph.outputs:
        raise ImpastoError(f"not a features model: {path} has no outputs; expected one per tap")
    if not _is_in_order(features.graph):
        from impasto.export.gradient.model_structure import put_in_order

        try:
            put_in_order(features)
        except ImpastoError as error:
            raise ImpastoError(f"not a features model: {path}: {error}") from error
    return features, whole


def _is_in_order(graph: "ir.Graph") -> bool:
    """Return whether every value is defined before a node reads it or the graph returns it."""
    known = {None, *graph.inputs, *graph.initializers.values()}
    for node in graph:
        if not known.issuperset(node.inputs):
            return False
        known.update(node.outputs)
    return known.issuperset(graph.outputs)
