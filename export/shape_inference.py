"""Types and shapes of all values of a model: what ONNX infers, and what it leaves out."""

from collections.abc import Iterator

import onnx
import onnx_ir as ir

from impasto.export.library_errors import explained
from impasto.export.vjp_rules.errors import GradientError
from impasto.export.vjp_rules.inspection import has_subgraphs

KEEPS_SHAPE = frozenset(("GroupNormalization",))  # operators with a first output like the input, unknown to ONNX
LARGEST_SHAPE_BYTES = 1024  # constants above this are weights: shape inference does not read them


def infer_shapes(model: ir.Model) -> None:
    """Give every value of a model its type and shape, in place.

    Raises:
        GradientError: the model is not valid.
    """
    while True:
        _infer_once(model)
        if not _complete(model):
            return


def _complete(model: ir.Model) -> bool:
    """Add shapes that the standard does not infer; say whether there were any."""
    found = False
    for node in model.graph.all_nodes():
        if node.domain or node.outputs[0].shape is not None:
            continue
        source = node.inputs[0] if node.inputs else None
        if node.op_type in KEEPS_SHAPE and source is not None and source.shape is not None:
            node.outputs[0].shape, found = source.shape.copy(), True
        elif node.op_type.startswith("Reduce") and _reduces_everything(node):
            node.outputs[0].shape, found = ir.Shape(()), True
    return found


def _reduces_everything(node: ir.Node) -> bool:
    """Whether the result is a scalar, whatever the input's rank."""
    has_axes = "axes" in node.attributes or (len(node.inputs) > 1 and node.inputs[1] is not None)
    keeps = node.attributes.get_int("keepdims", 1) or node.attributes.get_int("noop_with_empty_axes", 0)
    return not has_axes and not keeps


def _infer_once(model: ir.Model) -> None:
    proto = ir.to_proto(_without_weights(model))
    inferred = _inferred(proto, is_strict=not has_subgraphs(model.graph))
    known = {info.name: info.type for info in _infos(inferred.graph)}
    for node in model.graph.all_nodes():
        for value in node.outputs:
            if value.name in known:
                shape = ir.serde.deserialize_type_proto_for_shape(known[value.name])
                value.shape = value.shape if shape is None else shape
                value.type = ir.serde.deserialize_type_proto_for_type(known[value.name])


def _inferred(proto: onnx.ModelProto, *, is_strict: bool) -> onnx.ModelProto:
    """Return a model with the shapes that ONNX infers.

    Where it is not strict, what is not valid has no shape: a branch that is never taken may be so.
    """
    try:
        return onnx.shape_inference.infer_shapes(proto, check_type=True, strict_mode=is_strict, data_prop=True)
    except Exception as error:  # InferenceError, RuntimeError or ValueError, depending on what is broken
        raise GradientError(f"the model is not valid: {explained(error)}") from error


def _infos(graph: onnx.GraphProto) -> Iterator[onnx.ValueInfoProto]:
    """Yield what is known of the values of a graph and its subgraphs, whose names differ."""
    yield from graph.value_info
    yield from graph.output
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs) if attribute.HasField("g") else attribute.graphs:
                yield from _infos(inner)


def _without_weights(model: ir.Model) -> ir.Model:
    """Return a copy whose large initializers are inputs, so that it is cheap to serialise."""
    copy = model.clone()
    for name, value in list(copy.graph.initializers.items()):
        tensor = value.const_value
        if tensor is not None and tensor.nbytes > LARGEST_SHAPE_BYTES:
            del copy.graph.initializers[name]
            value.const_value, value.dtype, value.shape = None, tensor.dtype, ir.Shape(tensor.shape.numpy())
            if value not in copy.graph.inputs:
                copy.graph.inputs.append(value)
    return copy
