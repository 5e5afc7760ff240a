"""Graphs for the WebGPU plugin hold no operator that it lacks, and the values do not change."""

from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from onnx.reference import ReferenceEvaluator
from onnx_ir.tape import Tape

from impasto.export.lowering import lower_for_webgpu

VALUES = np.array([-np.inf, -2.5, -1e-42, -0.0, 0.0, 1e-42, 3.0, np.inf])


@pytest.mark.parametrize("dtype", [ir.DataType.FLOAT, ir.DataType.DOUBLE])
def test_a_sign_becomes_comparisons_of_the_same_values(dtype: ir.DataType) -> None:
    x, tape = ir.val("x", dtype, (len(VALUES),)), Tape()
    y = tape.op("Sign", [x])
    y.name, y.dtype, y.shape = "y", dtype, x.shape
    graph = ir.Graph([x], [y], nodes=tape.nodes, opset_imports={"": 21}, name="sign")
    model = ir.Model(graph, ir_version=10)
    lower_for_webgpu(model)
    assert [node.op_type for node in graph if node.op_type == "Sign"] == []
    outputs: Any = ReferenceEvaluator(ir.to_proto(model)).run(None, {"x": VALUES.astype(dtype.numpy())})
    found = outputs[0]
    np.testing.assert_array_equal(found, np.sign(VALUES))
    assert found.dtype == dtype.numpy()
