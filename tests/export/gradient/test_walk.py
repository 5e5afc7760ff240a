"""The walk: which nodes are differentiated, how cotangents are summed and named, what the result looks like."""

import math
import time

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from impasto.export.gradient import gradient
from impasto.export.vjp_rules import RULES
from tests.export.graphs import op_types, parsed, run
from tests.small_network import VGG_WIDTHS, features_model

X = np.array([[1.0, -2.0, 3.0], [0.5, 4.0, -1.0]], np.float32)


def test_second_arrival_is_summed() -> None:
    model = parsed(
        "g (float[2,3] x) => (float loss) "
        "{ a = Exp (x) b = Mul (x, a) c = Add (b, x) loss = ReduceSum <keepdims=0> (c) }"
    )
    result = run(gradient(model, "loss", "x"), {"x": X}, "d_x")
    np.testing.assert_allclose(result, np.exp(X) * (1 + X) + 1, rtol=1e-6)


def test_one_value_twice_in_one_node() -> None:
    model = parsed(
        "g (float[2,3] x) => (float loss) "
        "{ a = Div (x, x) b = Sub (x, x) c = Sum (a, b, x, x) loss = ReduceSum <keepdims=0> (c) }"
    )
    np.testing.assert_allclose(run(gradient(model, "loss", "x"), {"x": X}, "d_x"), np.full_like(X, 2), atol=1e-6)


def test_the_output_comes_last_and_has_the_inputs_type_and_shape() -> None:
    model = parsed("g (float[2,3] x) => (float loss, float[2,3] y) { y = Exp (x) loss = ReduceSum <keepdims=0> (y) }")
    result = gradient(model, "loss", "x")
    assert [value.name for value in result.graph.outputs] == ["loss", "y", "d_x"]
    assert result.graph.outputs[-1].shape == ir.Shape((2, 3))
    assert result.graph.outputs[-1].dtype == ir.DataType.FLOAT


def test_the_model_is_not_changed() -> None:
    model = parsed("g (float[2,3] x) => (float loss) { y = Exp (x) loss = ReduceSum <keepdims=0> (y) }")
    before = ir.to_proto(model).SerializeToString()
    gradient(model, "loss", "x")
    assert ir.to_proto(model).SerializeToString() == before


def test_only_the_path_to_the_input_is_differentiated() -> None:
    model = parsed(
        "g (float[2,3] x, float[2,3] z) => (float loss, float[2,3] other) "
        "{ e = Exp (z) a = Mul (x, e) other = Tanh (a) loss = ReduceSum <keepdims=0> (a) }"
    )
    assert op_types(gradient(model, "loss", "x"))[4:] == ["Mul"]  # 1 times exp(z)


def test_cotangents_are_named_after_their_primals() -> None:
    model = features_model()
    result = gradient(_with_square_loss(model, "relu3_1", 32), "loss", "image")
    names = {value.name for node in result.graph for value in node.outputs}
    assert {"d_relu1_1", "d_relu2_1", "d_relu3_1", "d_image"} <= names
    assert len(names) == sum(len(node.outputs) for node in result.graph)


def test_names_that_are_taken_are_left_alone() -> None:
    model = parsed(
        "g (float[2,3] x) => (float loss, float[2,3] d_y) "
        "{ y = Exp (x) d_y = Tanh (y) loss = ReduceSum <keepdims=0> (y) }"
    )
    result = gradient(model, "loss", "x")
    onnx.checker.check_model(ir.to_proto(result), full_check=True)
    np.testing.assert_allclose(run(result, {"x": X}, "d_x"), np.exp(X), rtol=1e-6)
    np.testing.assert_allclose(run(result, {"x": X}, "d_y"), np.tanh(np.exp(X)), rtol=1e-5)


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        ("loss = Identity (x)", 1.0),
        ("loss = Neg (x)", -1.0),
        ("a = Reshape (x, s) loss = Squeeze (a)", 1.0),
        ("a = Add (x, x) loss = Identity (a)", 2.0),
        ("p = Constant <value_float=0.0> () loss = Pow (x, p)", 0.0),
    ],
)
def test_the_shortest_graphs(nodes: str, expected: float) -> None:
    s = "s = Constant <value_ints=[1, 1]> ()" if "s)" in nodes else ""
    result = gradient(parsed(f"g (float x) => (float loss) {{ {s} {nodes} }}"), "loss", "x")
    onnx.checker.check_model(ir.to_proto(result), full_check=True)
    assert run(result, {"x": np.array(3, np.float32)}, "d_x") == expected


def test_the_loss_may_have_one_element_of_any_rank() -> None:
    model = parsed("g (float[2,3] x) => (float[1,1] loss) { loss = ReduceSumSquare (x) }")
    np.testing.assert_allclose(run(gradient(model, "loss", "x"), {"x": X}, "d_x"), 2 * X)


def test_a_loss_per_sample_gives_every_samples_own_gradient() -> None:
    body = "{{ a = Constant <value_ints=[1]> () e = Exp (x) s = ReduceSum <keepdims=0> (e, a) loss = Mul (s, w) }}"
    model = parsed(f"g (float[{2},3] x, float[{2}] w) => (float[{2}] loss) " + body.format())
    values = {"x": X, "w": np.array([2.0, -0.5], np.float32)}
    both = run(gradient(model, "loss", "x"), values, "d_x")
    np.testing.assert_allclose(both, np.exp(X) * values["w"][:, None], rtol=1e-6)
    changed = run(gradient(model, "loss", "x"), values | {"x": X * [[1], [7]]} | {"x": np.stack([X[0], -X[1]])}, "d_x")
    np.testing.assert_array_equal(changed[0], both[0])


def test_a_loss_that_other_nodes_read_too() -> None:
    model = parsed(
        "g (float[2,3] x) => (float loss, float twice) "
        "{ loss = ReduceSumSquare <keepdims=0> (x) twice = Add (loss, loss) }"
    )
    np.testing.assert_allclose(run(gradient(model, "loss", "x"), {"x": X}, "d_x"), 2 * X)


def test_a_chain_of_5000_nodes() -> None:
    nodes = "".join(f"x{index + 1} = Add (x{index}, b) " for index in range(4999))
    model = parsed(f"g (float[2] x0, float[2] b) => (float loss) {{ {nodes} loss = ReduceSum <keepdims=0> (x4999) }}")
    started = time.process_time()
    result = gradient(model, "loss", "b")
    assert time.process_time() - started < 20
    values = {"x0": np.zeros(2, np.float32), "b": np.ones(2, np.float32)}
    np.testing.assert_array_equal(run(result, values, "d_b"), [4999, 4999])


def test_the_gram_matrix_costs_one_product_in_reverse() -> None:
    model = parsed(
        "g (float[1,4,6] f) => (float loss) "
        "{ t = Transpose <perm=[0,2,1]> (f) g = MatMul (f, t) e = Exp (g) loss = ReduceSum <keepdims=0> (e) }"
    )
    result = gradient(model, "loss", "f")
    assert op_types(result).count("MatMul") == 2
    f = np.random.default_rng(0).standard_normal((1, 4, 6)).astype(np.float32)
    f /= 2
    expected = 2 * np.exp(f @ f.transpose(0, 2, 1)) @ f
    np.testing.assert_allclose(run(result, {"f": f}, "d_f"), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("nodes", "operator"),
    [
        ("t = Transpose <perm=[1,0]> (f) g = MatMul (f, t)", "MatMul"),
        ("t = Transpose (f) g = MatMul (t, f)", "MatMul"),
        ("g = Gemm <transB=1, alpha=0.5> (f, f)", "Gemm"),
        ("g = Gemm <transA=1> (f, f)", "Gemm"),
        ('g = Einsum <equation="ik,jk->ij"> (f, f)', "Einsum"),
        ('g = Einsum <equation="ki,kj->ij"> (f, f)', "Einsum"),
    ],
)
def test_symmetric_products_cost_one_in_reverse(nodes: str, operator: str) -> None:
    weights = np.random.default_rng(1).standard_normal(
        (6, 6) if "transA" in nodes or "ki" in nodes or "(t, f)" in nodes else (4, 4)
    )
    size = len(weights)
    model = parsed(
        f"g (float[4,6] f, float[{size},{size}] w) => (float loss) "
        f"{{ {nodes} m = Mul (g, w) loss = ReduceSum <keepdims=0> (m) }}"
    )
    result = gradient(model, "loss", "f")
    assert op_types(result).count(operator) == 2
    f = np.random.default_rng(0).standard_normal((4, 6)).astype(np.float32)
    scale = 0.5 if "alpha" in nodes else 1.0
    both = scale * (weights + weights.T)
    expected = f @ both if size == 6 else both @ f
    result_value = run(result, {"f": f, "w": weights.astype(np.float32)}, "d_f")
    np.testing.assert_allclose(result_value, expected, rtol=1e-4, atol=1e-5)


def test_a_product_that_only_looks_symmetric_is_not_taken_for_one() -> None:
    model = parsed(
        "g (float[4,4] f, float[4,4] w) => (float loss) "
        '{ g = Einsum <equation="ij,jk->ik"> (f, f) h = MatMul (f, f) s = Add (g, h) '
        "m = Mul (s, w) loss = ReduceSum <keepdims=0> (m) }"
    )
    f, w = np.random.default_rng(0).standard_normal((2, 4, 4)).astype(np.float32)
    result = run(gradient(model, "loss", "f"), {"f": f, "w": w}, "d_f")
    np.testing.assert_allclose(result, 2 * (w @ f.T + f.T @ w), rtol=1e-5, atol=1e-5)


def test_weights_are_single_and_shared() -> None:
    model = _with_square_loss(features_model(widths=VGG_WIDTHS), "relu5_1", 64)
    result = gradient(model, "loss", "image")
    for name, value in model.graph.initializers.items():
        assert result.graph.initializers[name].const_value is value.const_value
    added = [value for name, value in result.graph.initializers.items() if name not in model.graph.initializers]
    assert sum(math.prod(value.shape.numpy()) for value in added if value.shape is not None) < 100
    contents = [value.const_value.tobytes() for value in added if value.const_value is not None]
    assert len(set(contents)) == len(contents)


def test_vgg_in_reverse_is_convolutions_alone() -> None:
    """Per convolution: 2 nodes on its weights, a Conv, 2 nodes for the mask. Per pooling 2, for the loss 2."""
    model = _with_square_loss(features_model(widths=VGG_WIDTHS), "relu5_1", 64)
    result = gradient(model, "loss", "image")
    assert "ConvTranspose" not in op_types(result)
    assert op_types(result).count("Conv") == 26
    assert len(result.graph) - len(model.graph) == 13 * 5 + 4 * 2 + 2


def test_no_emitted_node_is_without_use() -> None:
    model = _with_square_loss(features_model(), "relu3_1", 33)
    result = gradient(model, "loss", "image")
    for node in result.graph:
        assert any(value.uses() or value.is_graph_output() for value in node.outputs), node.name
    for value in result.graph.initializers.values():
        assert value.uses(), value.name


def test_hard_sigmoid_with_beta_0_is_never_emitted() -> None:
    """OpenVINO reads beta 0 as 1/2; the mask of a ReLU is two nodes that providers' lowerings look for."""
    result = gradient(_with_square_loss(features_model(), "relu3_1", 32), "loss", "image")
    assert "HardSigmoid" not in op_types(result)
    masks = [node for node in result.graph if node.op_type == "Where"]
    assert len(masks) == 3
    for mask in masks:
        condition = mask.inputs[0]
        assert condition is not None
        greater = condition.producer()
        assert greater is not None
        assert greater.op_type == "Greater"


def test_every_emitted_operator_is_of_the_default_domain() -> None:
    assert all("." not in op for op in RULES)


def test_building_the_gradient_of_vgg_takes_milliseconds() -> None:
    """No weights are read: a network of VGG-19's depth and width takes well under 0.2 s of processor time."""
    widths = {name: 64 * 2 ** min(int(name[4]) - 1, 3) for name in VGG_WIDTHS}
    model = _with_square_loss(features_model(widths=widths), "relu5_1", 64)
    times = []
    for _ in range(3):
        started = time.process_time()
        gradient(model, "loss", "image")
        times.append(time.process_time() - started)
    assert min(times) < 0.2


def _with_square_loss(model: ir.Model, tap: str, side: int) -> ir.Model:
    """Return a features model of static size with the output ``loss``, the sum of squares of a tap."""
    image = model.graph.inputs[0]
    image.shape = ir.Shape((1, 3, side, side))
    for node in model.graph:
        node.outputs[0].shape = None
    chosen = next(value for value in model.graph.outputs if value.name == tap)
    node = ir.node("ReduceSumSquare", [chosen], attributes={"keepdims": 0})
    node.outputs[0].name, node.outputs[0].dtype, node.outputs[0].shape = "loss", ir.DataType.FLOAT, ir.Shape(())
    model.graph.append(node)
    model.graph.outputs[:] = [node.outputs[0]]
    return model
