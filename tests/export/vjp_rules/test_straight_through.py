"""The straight-through estimator: quantised graphs against PyTorch's fake quantisation, and what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from typer.testing import CliRunner

from impasto.export.gradient import GradientError, gradient
from impasto.models.errors import ImpastoError
from tests.export.gradient.test_model_file import invoke
from tests.export.graphs import parsed, run

Array = np.ndarray[Any, Any]

REFUSAL = (
    "computes with rounded numbers, whose derivative is 0; --straight-through (straight_through=True) passes the "
    "gradient as if nothing was rounded"
)
IMAGE = np.random.default_rng(0).uniform(-3, 3, (2, 3, 4, 5)).astype(np.float32)
STEP, ZERO = 0.02, 10


def estimated(body: str, x: Array, *, opset: int = 21, **values: Array) -> Array:
    """Return the straight-through gradient in x of a model; the file is valid, and its loss is unchanged."""
    model = parsed(body, opset=opset)
    result = gradient(model, "loss", "x", straight_through=True)
    onnx.checker.check_model(ir.to_proto(result), full_check=True)
    feeds = {"x": x, **values}
    np.testing.assert_array_equal(run(result, feeds, "loss"), run(model, feeds, "loss"))
    return run(result, feeds, "d_x")


def by_torch(function: Any, x: Array) -> Array:
    leaf = torch.tensor(x, requires_grad=True)
    torch.autograd.backward(function(leaf))
    assert leaf.grad is not None
    return leaf.grad.numpy()


PAIR = "g (float[2,3,4,5] x) => (float loss) {{ {} q = Mul (y, y) loss = ReduceSum <keepdims=0> (q) }}"
SCALAR = "s = Constant <value_float=0.02> () z = Constant <value=int8 {10}> () "


@pytest.mark.parametrize("opset", [13, 21])
def test_a_pair_saturates_like_fake_quantisation(opset: int) -> None:
    result = estimated(
        PAIR.format(SCALAR + "i = QuantizeLinear (x, s, z) y = DequantizeLinear (i, s, z)"), IMAGE, opset=opset
    )
    expected = by_torch(lambda x: (torch.fake_quantize_per_tensor_affine(x, STEP, ZERO, -128, 127) ** 2).sum(), IMAGE)
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-6)
    assert (expected == 0).sum() > 10


def test_a_pair_with_a_scale_per_channel() -> None:
    nodes = (
        "s = Constant <value_floats=[0.02, 0.01, 0.03]> () z = Constant <value=uint8[3] {100, 128, 30}> () "
        "i = QuantizeLinear <axis=1> (x, s, z) t = Transpose <perm=[0,1,3,2]> (i) "
        "c = Concat <axis=0> (t, t) y = DequantizeLinear <axis=1> (c, s, z)"
    )
    scale, zero = torch.tensor([0.02, 0.01, 0.03]), torch.tensor([100, 128, 30], dtype=torch.int32)
    expected = by_torch(
        lambda x: 2 * (torch.fake_quantize_per_channel_affine(x, scale, zero, 1, 0, 255) ** 2).sum(), IMAGE
    )
    np.testing.assert_allclose(estimated(PAIR.format(nodes), IMAGE), expected, rtol=1e-5, atol=1e-6)


def test_without_zero_point() -> None:
    nodes = "s = Constant <value_float=0.02> () i = QuantizeLinear (x, s) y = DequantizeLinear (i, s)"
    expected = by_torch(lambda x: (torch.fake_quantize_per_tensor_affine(x, STEP, 0, 0, 255) ** 2).sum(), IMAGE)
    np.testing.assert_allclose(estimated(PAIR.format(nodes), IMAGE), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("zeros", ["uint8 {120}", "uint8[4] {120, 118, 130, 125}"])
def test_a_dynamically_quantised_product(zeros: str) -> None:
    """As ONNX Runtime's quantize_dynamic writes a MatMul: the gradient is that of the product with rounded weights."""
    weights = np.random.default_rng(1).integers(0, 255, (3, 4)).astype(np.uint8)
    body = (
        "g (float[5,3] x, uint8[3,4] w) => (float loss) { i, s, z = DynamicQuantizeLinear (x) "
        f"t = Constant <value={zeros}> () p = MatMulInteger (i, w, z, t) f = Cast <to=1> (p) "
        "v = Constant <value_float=0.01> () k = Mul (s, v) y = Mul (f, k) "
        "c = Constant <value_floats=[1.0,2.0,3.0,4.0]> () e = Mul (y, c) loss = ReduceSum <keepdims=0> (e) }"
    )
    x = np.random.default_rng(2).standard_normal((5, 3)).astype(np.float32)
    zero = np.array([120, 118, 130, 125]) if "[4]" in zeros else np.array(120)
    real = (weights.astype(np.float64) - zero) * 0.01
    np.testing.assert_allclose(estimated(body, x, w=weights), np.ones((5, 1)) * (real @ [1, 2, 3, 4]), rtol=1e-5)


@pytest.mark.parametrize("stride", [1, 2])
def test_a_dynamically_quantised_convolution(stride: int) -> None:
    weights = np.random.default_rng(1).integers(-100, 100, (4, 3, 3, 3)).astype(np.int8)
    body = (
        "g (float[2,3,4,5] x, int8[4,3,3,3] w) => (float loss) { i, s, z = DynamicQuantizeLinear (x) "
        f"p = ConvInteger <pads=[1,1,1,1], strides=[{stride},{stride}]> (i, w, z) f = Cast <to=1> (p) "
        "v = Constant <value_float=0.01> () k = Mul (s, v) y = Mul (f, k) loss = ReduceSum <keepdims=0> (y) }"
    )
    real = torch.tensor(weights.astype(np.float32) * 0.01)
    expected = by_torch(lambda x: torch.nn.functional.conv2d(x, real, stride=stride, padding=1).sum(), IMAGE)
    np.testing.assert_allclose(estimated(body, IMAGE, w=weights), expected, rtol=1e-4, atol=1e-5)


def refused(nodes: str, *, straight_through: bool = False) -> str:
    with pytest.raises(GradientError) as caught:
        gradient(parsed(PAIR.format(nodes)), "loss", "x", straight_through=straight_through)
    return str(caught.value)


@pytest.mark.parametrize(
    ("nodes", "node"),
    [
        (SCALAR + "i = QuantizeLinear (x, s, z) y = DequantizeLinear (i, s, z)", "QuantizeLinear node 'i'"),
        (
            SCALAR + "i = QuantizeLinear (x, s, z) r = DequantizeLinear (i, s, z) y = Add (x, r)",
            "QuantizeLinear node 'i'",
        ),
        (
            "e = Exp (x) i, s, z = DynamicQuantizeLinear (e) f = Cast <to=1> (i) y = Mul (f, s)",
            "DynamicQuantizeLinear node 'i'",
        ),
    ],
)
def test_it_is_for_those_who_want_it(nodes: str, node: str) -> None:
    assert refused(nodes) == f"{node} {REFUSAL}"


def test_other_operators_on_integers_are_refused() -> None:
    nodes = SCALAR + "i = QuantizeLinear (x, s, z) m = MaxPool <kernel_shape=[2,2]> (i) y = DequantizeLinear (m, s, z)"
    message = refused(nodes, straight_through=True)
    assert message.startswith("MaxPool node 'm' computes with the integers 'i', which stand for floats; there are ")
    assert "DequantizeLinear, DynamicQuantizeLinear, Flatten" in message


def test_weights_that_are_stored_in_integers_need_no_estimate() -> None:
    """Only what varies is refused: dequantised weights are constants."""
    body = (
        "g (float[5,3] x, int8[3,4] w) => (float loss) { s = Constant <value_float=0.5> () f = DequantizeLinear (w, s) "
        "y = MatMul (x, f) loss = ReduceSum <keepdims=0> (y) }"
    )
    weights = np.arange(12, dtype=np.int8).reshape(3, 4)
    result = gradient(parsed(body), "loss", "x")
    x = np.ones((5, 3), np.float32)
    np.testing.assert_allclose(run(result, {"x": x, "w": weights}, "d_x"), np.ones((5, 1)) * weights.sum(1) / 2)


def test_the_option_of_the_command(tmp_path: Path) -> None:
    source, target = tmp_path / "model.onnx", tmp_path / "out.onnx"
    ir.save(parsed(PAIR.format(SCALAR + "i = QuantizeLinear (x, s, z) y = DequantizeLinear (i, s, z)")), source)
    start: tuple[object, ...] = (source, "--loss", "loss", "--wrt", "x", "-o", target)
    with pytest.raises(GradientError, match=r"^QuantizeLinear node 'i' computes with rounded numbers"):
        invoke(CliRunner(), *start)
    with pytest.raises(ImpastoError) as caught:
        invoke(CliRunner(), *start, "--straight-through", "--check")
    assert str(caught.value) == (
        "--check and --straight-through exclude each other: the loss of a quantised model changes in steps, which "
        "finite differences measure and the gradient passes over; leave one out"
    )
    assert not target.exists()
    invoke(CliRunner(), *start, "--straight-through")
    assert target.exists()
