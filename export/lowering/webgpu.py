"""Rewrites of nodes for which ONNX Runtime's WebGPU plugin 0.4 has no kernel: Sign. The values are equal."""

import onnx_ir as ir

from impasto.export.lowering.rewriting import Inserter
from impasto.export.shape_inference import infer_shapes
from impasto.export.vjp_rules.inspection import given


def lower_for_webgpu(model: ir.Model) -> None:
    """Rewrite a model with static shapes in place: a Sign becomes the difference of two comparisons with -x."""
    infer_shapes(model)
    for node in list(model.graph):
        if node.op_type == "Sign":
            x, sign, emit = node.inputs[0], node.outputs[0], Inserter(model.graph, node)
            negative = emit("Neg", x, like=x)
            above, below = (
                emit("Cast", emit(test, x, negative, like=x, dtype=ir.DataType.BOOL), like=sign, to=given(sign.dtype))
                for test in ("Greater", "Less")
            )
            emit.take_over(emit("Sub", above, below, like=sign))
