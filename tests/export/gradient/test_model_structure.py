"""Models as strangers write them: in any order, with names that clash, of versions that do not exist."""

import logging
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import NodeProto, TensorProto, helper

from impasto.export.gradient import GradientError, gradient
from impasto.export.gradient.model_file import gradient_file
from impasto.export.library_errors import without_remarks
from impasto.export.vjp_rules import RULES, Rule
from tests.export.graphs import parsed, run

X = np.array([[1, -2, 3], [0.5, 0.25, -1]], np.float32)
SUM = helper.make_node("ReduceSum", ["y"], ["loss"], "total", keepdims=0)
EXP = helper.make_node("Exp", ["x"], ["y"], "exp")


def written(
    path: Path, *nodes: NodeProto, opset: int = 21, ir_version: int = 10, outputs: tuple[str, ...] = ("loss",)
) -> Path:
    """Write a model with the input x, of shape [2, 3], and scalar outputs."""
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 3])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, []) for name in outputs],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir_version)
    path.write_bytes(model.SerializeToString())
    return path


def refusal(source: Path) -> str:
    """Return the message with which a file is refused; it is one line, and nothing is written."""
    target = source.parent / "out.onnx"
    with pytest.raises(GradientError) as caught:
        gradient_file(source, target, "loss", "x")
    assert not target.exists()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_nodes_in_any_order(tmp_path: Path) -> None:
    source = written(tmp_path / "m.onnx", SUM, EXP)
    gradient_file(source, tmp_path / "out.onnx", "loss", "x")
    onnx.checker.check_model(tmp_path / "out.onnx", full_check=True)
    np.testing.assert_allclose(run(ir.load(tmp_path / "out.onnx"), {"x": X}, "d_x"), np.exp(X), rtol=1e-6)


def test_nodes_of_a_branch_in_any_order() -> None:
    model = parsed(
        "g (float[2,3] x, bool c) => (float loss) { y = If (c) <"
        "then_branch = t () => (float[2,3] b) { b = Exp (a) a = Neg (x) }, "
        "else_branch = e () => (float[2,3] d) { d = Identity (x) }> loss = ReduceSum <keepdims=0> (y) }"
    )
    values = {"x": X, "c": np.array(True)}
    np.testing.assert_allclose(run(gradient(model, "loss", "x"), values, "d_x"), -np.exp(-X), rtol=1e-6)


def test_a_circle(tmp_path: Path) -> None:
    source = written(
        tmp_path / "m.onnx",
        helper.make_node("Add", ["x", "b"], ["a"], "first"),
        helper.make_node("Add", ["x", "a"], ["b"], "second"),
        helper.make_node("Exp", ["b"], ["y"]),
        SUM,
    )
    message = refusal(source)
    assert message.startswith("the model is not valid: its nodes depend on each other in a circle: Add node ")
    assert "first" in message
    assert "second" in message


def test_an_input_that_nothing_defines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    source = written(tmp_path / "m.onnx", helper.make_node("Add", ["x", "nothing"], ["y"], "plus"), SUM)
    assert refusal(source) == (
        "the model is not valid: Add node 'plus' reads 'nothing', which no input, weight or node defines"
    )
    assert not caplog.records, "onnx-ir's own remarks are not printed"
    assert capsys.readouterr() == ("", "")
    assert logging.getLogger("onnx_ir").level == logging.NOTSET


def test_the_silence_of_one_thread_does_not_outlast_that_of_another() -> None:
    logger, first, second = logging.getLogger("onnx_ir"), without_remarks(), without_remarks()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert logger.level == logging.CRITICAL
    second.__exit__(None, None, None)
    assert logger.level == logging.NOTSET


def test_an_output_that_nothing_computes(tmp_path: Path) -> None:
    source = written(tmp_path / "m.onnx", EXP, SUM, outputs=("loss", "other"))
    assert refusal(source) == "the model is not valid: no node computes its output 'other'"


def test_a_name_that_is_given_twice(tmp_path: Path) -> None:
    source = written(tmp_path / "m.onnx", EXP, helper.make_node("Neg", ["x"], ["y"]), SUM)
    assert refusal(source) == (
        f"cannot read {source}: not an ONNX model (Output 'y' is redeclared in the current graph scope)"
    )


def test_an_opset_of_the_future(tmp_path: Path) -> None:
    newest = onnx.defs.onnx_opset_version()
    assert refusal(written(tmp_path / "m.onnx", EXP, SUM, opset=99)) == (
        f"the model has opset 99, and the newest that onnx {onnx.__version__} knows is {newest}; "
        "export it again with an older opset"
    )


def test_a_format_of_the_future(tmp_path: Path) -> None:
    assert refusal(written(tmp_path / "m.onnx", EXP, SUM, ir_version=99)) == (
        f"the model has IR version 99, and the newest that onnx {onnx.__version__} knows is {onnx.IR_VERSION}; "
        "export it again with an older one"
    )


def test_no_opset(tmp_path: Path) -> None:
    source = written(tmp_path / "m.onnx", EXP, SUM)
    model = onnx.load(source)
    del model.opset_import[:]
    source.write_bytes(model.SerializeToString())
    assert refusal(source) == ("the model does not say which opset of the default domain it uses; export it again")


@pytest.mark.parametrize("opset", [0, -1])
def test_an_opset_below_the_first(tmp_path: Path, opset: int) -> None:
    message = refusal(written(tmp_path / "m.onnx", EXP, SUM, opset=opset))
    assert message == f"the model has opset {opset}; the first is 1: export it again"


def test_a_name_that_is_no_text(tmp_path: Path) -> None:
    source = written(tmp_path / "m.onnx", EXP, SUM)
    source.write_bytes(source.read_bytes().replace(b"Exp", b"\xff\xfep"))
    assert "not UTF-8" in refusal(source)


def test_a_text_that_is_none(tmp_path: Path) -> None:
    resize = helper.make_node("Resize", ["x"], ["y"], "grow", mode="linear")
    source = written(tmp_path / "m.onnx", resize, SUM)
    source.write_bytes(source.read_bytes().replace(b"linear", b"\xffinear"))
    assert refusal(source) == "the model is not valid: b'\\xffinear' is not UTF-8"


def test_a_weight_without_a_type(tmp_path: Path) -> None:
    source = written(tmp_path / "m.onnx", helper.make_node("Mul", ["x", "w"], ["y"]), SUM)
    model = onnx.load(source)
    model.graph.initializer.append(TensorProto(name="w", dims=[3]))
    source.write_bytes(model.SerializeToString())
    assert refusal(source) == "the model is not valid: weight 'w' has no content of a known type"


def test_what_a_rule_trips_over_is_explained_by_the_checker(tmp_path: Path) -> None:
    """A Constant with an attribute that it has not, found by no check of ours."""
    constant = helper.make_node("Constant", [], ["c"], "number", perm=[1])
    source = written(tmp_path / "m.onnx", constant, helper.make_node("Mul", ["x", "c"], ["y"]), SUM)
    message = refusal(source)
    assert message.startswith("the model is not valid: ")
    assert "Constant" in message


def test_a_mistake_of_ours_stays_a_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> list[ir.Value | None]:
        raise ValueError("a mistake")

    monkeypatch.setitem(RULES, "Exp", Rule(broken))
    with pytest.raises(ValueError, match="a mistake"):
        gradient_file(written(tmp_path / "m.onnx", EXP, SUM), tmp_path / "out.onnx", "loss", "x")


def test_sizes_beyond_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def large(*_: object) -> list[ir.Value | None]:
        raise MemoryError

    monkeypatch.setitem(RULES, "Exp", Rule(large))
    assert refusal(written(tmp_path / "m.onnx", EXP, SUM)) == (
        "the sizes of the model need more memory than there is; fix smaller ones"
    )


def test_a_branch_that_is_missing(tmp_path: Path) -> None:
    condition = helper.make_node("Constant", [], ["c"], value_int=1)
    source = written(tmp_path / "m.onnx", condition, helper.make_node("If", ["c"], ["y"], "choice"), SUM)
    assert refusal(source) == "the model is not valid: If node 'choice' lacks the attribute 'else_branch'"


def test_remarks_of_onnx_ir_are_not_printed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It remarks on values with a shape and no type; what is wrong with them is in the error."""
    source = written(tmp_path / "m.onnx", EXP, SUM)
    model = onnx.load(source)
    model.graph.input[0].type.tensor_type.elem_type = 0
    source.write_bytes(model.SerializeToString())
    assert refusal(source)
    assert not caplog.records


def test_a_folder(tmp_path: Path) -> None:
    source = tmp_path / "model.onnx"
    source.mkdir()
    assert refusal(source) == f"cannot read {source}: it is a folder; give the .onnx file in it"


def test_an_attribute_of_another_type(tmp_path: Path) -> None:
    source = written(tmp_path / "m.onnx", EXP, helper.make_node("ReduceSum", ["y"], ["loss"], "total", keepdims="no"))
    assert refusal(source) == (
        "the model is not valid: attribute 'keepdims' of ReduceSum node 'total' is STRING, and the standard's is INT"
    )


def test_too_few_inputs(tmp_path: Path) -> None:
    source = written(tmp_path / "m.onnx", helper.make_node("Add", ["x"], ["y"]), SUM)
    assert refusal(source).startswith("the model is not valid: Add: Node with schema(::Add:14) has input size 1")


@pytest.mark.parametrize(
    "nodes",
    [
        "loss = ReduceMean <keepdims=0> (x)",
        "m = GlobalAveragePool (x) loss = ReduceSum <keepdims=0> (m)",
        "a = Constant <value_ints=[2]> () m = ReduceMean <keepdims=0> (x, a) loss = ReduceSum <keepdims=0> (m)",
    ],
)
def test_a_mean_over_nothing(nodes: str) -> None:
    with pytest.raises(GradientError) as caught:
        gradient(parsed(f"g (float[1,2,0] x) => (float loss) {{ {nodes} }}"), "loss", "x")
    assert str(caught.value) == "a mean of 'x', of shape [1,2,0], is over no elements; give it some"


def test_a_window_of_padding_alone() -> None:
    """Windows of one pixel, at every eighth, the first of them beside the image: ONNX Runtime divides by zero."""
    nodes = "y = AveragePool <kernel_shape=[1,1], pads=[3,3,3,3], strides=[8,8]> (x) loss = ReduceSum <keepdims=0> (y)"
    with pytest.raises(GradientError) as caught:
        gradient(parsed(f"g (float[1,1,4,4] x) => (float loss) {{ {nodes} }}"), "loss", "x")
    assert str(caught.value) == "a window of AveragePool node 'y' has no elements to average; give it less padding"


def test_an_operator_without_an_inferred_shape_ends(tmp_path: Path) -> None:
    """Shape inference was repeated for ever for a type that is known without its shape."""
    model = parsed(
        "g (float[1,4,6,6] x) => (float loss) <float[4] s = {1.0, 2.0, 3.0, 4.0}> "
        "{ a = GroupNormalization <num_groups=2> (x, s, s) i = Constant <value_int=1> () "
        "b = Expand (a, i) c = GroupNormalization <num_groups=2> (b, s, s) loss = ReduceSum <keepdims=0> (c) }"
    )
    model.graph.inputs[0].shape = None
    with pytest.raises(GradientError):
        gradient(model, "loss", "x")


def test_sizes_of_minus_one_are_free() -> None:
    model = parsed("g (float[n,3] x) => (float loss) { y = Mul (x, x) loss = ReduceSum <keepdims=0> (y) }")
    model.graph.inputs[0].shape = ir.Shape([-1, 3])
    fixed = gradient(model, "loss", "x", shapes={"x": (2, 3)})
    assert fixed.graph.outputs[-1].shape == ir.Shape((2, 3))
    np.testing.assert_allclose(run(gradient(model, "loss", "x"), {"x": X}, "d_x"), 2 * X)


def test_a_loss_that_is_declared_a_scalar_stays_one(tmp_path: Path) -> None:
    """ONNX does not infer that a Reshape to a computed shape gives one number; the model says so."""
    source, target = tmp_path / "m.onnx", tmp_path / "out.onnx"
    model = parsed(
        "g (float[n,3] x, int64[1] one) => (float[1] loss) "
        "{ y = Mul (x, x) s = ReduceSum <keepdims=0> (y) loss = Reshape (s, one) }"
    )
    ir.save(model, source)
    gradient_file(source, target, "loss", "x", {"x": (2, 3)})
    values = {"x": X, "one": np.array([1])}
    np.testing.assert_allclose(run(ir.load(target), values, "d_x"), 2 * X)
