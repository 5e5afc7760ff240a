"""What the tests of the rewrites for providers share: graphs run, inputs for them, and their operators counted."""

from collections import Counter
from collections.abc import Mapping

import numpy as np
import onnx_ir as ir
import onnxruntime as ort

from impasto.engine.runtime import native_operators


def run(model: ir.Model, feeds: Mapping[str, np.ndarray], *, native: bool = False) -> list[np.ndarray]:
    """Run a graph on one thread of the processor, with the project's operators where `native` asks for them."""
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    if native:
        native_operators.register(options)
    session = ort.InferenceSession(ir.to_proto(model).SerializeToString(), options, providers=["CPUExecutionProvider"])
    return list(session.run(None, dict(feeds)))


def feeds(model: ir.Model) -> dict[str, np.ndarray]:
    """Return random values for the inputs of a graph, always the same."""
    rng = np.random.default_rng(0)
    return {
        value.name or "": rng.random(value.shape.numpy() if value.shape is not None else (), np.float32)
        for value in model.graph.inputs
    }


def operators(model: ir.Model) -> Counter[str]:
    """Count the operators of a graph by name, with the domain of those that are not ONNX's."""
    return Counter(f"{node.domain}.{node.op_type}".strip(".") for node in model.graph)
