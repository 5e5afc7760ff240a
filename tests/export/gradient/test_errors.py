"""What cannot be differentiated is refused with one line that names it."""

import numpy as np
import pytest

from impasto.export.gradient import GradientError, gradient
from impasto.export.vjp_rules import supported_operators
from impasto.models.errors import ImpastoError
from tests.export.graphs import parsed

SIZES = "fix the sizes of the model's inputs, with --shape NAME=1x3x224x224 on the command line"
SUPPORTED = ", ".join(supported_operators())
SIMPLE = (
    "g (float[2,3] x, int64[2] i) => (float loss, bool b) "
    "{ z = Constant <value_float=0.0> () loss = ReduceSum <keepdims=0> (x) b = Greater (loss, z) }"
)


def refusal(
    body: str,
    loss: str = "loss",
    wrt: str = "x",
    *,
    opset: int = 21,
    imports: str = "",
    straight_through: bool = False,
) -> str:
    """Return the message with which a gradient is refused; it is one line."""
    with pytest.raises(GradientError) as caught:
        gradient(parsed(body, opset=opset, imports=imports), loss, wrt, straight_through=straight_through)
    message = str(caught.value)
    assert "\n" not in message
    return message


def summed(nodes: str, x: str = "float[2,3]", *, opset: int = 21) -> str:
    """Return the refusal for the sum of ``y``, which the nodes make of ``x``."""
    return refusal(f"g ({x} x) => (float loss) {{ {nodes} loss = ReduceSum <keepdims=0> (y) }}", opset=opset)


def test_a_gradient_error_is_the_users_to_mend() -> None:
    assert issubclass(GradientError, ImpastoError)


@pytest.mark.parametrize(
    ("loss", "wrt", "message"),
    [
        ("lss", "x", "the model has no output 'lss'; its floating-point outputs are: loss"),
        ("loss", "y", "the model has no input 'y'; its floating-point inputs are: x"),
        ("loss", "i", "input 'i' has type INT64; the model's floating-point inputs are: x"),
        ("b", "x", "output 'b' has type BOOL; the model's floating-point outputs are: loss"),
    ],
)
def test_wrong_names_list_the_legal_ones(loss: str, wrt: str, message: str) -> None:
    assert refusal(SIMPLE, loss, wrt) == message


def test_a_weight_is_no_input() -> None:
    model = parsed(
        "g (float[2] x) => (float loss) <float[2] w = {1.0, 2.0}> { y = Mul (x, w) loss = ReduceSum <keepdims=0> (y) }"
    )
    model.graph.inputs.append(model.graph.initializers["w"])
    with pytest.raises(GradientError) as caught:
        gradient(model, "loss", "w")
    assert str(caught.value) == "input 'w' is a weight; the model's floating-point inputs are: x"


def test_the_loss_is_a_scalar_or_one_per_sample() -> None:
    body = "g (float[2,3] x) => (float[2,3] loss) { loss = Exp (x) }"
    assert refusal(body) == "output 'loss' has shape [2,3]; a loss is a scalar, or one number per sample, [N]"


def test_the_output_name_must_be_free() -> None:
    body = "g (float[2,3] x) => (float loss) { d_x = Exp (x) loss = ReduceSum <keepdims=0> (d_x) }"
    assert refusal(body) == "the model already has a value named 'd_x'; rename it, the gradient takes this name"


def test_no_dependence() -> None:
    body = "g (float[2,3] x, float[2] z) => (float loss) { loss = ReduceSum <keepdims=0> (z) }"
    assert refusal(body) == "output 'loss' does not depend on input 'x'"


ONLY = "output 'loss' depends on input 'x' only through what has no derivative: "


@pytest.mark.parametrize(
    ("nodes", "use"),
    [
        ("y = Floor (x)", "input 0 ('x') of Floor node 'y'"),
        ("e = Exp (x) y = Round (e)", "input 0 ('e') of Round node 'y'"),
        ("c = Cast <to=7> (x) y = Cast <to=1> (c)", "input 0 ('x') of Cast node 'c'"),
        ("a = ArgMax (x) y = Cast <to=1> (a)", "input 0 ('x') of ArgMax node 'a'"),
        (
            "z = Constant <value_float=0.0> () c = Greater (x, z) y = Cast <to=1> (c)",
            "input 0 ('x') of Greater node 'c'",
        ),
        ("s = Shape (x) y = Cast <to=1> (s)", "input 0 ('x') of Shape node 's'"),
        (
            "v = Constant <value_floats=[1.0, 2.0, 3.0]> () i = Cast <to=7> (x) y = Gather (v, i)",
            "input 0 ('x') of Cast node 'i'",
        ),
        ("s = Sign (x) f = Ceil (x) y = Add (s, f)", "input 0 ('x') of Sign node 's', input 0 ('x') of Ceil node 'f'"),
    ],
)
def test_only_uses_without_a_derivative(nodes: str, use: str) -> None:
    assert summed(nodes) == ONLY + use


@pytest.mark.parametrize(
    ("nodes", "node"),
    [
        ("y = Det (x)", "Det node 'y'"),
        ("c = Constant <value=bool[3] {1, 0, 1}> () e = Exp (x) y = Compress <axis=0> (e, c)", "Compress node 'y'"),
    ],
)
def test_an_operator_without_a_rule(nodes: str, node: str) -> None:
    assert summed(nodes, "float[3,3]") == f"no gradient rule for {node}; operators with a rule: {SUPPORTED}"


def test_the_supported_list_is_the_table() -> None:
    assert "Conv, ConvTranspose" in SUPPORTED
    assert "Floor" not in SUPPORTED


@pytest.mark.parametrize("straight_through", [False, True])
def test_an_operator_of_another_domain(straight_through: bool) -> None:
    """ONNX Runtime's `quantize_dynamic` writes DynamicQuantizeLSTM, which no rule knows, on request either."""
    body = (
        "g (float[5,1,4] x, uint8[1,4,12] w, uint8[1,3,12] r, float[1] s, uint8[1] z) => (float loss) {"
        "y = com.microsoft.DynamicQuantizeLSTM <hidden_size=3> (x, w, r, , , , , , s, z, s, z)"
        "loss = ReduceSum <keepdims=0> (y) }"
    )
    message = refusal(body, imports=', "com.microsoft": 1', straight_through=straight_through)
    assert message == (
        "no gradient rule for com.microsoft.DynamicQuantizeLSTM node 'y': there are rules for ONNX's standard "
        "operators alone, and com.microsoft is another domain; take the model as it was before it was optimised or "
        "quantised for one runtime"
    )


def test_a_named_node_is_named() -> None:
    model = parsed("g (float[3,3] x) => (float loss) { y = Det (x) loss = Identity (y) }")
    model.graph[0].name = "determinant"
    with pytest.raises(GradientError, match=r"^no gradient rule for Det node 'determinant'; "):
        gradient(model, "loss", "x")


def test_an_operator_without_a_rule_in_a_branch() -> None:
    message = refusal(
        "g (float[3,3] x, bool c) => (float loss) { y = If (c) <"
        "then_branch = t () => (float d) { d = Det (x) }, "
        "else_branch = e () => (float s) { s = ReduceSum <keepdims=0> (x) }> loss = Identity (y) }"
    )
    assert message == f"no gradient rule for Det node 'd'; operators with a rule: {SUPPORTED}"


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        (
            "t = Constant <value=bool {1}> () r = Constant <value_float=0.5> () y = Dropout (x, r, t)",
            "Dropout node 'y' is in training mode; export the model for inference",
        ),
        (
            'y = Einsum <equation="ii->i"> (x)',
            "Einsum node 'y' takes a diagonal (ii->i), which has no gradient rule",
        ),
        (
            's = Constant <value_floats=[0.5, 2.0]> () y = Resize <mode="linear", antialias=1> (x, , s)',
            "Resize node 'y' has antialias, for which there is no gradient rule; use antialias 0",
        ),
        (
            "s = Constant <value_floats=[0.5, 2.0]> () r = Constant <value_floats=[0.0, 0.0, 1.0, 1.0]> () "
            'y = Resize <mode="linear", coordinate_transformation_mode="tf_crop_and_resize"> (x, r, s)',
            "Resize node 'y' has coordinate_transformation_mode 'tf_crop_and_resize'; there are rules for half_pixel, "
            "half_pixel_symmetric, pytorch_half_pixel, asymmetric, align_corners",
        ),
        (
            "y = ReduceL2 <noop_with_empty_axes=1> (x)",
            "ReduceL2 node 'y' reduces nothing (noop_with_empty_axes), which engines read differently; give it axes",
        ),
        (
            "i = Constant <value=int64[1,1] {0}> () u = Constant <value=float[1,3] {1.0, 2.0, 3.0}> () "
            'y = ScatterND <reduction="sub"> (x, i, u)',
            "ScatterND node 'y' has reduction 'sub'; allowed are none, add, mul, max, min",
        ),
        (
            "s = Constant <value_ints=[2]> () e = Constant <value_ints=[1]> () y = Slice (x, s, e)",
            "Slice node 'y' takes nothing along axis 0; there is no gradient to pass on",
        ),
        (
            'p = Constant <value_ints=[0, -1, 0, 1]> () y = Pad <mode="edge"> (x, p)',
            "Pad node 'y' has negative pads with mode 'edge'; use Slice and Pad",
        ),
    ],
)
def test_a_use_that_a_rule_refuses(nodes: str, message: str) -> None:
    assert summed(nodes, "float[3,3]") == message


def test_constants_computed_at_run_time() -> None:
    body = (
        "g (float[2,3] x, int64[1] s, int64[1] e) => (float loss) "
        "{ y = Slice (x, s, e) loss = ReduceSum <keepdims=0> (y) }"
    )
    assert refusal(body) == (
        "Slice node 'y' has input 1 ('s') computed at run time; its gradient needs a constant: fix the sizes of the "
        "model's inputs and fold the constants"
    )


def test_batch_normalization_in_training() -> None:
    body = (
        "g (float[2,3] x) => (float loss) <float[3] s = {1.0, 1.0, 1.0}> "
        "{ y, m, v = BatchNormalization <training_mode=1> (x, s, s, s, s) loss = ReduceSum <keepdims=0> (y) }"
    )
    assert refusal(body) == "BatchNormalization node 'y' is in training mode; export the model for inference"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            "g (float[1,1,h,8] x) => (float loss) "
            "{ y = AveragePool <kernel_shape=[3,3], strides=[2,2]> (x) loss = ReduceSum <keepdims=0> (y) }",
            f"AveragePool node 'y' needs a static shape of 'x', which is [1,1,h,8]; {SIZES}",
        ),
        (
            "g (float[n,3] x, float[m,3] z) => (float loss) { y = Mul (x, z) loss = ReduceSum <keepdims=0> (y) }",
            f"Mul node 'y' may broadcast 'x', of shape [n,3], to [unk__0,3]; {SIZES}",
        ),
    ],
)
def test_free_sizes_that_a_rule_needs(body: str, message: str) -> None:
    assert refusal(body) == message


def test_a_model_that_is_not_valid() -> None:
    message = refusal(
        "g (float[2,3] x, float[4] z) => (float loss) { y = Add (x, z) loss = ReduceSum <keepdims=0> (y) }"
    )
    assert message == "the model is not valid: Add: Incompatible dimensions"


def test_an_opset_that_cannot_be_converted() -> None:
    body = (
        "g (float[1,1,2,2] x) => (float[1] loss) <float[1] s = {1.0}> "
        "{ y = BatchNormalization <is_test=0> (x, s, s, s, s) loss = Reshape <shape=[1]> (y) }"
    )
    message = refusal(body, opset=6)
    assert message.startswith("the model has opset 6, which cannot be converted to 18: ")
    assert message.endswith("; export it again with opset 18 or later")


def test_an_old_opset_that_lacks_scatter() -> None:
    nodes = "i = Constant <value=int64[6] {0, 2, 0, 2, 0, 2}> () y = Gather (x, i)"
    assert summed(nodes, "float[3,3]", opset=13) == (
        "Gather node 'y' needs opset 16 or later for its gradient, the model has 13; export it again with a later opset"
    )


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ({"q": (1, 3)}, "the model has no input 'q' to fix the shape of; it has x, z"),
        ({"x": (2, 4)}, "input 'x' has shape [n,3], which cannot become 2x4; only free sizes can be fixed"),
        ({"x": (2,)}, "input 'x' has shape [n,3], which cannot become 2; only free sizes can be fixed"),
    ],
)
def test_shapes_that_do_not_fit(shapes: dict[str, tuple[int, ...]], message: str) -> None:
    model = parsed(
        "g (float[n,3] x, float[n,3] z) => (float loss) { y = Mul (x, z) loss = ReduceSum <keepdims=0> (y) }"
    )
    with pytest.raises(GradientError) as caught:
        gradient(model, "loss", "x", shapes=shapes)
    assert str(caught.value) == message


def test_fixed_sizes_help() -> None:
    model = parsed(
        "g (float[n,3] x, float[m,3] z) => (float loss) { y = Mul (x, z) loss = ReduceSum <keepdims=0> (y) }"
    )
    result = gradient(model, "loss", "x", shapes={"x": (2, 3), "z": (1, 3)})
    assert result.graph.outputs[-1].shape is not None
    assert np.array_equal(result.graph.outputs[-1].shape.numpy(), (2, 3))
