"""The comparison with finite differences: what it finds right, wrong, and cannot run."""

import numpy as np
import onnx_ir as ir
import pytest

from impasto.export.gradient import GradientError, gradient
from impasto.export.gradient.check import LARGEST_ERROR, Agreement, check_gradient
from tests.export.graphs import Array, parsed

NETWORK = (
    "g (float[1,2,6,6] x, float[3,2,3,3] w, float[3] b) => (float loss, float[3] each) { "
    "c = Conv <pads=[1,1,1,1]> (x, w, b) r = Relu (c) m = MaxPool <kernel_shape=[2,2], strides=[2,2]> (r) "
    "g = Gelu (m) e = Erf (g) f = Constant <value_floats=[1.0, 1.0, 2.0, 2.0]> () "
    'u = Resize <mode="nearest"> (e, , f) s = Sigmoid (u) q = Mul (s, s) loss = ReduceSum <keepdims=0> (q) '
    "a = Constant <value_ints=[0, 2, 3]> () each = ReduceMean <keepdims=0> (s, a) }"
)


def agreements(text: str, losses: tuple[str, ...], wrt: tuple[str, ...], **feeds: Array) -> list[Agreement]:
    return check_gradient(gradient(parsed(text), losses, wrt), losses, wrt, feeds=feeds)


def test_a_small_network_in_float64() -> None:
    """Conv, Gelu, Erf and Resize: the errors are those of finite differences, far below float32's."""
    found = agreements(NETWORK, ("loss", "each"), ("x", "w", "b"))
    assert [each.wrt for each in found] == ["x", "w", "b"]
    assert all(each.error < 1e-6 and each.norm > 0 for each in found)


@pytest.mark.parametrize("opset", [9, 13, 14, 21])
def test_batch_normalisation_of_every_opset(opset: int) -> None:
    """The evaluator's own of opset 9 to 13 is that of training, and found the right gradient wrong."""
    text = (
        "g (float[4,2] x) => (float loss) <float[2] s = {1.0, 2.0}, float[2] b = {0.0, 1.0}, float[2] m = {3.0, -1.0}, "
        "float[2] v = {4.0, 0.25}> { y = BatchNormalization <epsilon=0.01> (x, s, b, m, v) q = Mul (y, y) "
        "loss = ReduceSum <keepdims=0> (q) }"
    )
    (found,) = check_gradient(gradient(parsed(text, opset=opset), "loss", "x"), ["loss"], ["x"])
    assert found.error < 1e-7


def test_float16_is_checked_in_float64() -> None:
    text = "g (float16[2,3] x) => (float16 loss) { y = Exp (x) loss = ReduceSum <keepdims=0> (y) }"
    (found,) = agreements(text, ("loss",), ("x",))
    assert found.error < 1e-7


@pytest.mark.parametrize("factor", [0.0, -1.0, 1.001, 2.0, float("nan")])
def test_a_wrong_gradient(factor: float) -> None:
    model = gradient(parsed(NETWORK), "loss", "x")
    wrong = ir.node("Mul", [model.graph.outputs[-1], constant(model, factor)])
    model.graph.append(wrong)
    model.graph.outputs[-1].name = "right"
    model.graph.outputs[-1] = wrong.outputs[0]
    wrong.outputs[0].name, wrong.outputs[0].type = "d_x", ir.TensorType(ir.DataType.FLOAT)
    (found,) = check_gradient(model, ["loss"], ["x"])
    assert not found.is_good
    assert not found.error <= LARGEST_ERROR


def constant(model: ir.Model, number: float) -> ir.Value:
    value = ir.val("factor", const_value=ir.tensor(np.array(number, np.float32), name="factor"))
    model.graph.register_initializer(value)
    return value


def test_a_gradient_of_zero_where_the_loss_does_not_change() -> None:
    text = "g (float[2,3] x) => (float loss) { n = Neg (x) y = Relu (n) loss = ReduceSum <keepdims=0> (y) }"
    assert agreements(text, ("loss",), ("x",)) == [Agreement("x", 0.0, 0.0, np.zeros((2, 3)))]


def test_inputs_that_are_given() -> None:
    text = "g (float[3] x, int64[2] i) => (float loss) { y = Gather (x, i) q = Mul (y, y) loss = ReduceSum (q) }"
    (found,) = agreements(text.replace("(q)", "<keepdims=0> (q)"), ("loss",), ("x",), i=np.array([2, 2]))
    assert found.error < 1e-7


def test_a_free_size() -> None:
    with pytest.raises(GradientError) as caught:
        agreements("g (float[n] x) => (float loss) { loss = ReduceSum <keepdims=0> (x) }", ("loss",), ("x",))
    assert str(caught.value) == (
        "cannot check the gradient: input 'x' has shape [n]; fix the sizes of the model's inputs, with "
        "--shape NAME=1x3x224x224 on the command line"
    )


def test_what_the_evaluator_cannot_run() -> None:
    model = gradient(parsed(NETWORK), "loss", "x")
    model.graph[0].domain = "com.example"
    with pytest.raises(GradientError, match=r"^cannot check the gradient: ONNX's reference evaluator cannot run "):
        check_gradient(model, ["loss"], ["x"])
