"""A model made ready for the walk: functions inlined, opset 13 or later, types and shapes known."""

import onnx
import onnx_ir as ir
from impasto.export.vjp_rules.errors import GradientError
from onnx_ir.passes import common

OLDEST_OPSET = 13
CONVERTED_OPSET = 18


def prepared(model: ir.Model) -> ir.Model:
    """Return a copy of a model, weights shared, with its functions inlined and every value's shape inferred.

    Raises:
        GradientError: the model is older than opset 13 and cannot be converted.
    """
    copy = model.clone()
    if copy.functions:
        common.InlinePass()(copy)
    if copy.opset_imports.get("", 1) < OLDEST_OPSET:
        copy = _converted(copy)
    if any(
        value.shape is None or value.dtype is None
        for node in copy.graph
        for value in node.outputs
        if value.name
    ):
        common.ShapeInferencePass()(copy)
    return copy


def _converted(model: ir.Model) -> ir.Model:
    """Return the model in a later opset."""
    version = model.opset_imports.get("", 1)
    try:
        return ir.from_proto(onnx.version_converter.convert_version(ir.to_proto(model), CONVERTED_OPSET))
    except Exception as error:  # the converter raises RuntimeError and its own kinds
        raise GradientError(
            f"the model has opset {version}, which cannot be converted to {CONVERTED_OPSET}: "
            f"{' '.join(str(error).split())}; export it again with opset {CONVERTED_OPSET} or later"
        ) from error
