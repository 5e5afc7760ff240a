"""A model made ready for differentiation: functions inlined, opset 13 or later, types and shapes known."""

from collections.abc import Mapping, Sequence

import onnx
import onnx_ir as ir
from onnx_ir.passes import common

from impasto.export.vjp_rules import GradientError
from impasto.models.errors import one_line

OLDEST_OPSET = 13  # the first in which Squeeze, Unsqueeze and ReduceSum take their axes as an input
CONVERTED_OPSET = 18
KEEPS_SHAPE = frozenset(("GroupNormalization",))  # operators with a first output like the input, unknown to ONNX
LARGEST_SHAPE_BYTES = 1024  # constants above this are weights: shape inference does not read them


def prepared(model: ir.Model, shapes: Mapping[str, Sequence[int]]) -> ir.Model:
    """Return a copy of a model, weights shared, with its own functions inlined and types and shapes inferred.

    ``shapes`` are sizes for inputs whose own are free.

    Raises:
        GradientError: the model is older than opset 13 and cannot be converted, is not valid, or has no input of
            the name or shape.
    """
    copy = model.clone()
    if shapes:
        _fix_shapes(copy, shapes)
    if copy.functions:
        common.InlinePass()(copy)
    if copy.opset_imports.get("", 1) < OLDEST_OPSET:
        copy = _converted(copy)
    if any(value.shape is None or value.dtype is None for node in copy.graph for value in node.outputs if value.name):
        infer_shapes(copy)
    return copy


def _fix_shapes(model: ir.Model, shapes: Mapping[str, Sequence[int]]) -> None:
    """Set the shapes of inputs, in place, and forget all shapes that were inferred from others."""
    inputs = {value.name or "": value for value in model.graph.inputs if value.name not in model.graph.initializers}
    for name, shape in shapes.items():
        if name not in inputs:
            raise GradientError(f"the model has no input {name!r} to fix the shape of; it has {', '.join(inputs)}")
        own, value = inputs[name].shape, inputs[name]
        if own is not None and (
            len(own) != len(shape)
            or any(isinstance(size, int) and size != wanted for size, wanted in zip(own, shape, strict=True))
        ):
            wanted = "x".join(map(str, shape))
            raise GradientError(
                f"input {name!r} has shape {own}, which cannot become {wanted}; only free sizes can be fixed"
            )
        value.shape = ir.Shape(shape)
    for node in model.graph:
        for value in node.outputs:
            value.shape = None


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
    for node in model.graph:
        if node.op_type in KEEPS_SHAPE and not node.domain and node.outputs[0].shape is None:
            source = node.inputs[0]
            if source is not None and source.shape is not None:
                node.outputs[0].shape, found = source.shape.copy(), True
    return found


def _infer_once(model: ir.Model) -> None:
    proto = ir.to_proto(_without_weights(model))
    try:
        inferred = onnx.shape_inference.infer_shapes(proto, check_type=True, strict_mode=True, data_prop=True)
    except Exception as error:  # InferenceError, RuntimeError or ValueError, depending on what is broken
        raise GradientError(f"the model is not valid: {one_line(error)}") from error
    known = {info.name: info.type for info in (*inferred.graph.value_info, *inferred.graph.output)}
    for node in model.graph:
        for value in node.outputs:
            if value.name in known:
                value.shape = ir.serde.deserialize_type_proto_for_shape(known[value.name])
                value.type = ir.serde.deserialize_type_proto_for_type(known[value.name])


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


def _converted(model: ir.Model) -> ir.Model:
    """Return the model in a later opset."""
    version = model.opset_imports.get("", 1)
    try:
        return ir.from_proto(onnx.version_converter.convert_version(ir.to_proto(model), CONVERTED_OPSET))
    except Exception as error:  # RuntimeError, ConvertError or ValueError, depending on the operator
        raise GradientError(
            f"the model has opset {version}, which cannot be converted to {CONVERTED_OPSET}: {one_line(error)}; "
            f"export it again with opset {CONVERTED_OPSET} or later"
        ) from error
