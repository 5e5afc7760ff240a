"""The graph for CUDA holds nothing without a kernel there, and computes the same to the bit."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
from onnx.reference import ReferenceEvaluator
from onnx_ir.tape import Tape

from impasto.export.lowering import lower_for_cuda
from impasto.export.lowering.cuda import MAX_POOL_GONE, WITHOUT_BFLOAT16
from impasto.export.objective import build_objective
from impasto.export.precision import narrow_convolutions
from tests.export.lowered import feeds
from tests.small_network import features_model

TABLE = json.loads((Path(__file__).parents[1] / "engine" / "runtime" / "providers" / "cuda-kernels.json").read_text())
BFLOAT16 = ir.DataType.BFLOAT16
WIDTHS = {"relu1_1": 4, "relu2_1": 3, "relu2_2": 3}


def objective(pool: str, size: int = 32) -> ir.Model:
    return build_objective(
        features_model(widths=WIDTHS),
        content_taps=["relu2_2"],
        style_taps=["relu1_1", "relu2_1"],
        height=size,
        width=size + 2,
        pool=pool,
        batch=2,
    ).model


def evaluated(model: ir.Model, values: dict[str, np.ndarray]) -> list[np.ndarray]:
    return list(ReferenceEvaluator(ir.to_proto(model)).run(None, values))


def narrow_operators(model: ir.Model) -> set[str]:
    return {node.op_type for node in model.graph if any(value and value.dtype == BFLOAT16 for value in node.inputs)}


def test_the_rewrites_follow_the_table() -> None:
    assert set(TABLE["not_bfloat16"]) == WITHOUT_BFLOAT16
    assert "MaxPool" in TABLE["in_no_type"]
    assert TABLE["opset"] == MAX_POOL_GONE


@pytest.mark.parametrize("pool", ["avg", "max"])
def test_bfloat16_computes_the_same_without_what_has_no_kernel(pool: str) -> None:
    model = narrow_convolutions(objective(pool), BFLOAT16)
    assert narrow_operators(model) & WITHOUT_BFLOAT16
    expected = evaluated(model, feeds(model))
    lower_for_cuda(model)
    onnx.checker.check_model(ir.to_proto(model), full_check=True)
    assert narrow_operators(model) <= set(TABLE["bfloat16"])
    assert "MaxPool" not in {node.op_type for node in model.graph}
    found = evaluated(model, feeds(model))
    assert all(np.array_equal(before, after) for before, after in zip(expected, found, strict=True))
    assert np.abs(np.asarray(expected[2])).max() > 0


@pytest.mark.parametrize("opset", [20, 22])
def test_max_pools_become_maxima_where_the_opset_has_no_kernel(opset: int) -> None:
    model = objective("max")
    model.opset_imports[""] = opset
    outputs = []
    for _ in range(2):
        session = ort.InferenceSession(ir.to_proto(model).SerializeToString(), providers=["CPUExecutionProvider"])
        outputs.append(session.run(None, feeds(model)))
        lower_for_cuda(model)
    pools = Counter(node.op_type for node in model.graph)["MaxPool"]
    assert (pools == 0) == (opset == 22)
    for before, after in zip(*outputs, strict=True):
        np.testing.assert_array_equal(after, before)


def one_node(op_type: str, dtype: ir.DataType, attributes: dict[str, Any], *more: np.ndarray) -> ir.Model:
    tape = Tape()
    x = ir.val("x", dtype, (1, 2, 7, 6))
    constants = [tape.initializer(ir.tensor(array, name=f"c{index}")) for index, array in enumerate(more)]
    y = tape.op(op_type, [x, *constants], attributes)
    y.name, y.dtype = "y", dtype
    graph = ir.Graph([x], [y], nodes=tape.nodes, initializers=tape.initializers, opset_imports={"": 22})
    model = ir.Model(graph, ir_version=10)
    inferred = onnx.shape_inference.infer_shapes(ir.to_proto(model))
    return ir.from_proto(inferred)


@pytest.mark.parametrize(
    ("attributes", "replaced"),
    [
        ({"kernel_shape": [3, 2], "strides": [2, 1]}, True),
        ({"kernel_shape": [2, 2], "dilations": [3, 2]}, True),
        ({"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1}, False),
        ({"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}, False),
    ],
)
def test_windows_of_every_kind(attributes: dict[str, Any], replaced: bool) -> None:
    model = one_node("MaxPool", ir.DataType.FLOAT, attributes)
    x = np.random.default_rng(0).standard_normal((1, 2, 7, 6)).astype(np.float32)
    expected = evaluated(model, {"x": x})
    lower_for_cuda(model)
    assert ("MaxPool" not in {node.op_type for node in model.graph}) == replaced
    assert np.array_equal(evaluated(model, {"x": x})[0], expected[0])


@pytest.mark.parametrize(
    "make",
    [
        lambda: one_node("LeakyRelu", BFLOAT16, {"alpha": 0.25}),
        lambda: one_node("Clip", BFLOAT16, {}, np.array(-0.5, ml_dtypes.bfloat16)),
    ],
)
def test_anything_else_is_computed_in_float32(make: Callable[[], ir.Model]) -> None:
    model = make()
    x = np.random.default_rng(0).standard_normal((1, 2, 7, 6)).astype(ml_dtypes.bfloat16)
    expected = evaluated(model, {"x": x})[0]
    lower_for_cuda(model)
    assert narrow_operators(model) == {"Cast"}
    found = evaluated(model, {"x": x})[0]
    assert found.dtype == expected.dtype
    assert np.array_equal(found, expected)
