"""Sizes that a graph computes are constants once the shapes are known."""

import numpy as np
import pytest

from impasto.export.gradient import GradientError, gradient
from tests.export.graphs import op_types, parsed, run

X = np.arange(12, dtype=np.float32).reshape(2, 6) / 7
# PP-OCRv6: the rank of the reshaped value follows from Shape, Slice and Concat.
RESHAPED = (
    "g (float[n,m] x, float[2,3,1] w) => (float loss) { "
    "b = Constant <value_ints=[0]> () e = Constant <value_ints=[1]> () r = Constant <value_ints=[3, -1]> () "
    "s = Shape (x) n = Slice (s, b, e) t = Concat <axis=0> (n, r) y = Reshape (x, t) z = Mul (y, w) "
    "q = Mul (z, z) loss = ReduceSum <keepdims=0> (q) }"
)
# swift-f0: how much is padded follows from the length.
PADDED = (
    "g (float[n,m] x) => (float loss) { "
    "s = Shape (x) i = Constant <value_int=1> () m = Gather (s, i) eight = Constant <value_int=8> () "
    "d = Sub (eight, m) a = Constant <value_ints=[0]> () u = Unsqueeze (d, a) z = Constant <value_ints=[0, 0, 0]> () "
    'p = Concat <axis=0> (z, u) y = Pad <mode="edge"> (x, p) q = Mul (y, y) loss = ReduceSum <keepdims=0> (q) }'
)


def test_a_reshape_to_a_computed_shape() -> None:
    w = np.array([[[1], [2], [3]], [[4], [5], [6]]], np.float32)
    model = parsed(RESHAPED)
    with pytest.raises(GradientError, match="--shape NAME=1x3x224x224"):
        gradient(model, "loss", "x")
    result = gradient(model, "loss", "x", shapes={"x": (2, 6)})
    expected = (2 * X.reshape(2, 3, 2) * w**2).reshape(2, 6)
    np.testing.assert_allclose(run(result, {"x": X, "w": w}, "d_x"), expected, rtol=1e-6)
    assert not {"Shape", "Slice"} & set(op_types(result))


def test_computed_pads() -> None:
    model = parsed(PADDED)
    with pytest.raises(GradientError, match="input 1 \\('p'\\) computed at run time"):
        gradient(model, "loss", "x")
    result = gradient(model, "loss", "x", shapes={"x": (2, 6)})
    np.testing.assert_allclose(run(result, {"x": X}, "d_x"), 2 * X * [1, 1, 1, 1, 1, 3], rtol=1e-6)
    assert "Shape" not in op_types(result)


def test_large_constants_are_left_to_the_runtime() -> None:
    """A file does not grow: what is folded is small."""
    model = parsed(
        "g (float[2,6] x) => (float loss) { s = Constant <value_ints=[512, 2, 6]> () "
        "one = ConstantOfShape <value=float[1] {1.0}> (s) y = Mul (x, one) loss = ReduceSum <keepdims=0> (y) }"
    )
    result = gradient(model, "loss", "x")
    assert "ConstantOfShape" in op_types(result)
    np.testing.assert_allclose(run(result, {"x": X}, "d_x"), np.full_like(X, 512))


def test_random_values_are_no_constants() -> None:
    model = parsed(
        "g (float[2,6] x) => (float loss) { c = Constant <value_floats=[1.0, 1.0]> () r = RandomNormalLike (c) "
        "a = Constant <value_ints=[1]> () u = Unsqueeze (r, a) y = Mul (x, u) loss = ReduceSum <keepdims=0> (y) }"
    )
    assert "RandomNormalLike" in op_types(gradient(model, "loss", "x"))


def test_a_result_of_the_model_stays() -> None:
    model = parsed(
        "g (float[2,6] x) => (float loss, int64[2] s) { s = Shape (x) t = Reshape (x, s) "
        "loss = ReduceSum <keepdims=0> (t) }"
    )
    result = gradient(model, "loss", "x")
    np.testing.assert_array_equal(run(result, {"x": X}, "s"), [2, 6])


def test_the_model_that_is_given_is_not_changed() -> None:
    model = parsed(RESHAPED)
    before = op_types(model)
    gradient(model, "loss", "x", shapes={"x": (2, 6)})
    assert op_types(model) == before
    assert str(model.graph.inputs[0].shape) == "[n,m]"
