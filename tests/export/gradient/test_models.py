"""Models as they come: functions, old opsets, free sizes, computed sizes, half precision, subgraphs."""

from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from impasto.export.gradient import gradient
from tests.export.graphs import op_types, parsed, run
from tests.small_network import features_model

Array = np.ndarray[Any, Any]
X = np.array([[1.0, -2.0, 3.0], [0.5, 4.0, -1.0]], np.float32)


def test_the_models_own_functions_are_inlined() -> None:
    model = parsed(
        "g (float[2,3] x) => (float loss) "
        "{ y = local.twice (x) z = local.square (y) loss = ReduceSum <keepdims=0> (z) }",
        imports=', "local": 1',
        functions=(
            '<domain: "local", opset_import: ["": 21, "local": 1]> '
            "twice (a) => (b) { c = Add (a, a) b = local.same (c) }"
            '<domain: "local", opset_import: ["": 21, "local": 1]> same (a) => (b) { b = Identity (a) }'
            '<domain: "local", opset_import: ["": 21]> square (a) => (b) { b = Mul (a, a) }'
        ),
    )
    result = gradient(model, "loss", "x")
    onnx.checker.check_model(ir.to_proto(result), full_check=True)
    assert {node.domain for node in result.graph} == {""}
    np.testing.assert_allclose(run(result, {"x": X}, "d_x"), 8 * X)


def test_operators_that_the_standard_defines_by_others_are_expanded() -> None:
    model = parsed(
        "g (float[2,3] x, float[2,3] w) => (float loss) { y = MeanVarianceNormalization <axes=[1]> (x) "
        "s = Shrink <lambd=0.2, bias=0.1> (y) z = Mul (s, w) loss = ReduceSum <keepdims=0> (z) }"
    )
    result = gradient(model, "loss", "x")
    onnx.checker.check_model(ir.to_proto(result), full_check=True)
    assert "MeanVarianceNormalization" not in op_types(result)
    w = np.array([[0.5, -1, 2], [1, 3, -0.25]], np.float32)
    centred = X - X.mean(1, keepdims=True)
    deviation = X.std(1, keepdims=True)
    normalized = centred / deviation
    slope = np.where(np.abs(normalized) > 0.2, w, 0)
    along = (slope * normalized).mean(1, keepdims=True)
    expected = (slope - slope.mean(1, keepdims=True) - normalized * along) / deviation
    np.testing.assert_allclose(run(result, {"x": X, "w": w}, "d_x"), expected, rtol=1e-4, atol=1e-5)


def test_a_cross_entropy_is_expanded() -> None:
    model = parsed(
        'g (float[2,3] x, int64[2] t) => (float loss) { loss = SoftmaxCrossEntropyLoss <reduction="mean"> (x, t) }'
    )
    result = gradient(model, "loss", "x")
    t = np.array([2, 0])
    softmax = np.exp(X) / np.exp(X).sum(1, keepdims=True)
    expected = (softmax - np.eye(3)[t]) / 2
    np.testing.assert_allclose(run(result, {"x": X, "t": t}, "d_x"), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("opset", [9, 11, 12])
def test_old_opsets_are_converted(opset: int) -> None:
    body = (
        "g (float[1,2,6,6] x) => (float loss) {{ y = Relu (x) a = AveragePool <kernel_shape=[2,2], strides=[2,2]> (y) "
        "{unsqueeze} c = Dropout (b) s = Softmax <axis=4> (c) q = Mul (s, s) loss = ReduceSum <keepdims=0> (q) }}"
    )
    old = parsed(body.format(unsqueeze="b = Unsqueeze <axes=[0]> (a)"), opset=opset)
    new = parsed(body.format(unsqueeze="i = Constant <value_ints=[0]> () b = Unsqueeze (a, i)"), opset=18)
    result = gradient(old, "loss", "x")
    assert result.opset_imports[""] == 18
    onnx.checker.check_model(ir.to_proto(result), full_check=True)
    x = np.random.default_rng(0).standard_normal((1, 2, 6, 6)).astype(np.float32)
    np.testing.assert_array_equal(run(result, {"x": x}, "d_x"), run(gradient(new, "loss", "x"), {"x": x}, "d_x"))


@pytest.mark.parametrize("pool", ["AveragePool", "MaxPool"])
@pytest.mark.parametrize("size", [(1, 33, 40), (2, 52, 35)])
def test_free_sizes_stay_free(pool: str, size: tuple[int, int, int]) -> None:
    """A features model with free N, H and W needs no --shape: the loss and its gradient fit any image."""
    model = features_model()
    for node in model.graph:
        if node.op_type == "AveragePool":
            node.op_type = pool
    chosen = next(value for value in model.graph.outputs if value.name == "relu3_1")
    loss = ir.node("ReduceSumSquare", [chosen], attributes={"keepdims": 0})
    loss.outputs[0].name, loss.outputs[0].dtype, loss.outputs[0].shape = "loss", ir.DataType.FLOAT, ir.Shape(())
    model.graph.append(loss)
    model.graph.outputs[:] = [loss.outputs[0]]
    batch, height, width = size
    free, fixed = (
        gradient(model, "loss", "image"),
        gradient(model, "loss", "image", shapes={"image": (batch, 3, height, width)}),
    )
    onnx.checker.check_model(ir.to_proto(free), full_check=True)
    image = np.random.default_rng(0).random((batch, 3, height, width), np.float32)
    np.testing.assert_allclose(
        run(free, {"image": image}, "d_image"), run(fixed, {"image": image}, "d_image"), rtol=1e-5, atol=1e-7
    )
    assert "Shape" not in op_types(fixed)


def test_free_sizes_of_reductions_and_reshapes() -> None:
    model = parsed(
        "g (float[n,3] x) => (float loss) "
        "{ s = Constant <value_ints=[-1]> () r = Reshape (x, s) m = ReduceMean <keepdims=0> (r) q = Mul (m, m) "
        "b = Constant <value_ints=[1]> () z = ReduceSum <keepdims=0> (x, b) e = Exp (z) "
        "t = ReduceSum <keepdims=0> (e) loss = Add (q, t) }"
    )
    result = gradient(model, "loss", "x")
    onnx.checker.check_model(ir.to_proto(result), full_check=True)
    expected = 2 * X.mean() / X.size + np.exp(X.sum(1, keepdims=True))
    np.testing.assert_allclose(run(result, {"x": X}, "d_x"), expected + 0 * X, rtol=1e-5)


def test_a_per_sample_loss_of_free_batch() -> None:
    model = parsed(
        "g (float[n,3] x) => (float[n] loss) "
        "{ a = Constant <value_ints=[1]> () loss = ReduceSumSquare <keepdims=0> (x, a) }"
    )
    np.testing.assert_allclose(run(gradient(model, "loss", "x"), {"x": X}, "d_x"), 2 * X)


def test_sizes_that_the_graph_computes_are_folded() -> None:
    """An older exporter's way of writing x[:, 1:W-1]."""
    model = parsed(
        "g (float[2,3] x) => (float loss) "
        "{ s = Shape (x) i = Constant <value_int=1> () w = Gather (s, i) e = Sub (w, i) "
        "z = Constant <value_ints=[0]> () u = Unsqueeze (e, z) b = Constant <value_ints=[1]> () "
        "c = Slice (x, b, u, b) q = Mul (c, c) loss = ReduceSum <keepdims=0> (q) }"
    )
    result = gradient(model, "loss", "x")
    np.testing.assert_allclose(run(result, {"x": X}, "d_x"), 2 * X * [0, 1, 0])


def test_a_model_without_recorded_shapes() -> None:
    model = parsed("g (float[2,3] x) => (float loss) { y = Exp (x) loss = ReduceSum <keepdims=0> (y) }")
    for node in model.graph:
        for value in node.outputs:
            if not value.is_graph_output():
                assert value.shape is None
    np.testing.assert_allclose(run(gradient(model, "loss", "x"), {"x": X}, "d_x"), np.exp(X), rtol=1e-6)


@pytest.mark.parametrize("kind", ["float16", "bfloat16", "double"])
def test_constants_take_the_type_of_the_values(kind: str) -> None:
    """A little of everything that emits constants; the checker refuses operands of two types."""
    nodes = (
        "r = Relu (x) g = Gelu (r) a = AveragePool <kernel_shape=[2,2], strides=[2,2]> (g) "
        "m = MaxPool <kernel_shape=[2,2], strides=[2,2]> (g) n = MaxPool <kernel_shape=[3,3], pads=[1,1,1,1]> (m) "
        "k = AveragePool <kernel_shape=[3,3], pads=[1,1,1,1]> (a) s = Softmax (k) z = Add (s, n) "
        "u = LayerNormalization (z, scale) p = LeakyRelu (u) q = ReduceSumSquare <keepdims=0> (p) loss = Sqrt (q)"
    )
    model = parsed(f"g ({kind}[1,2,8,8] x, {kind}[4] scale) => ({kind} loss) {{ {nodes} }}", opset=22)
    result = gradient(model, "loss", "x")
    onnx.checker.check_model(ir.to_proto(result), full_check=True)
    wanted = {"float16": ir.DataType.FLOAT16, "bfloat16": ir.DataType.BFLOAT16, "double": ir.DataType.DOUBLE}[kind]
    assert result.graph.outputs[-1].dtype == wanted


def test_float16_against_float32() -> None:
    body = (
        "g ({kind}[1,3,9,8] x) => ({kind} loss) "
        "{{ r = Conv <pads=[1,1,1,1]> (x, w) y = Relu (r) a = AveragePool <kernel_shape=[2,2], strides=[2,2]> (y) "
        "i = InstanceNormalization (a, s, s) loss = ReduceSumSquare <keepdims=0> (a) }}"
    )
    weights = np.random.default_rng(0).standard_normal((4, 3, 3, 3)) * 0.3
    x = np.random.default_rng(1).standard_normal((1, 3, 9, 8))
    results = []
    for kind, dtype in (("float", np.float32), ("float16", np.float16)):
        proto = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["": 21]> {body.format(kind=kind)}')
        proto.graph.initializer.append(numpy_helper.from_array(weights.astype(dtype), "w"))
        proto.graph.initializer.append(numpy_helper.from_array(np.ones(4, dtype), "s"))
        model = gradient(ir.from_proto(proto), "loss", "x")
        results.append(run(model, {"x": x.astype(dtype)}, "d_x").astype(np.float64))
    assert np.linalg.norm(results[1] - results[0]) < 5e-3 * np.linalg.norm(results[0])


def test_a_cast_in_the_middle_is_cast_back() -> None:
    model = parsed(
        "g (float16[2,3] x) => (float loss) { y = Cast <to=1> (x) z = Exp (y) loss = ReduceSum <keepdims=0> (z) }"
    )
    result = run(gradient(model, "loss", "x"), {"x": X.astype(np.float16)}, "d_x")
    assert result.dtype == np.float16
    np.testing.assert_allclose(result, np.exp(X), rtol=1e-3)


def test_ways_without_a_derivative_count_as_constants() -> None:
    """x reaches the loss as a shape, an index, a condition and rounded, too: as in PyTorch these do not count."""
    model = parsed(
        "g (float[2,3] x) => (float loss) "
        "{ s = Shape (x) y = Reshape (x, s) i = ArgMax <axis=1, keepdims=1> (x) e = GatherElements <axis=1> (y, i) "
        "zero = Constant <value_float=0.0> () c = Greater (x, zero) w = Where (c, y, zero) "
        "f = Floor (x) v = Mul (w, f) "
        "a = ReduceSum <keepdims=0> (v) b = ReduceSum <keepdims=0> (e) loss = Add (a, b) }"
    )
    expected = np.where(X > 0, np.floor(X), 0) + (X.max(1, keepdims=True) == X)
    np.testing.assert_allclose(run(gradient(model, "loss", "x"), {"x": X}, "d_x"), expected)


def test_a_subgraph_off_the_path_is_left_alone() -> None:
    branch = helper.make_graph(
        [helper.make_node("Exp", ["z"], ["e"])],
        "then",
        [],
        [helper.make_tensor_value_info("e", TensorProto.FLOAT, [2, 3])],
    )
    other = helper.make_graph(
        [helper.make_node("Neg", ["z"], ["n"])],
        "else",
        [],
        [helper.make_tensor_value_info("n", TensorProto.FLOAT, [2, 3])],
    )
    nodes = [
        helper.make_node("If", ["c"], ["k"], then_branch=branch, else_branch=other),
        helper.make_node("Mul", ["x", "k"], ["y"]),
        helper.make_node("ReduceSum", ["y"], ["loss"], keepdims=0),
    ]
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2, 3]) for name in ("x", "z")]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("c", TensorProto.BOOL, []), *inputs],
        [helper.make_tensor_value_info("loss", TensorProto.FLOAT, [])],
    )
    model = ir.from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10))
    values = {"x": X, "z": X, "c": np.array(True)}
    np.testing.assert_allclose(run(gradient(model, "loss", "x"), values, "d_x"), np.exp(X), rtol=1e-6)
