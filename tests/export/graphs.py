"""Models written as text, and what ONNX Runtime computes with them."""

from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime

from impasto.export.gradient import gradient

Array = np.ndarray[Any, Any]


def parsed(body: str, *, opset: int = 21, functions: str = "", imports: str = "") -> ir.Model:
    """Return the model with a graph such as ``g (float[2,3] x) => (float loss) { ... }`` in ONNX's text format."""
    header = f'<ir_version: 10, opset_import: ["": {opset}{imports}]>'
    return ir.from_proto(onnx.parser.parse_model(f"{header} {body} {functions}"))


def run(model: ir.Model, values: dict[str, Array], name: str) -> Array:
    """Return one output of a model in ONNX Runtime, with all graph optimisations on."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        ir.to_proto(model).SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return np.asarray(session.run([name], values)[0])


def gradient_of_sum(nodes: str, x: Array, *, weights: Array | None = None, opset: int = 21) -> Array:
    """Return the gradient in ``x`` of the sum of ``y`` (times weights), for nodes that make y of x."""
    shape = ",".join(map(str, x.shape))
    if weights is None:
        body = f"g (float[{shape}] x) => (float loss) {{ {nodes} loss = ReduceSum <keepdims=0> (y) }}"
        return run(gradient(parsed(body, opset=opset), "loss", "x"), {"x": x}, "d_x")
    sizes = ",".join(map(str, weights.shape))
    body = (
        f"g (float[{shape}] x, float[{sizes}] w) => (float loss) "
        f"{{ {nodes} wy = Mul (w, y) loss = ReduceSum <keepdims=0> (wy) }}"
    )
    return run(gradient(parsed(body, opset=opset), "loss", "x"), {"x": x, "w": weights}, "d_x")


def op_types(model: ir.Model) -> list[str]:
    """Return the operators of a model in order."""
    return [node.op_type for node in model.graph]
