"""If, Loop and Scan: decided ones are written out, and an undecided If has an If as its gradient."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from impasto.export.gradient import GradientError, control_flow, gradient
from impasto.export.gradient.double_precision import in_float64
from tests.export.graphs import Array, op_types, parsed, run

X = np.array([[1, -2, 3], [0.5, 0.25, -1]], np.float32)
BRANCHES = (
    "then_branch = t () => (float[2,3] a) { u = Exp (x) a = Mul (u, z) }, "
    "else_branch = e () => (float[2,3] b) { u = Neg (x) b = Identity (u) }"
)
CHOICE = f"g (float[2,3] x, float[2,3] z, bool c) => (float loss) {{ y = If (c) <{BRANCHES}> "
LOOP = (
    "g (float[2,3] x) => (float loss) { n = Constant <value=int64 {%d}> () "
    "y, s = Loop (n, , x) <body = b (int64 i, bool go, float[2,3] v) => (bool on, float[2,3] w, float[2,3] each) "
    "{ on = Identity (go) w = Mul (v, x) each = Exp (w) }> "
    "p = ReduceSum <keepdims=0> (y) q = ReduceSum <keepdims=0> (s) loss = Add (p, q) }"
)
SCAN = (
    "g (float[4,3] x, float[3] h) => (float loss) { "
    "last, ys = Scan <num_scan_inputs=1, scan_input_directions=[%d], scan_output_directions=[%d]%s, "
    "body = b (float[3] s, float[3] e) => (float[3] t, float[3] r) { m = Mul (s, e) t = Tanh (m) r = Mul (t, e) }> "
    "(h, x) w = Constant <value=float[4,1] {1.0, 2.0, 3.0, 4.0}> () v = Mul (ys, w) "
    "p = ReduceSum <keepdims=0> (v) q = ReduceSum <keepdims=0> (last) loss = Add (p, q) }"
)


def check(model: ir.Model, values: dict[str, Array], name: str = "x") -> ir.Model:
    """Compare the gradient with slopes in float64, both in ONNX Runtime; return the model."""
    result = gradient(model, "loss", name)
    onnx.checker.check_model(ir.to_proto(result), full_check=True)
    wide = ir.from_proto(in_float64(ir.to_proto(result)))
    point = {key: value.astype(np.float64) if value.dtype.kind == "f" else value for key, value in values.items()}
    d = run(wide, point, f"d_{name}")
    for seed in range(3):
        direction = 1e-6 * np.random.default_rng(seed).standard_normal(d.shape)
        ahead, behind = (run(wide, point | {name: point[name] + sign * direction}, "loss") for sign in (1, -1))
        assert np.sum(d * direction) == pytest.approx((ahead - behind).item() / 2, rel=1e-5)
    np.testing.assert_allclose(run(result, values, f"d_{name}"), d, rtol=1e-4, atol=1e-5)
    return result


@pytest.mark.parametrize("condition", [True, False])
def test_both_branches(condition: bool) -> None:
    model = parsed(CHOICE + "q = Mul (y, y) loss = ReduceSum <keepdims=0> (q) }")
    values = {"x": X, "z": X + 2, "c": np.array(condition)}
    result = check(model, values)
    assert op_types(result).count("If") == 2
    expected = 2 * np.exp(2 * X) * (X + 2) ** 2 if condition else 2 * X
    np.testing.assert_allclose(run(result, values, "d_x"), expected, rtol=1e-5)
    d_z = run(gradient(model, "loss", "z"), values, "d_z")
    np.testing.assert_allclose(d_z, 2 * np.exp(2 * X) * (X + 2) if condition else 0 * X, rtol=1e-5)


def test_a_branch_that_hands_a_value_through() -> None:
    model = parsed(
        "g (float[2,3] x, bool c) => (float loss) { w = Exp (x) y, z = If (c) <"
        "then_branch = t () => (float[2,3] a, float[2,3] b) { a = Identity (w) b = Mul (w, w) }, "
        "else_branch = e () => (float[2,3] d, float[2,3] f) { d = Mul (x, w) f = Identity (d) }> "
        "v = Mul (y, z) loss = ReduceSum <keepdims=0> (v) }"
    )
    for condition in (True, False):
        check(model, {"x": X, "c": np.array(condition)})


def test_a_condition_that_depends_on_the_input() -> None:
    model = parsed(
        "g (float[2,3] x) => (float loss) { s = ReduceSum <keepdims=0> (x) zero = Constant <value_float=0.0> () "
        "c = Greater (s, zero) y = If (c) <then_branch = t () => (float[2,3] a) { a = Exp (x) }, "
        "else_branch = e () => (float[2,3] b) { b = Mul (x, x) }> loss = ReduceSum <keepdims=0> (y) }"
    )
    check(model, {"x": X})
    check(model, {"x": -X})


def test_an_if_in_an_if_and_a_function_in_it() -> None:
    """HardSwish has a rule by expansion only where branches are expanded, too."""
    model = parsed(
        "g (float[2,3] x, bool c, bool d) => (float loss) { y = If (c) <"
        "then_branch = t () => (float[2,3] a) { a = If (d) <"
        "then_branch = tt () => (float[2,3] p) { p = MeanVarianceNormalization <axes=[1]> (x) }, "
        "else_branch = te () => (float[2,3] q) { q = Sin (x) }> }, "
        "else_branch = e () => (float[2,3] b) { b = Mul (x, x) }> "
        "r = Mul (y, y) f = Mul (r, y) loss = ReduceSum <keepdims=0> (f) }"
    )
    for first, second in ((True, True), (True, False), (False, True)):
        check(model, {"x": X, "c": np.array(first), "d": np.array(second)})


@pytest.mark.parametrize("condition", [True, False])
def test_a_decided_if_is_inlined(condition: bool) -> None:
    text = f"g (float[2,3] x, float[2,3] z) => (float loss) {{ c = Constant <value=bool {{{int(condition)}}}> () "
    model = parsed(text + f"u = Neg (x) y = If (c) <{BRANCHES}> v = Mul (y, u) loss = ReduceSum <keepdims=0> (v) }}")
    result = check(model, {"x": X, "z": X})
    assert "If" not in op_types(result)


def test_a_branch_for_other_sizes_does_not_count() -> None:
    """PyTorch's squeeze: a branch that is not valid for the sizes at hand is not taken either."""
    model = parsed(
        "g (float[n,1,3] x) => (float loss) { s = Shape (x) i = Constant <value_ints=[1]> () k = Gather (s, i) "
        "one = Constant <value_ints=[1]> () c = Equal (k, one) y = If (c) <"
        "then_branch = t () => (a) { a = Squeeze (x, one) }, else_branch = e () => (b) { b = Identity (x) }> "
        "q = Mul (y, y) loss = ReduceSum <keepdims=0> (q) }"
    )
    result = gradient(model, "loss", "x", shapes={"x": (2, 1, 3)})
    assert "If" not in op_types(result)
    np.testing.assert_allclose(run(result, {"x": X[:, None]}, "d_x"), 2 * X[:, None])


def test_a_value_that_is_fixed_decides() -> None:
    model = parsed(
        "g (float[2,3] x, float[2,3] z, int64 rate) => (float loss) { k = Constant <value_int=16000> () "
        f"c = Equal (rate, k) y = If (c) <{BRANCHES}> loss = ReduceSum <keepdims=0> (y) }}"
    )
    result = gradient(model, "loss", "x", values={"rate": 16000})
    assert "If" not in op_types(result)
    assert [value.name for value in result.graph.inputs] == ["x", "z"]
    np.testing.assert_allclose(run(result, {"x": X, "z": X}, "d_x"), np.exp(X) * X, rtol=1e-6)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"q": 1}, "the model has no input 'q' to fix the value of; it has x, rate"),
        ({"rate": 0.5}, "input 'rate' has type INT64, which 0.5 is not"),
        (
            {"x": 1},
            "input 'x' has shape [n,3]; fix the sizes of the model's inputs, with --shape NAME=1x3x224x224 on the "
            "command line, and then its value",
        ),
    ],
)
def test_values_that_do_not_fit(values: dict[str, float], message: str) -> None:
    model = parsed("g (float[n,3] x, int64 rate) => (float loss) { loss = ReduceSum <keepdims=0> (x) }")
    with pytest.raises(GradientError) as caught:
        gradient(model, "loss", "x", values=values)
    assert str(caught.value) == message


@pytest.mark.parametrize("count", [1, 3])
def test_a_loop_of_known_length(count: int) -> None:
    result = check(parsed(LOOP % count), {"x": X / 2})
    assert "Loop" not in op_types(result)
    assert op_types(result).count("Exp") == count


def test_a_loop_that_ends_by_a_condition_that_is_known() -> None:
    model = parsed(
        "g (float[2,3] x) => (float loss) { n = Constant <value=int64 {50}> () go = Constant <value=bool {1}> () "
        "k = Constant <value_int=0> () y, j = Loop (n, go, x, k) <body = b (int64 i, bool c, float[2,3] v, int64 m) "
        "=> (bool on, float[2,3] w, int64 m2) { one = Constant <value_int=1> () three = Constant <value_int=40> () "
        "m2 = Add (m, one) on = Less (m2, three) s = Sin (v) w = Add (s, x) }> loss = ReduceSum <keepdims=0> (y) }"
    )
    result = check(model, {"x": X / 2})
    assert op_types(result).count("Sin") == 40


def test_a_loop_off_the_path_stays() -> None:
    model = parsed(
        "g (float[2,3] x, float[2,3] z, int64 n) => (float loss) { y = Loop (n, , z) <"
        "body = b (int64 i, bool go, float[2,3] v) => (bool on, float[2,3] w) { on = Identity (go) w = Mul (v, v) }> "
        "s = Constant <value_ints=[2, 3]> () r = Reshape (y, s) p = Mul (r, x) loss = ReduceSum <keepdims=0> (p) }"
    )
    result = gradient(model, "loss", "x")
    assert "Loop" in op_types(result)
    values = {"x": X, "z": X, "n": np.array(1)}
    np.testing.assert_allclose(run(result, values, "d_x"), X * X, rtol=1e-6)


@pytest.mark.parametrize("directions", [(0, 0), (1, 0), (0, 1), (1, 1)])
@pytest.mark.parametrize("name", ["x", "h"])
def test_a_scan_of_known_length(directions: tuple[int, int], name: str) -> None:
    values = {"x": np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3), "h": X[0]}
    result = check(parsed(SCAN % (*directions, "")), values, name)
    assert "Scan" not in op_types(result)


def test_a_scan_along_another_axis() -> None:
    text = SCAN.replace("float[4,3] x", "float[3,4] x").replace("float[4,1]", "float[4]") % (
        0,
        0,
        ", scan_input_axes=[1], scan_output_axes=[-1]",
    )
    check(parsed(text), {"x": np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4), "h": X[0]})


def test_a_loop_whose_length_is_an_input() -> None:
    text = LOOP.replace("(float[2,3] x)", "(float[2,3] x, int64 n)").replace("n = Constant <value=int64 {%d}> () ", "")
    with pytest.raises(GradientError) as caught:
        gradient(parsed(text), "loss", "x")
    assert str(caught.value) == (
        "Loop node 'y' cannot be written out: its number of iterations is computed at run time; fix the sizes of the "
        "model's inputs, or export it with a number of iterations that is constant"
    )
    result = gradient(parsed(text), "loss", "x", values={"n": 2})
    assert "Loop" not in op_types(result)


def test_a_condition_of_a_loop_that_is_computed() -> None:
    text = (LOOP % 3).replace("on = Identity (go)", "t = ReduceSum <keepdims=0> (v) on = Less (t, t)")
    with pytest.raises(GradientError, match=r"^Loop node 'y' cannot be written out: whether it continues is computed"):
        gradient(parsed(text), "loss", "x")


def test_a_long_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_flow, "MOST_NODES", 30)
    gradient(parsed(LOOP % 10), "loss", "x")
    with pytest.raises(GradientError) as caught:
        gradient(parsed(LOOP % 11), "loss", "x")
    assert str(caught.value) == (
        "Loop node 'y' has 11 iterations or more, of 3 nodes, and a loop is written out up to 30 nodes; give it a "
        "shorter sequence"
    )


def test_a_loop_in_an_undecided_branch() -> None:
    model = parsed(
        "g (float[2,3] x, bool c) => (float loss) { n = Constant <value=int64 {2}> () y = If (c) <"
        "then_branch = t () => (float[2,3] a) { a = Loop (n, , x) <"
        "body = b (int64 i, bool go, float[2,3] v) => (bool on, float[2,3] w) { on = Identity (go) w = Mul (v, x) }> "
        "}, else_branch = e () => (float[2,3] d) { d = Neg (x) }> loss = ReduceSum <keepdims=0> (y) }"
    )
    for condition in (True, False):
        check(model, {"x": X, "c": np.array(condition)})
