"""Every gradient rule in float32 on ONNX Runtime, against the float64 result of the reference evaluator."""

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest

from tests.export.vjp_rules.cases import CASES, Case
from tests.export.vjp_rules.cases.case import feeds
from tests.export.vjp_rules.projection import evaluated, gradients

TOLERANCE = 1e-5


@pytest.mark.parametrize("case", [case for case in CASES if case.in_ort], ids=str)
def test_gradient_runs_in_float32_with_all_optimisations(case: Case) -> None:
    wide = gradients(case, np.float64)
    for name, model in gradients(case, np.float32).items():
        proto = ir.to_proto(model)
        onnx.checker.check_model(proto, full_check=True)
        onnx.shape_inference.infer_shapes(proto, check_type=True, strict_mode=True)
        assert {node.domain for node in proto.graph.node} == {""}
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.log_severity_level = 3
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
        (result,) = session.run([f"d_{name}"], feeds(case, np.float32))
        expected = evaluated(wide[name], feeds(case, np.float64), f"d_{name}")
        assert result.dtype == np.float32
        assert result.shape == expected.shape
        assert np.linalg.norm(result - expected) <= TOLERANCE * max(float(np.linalg.norm(expected)), 1e-2)
