"""`impasto gradient` and the function behind it: from file to file."""

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import typer
from typer.testing import CliRunner

from impasto.engine.cli.gradient import gradient as command
from impasto.engine.compile.features_file import read_features
from impasto.export.gradient import model_file as module
from impasto.export.gradient.model_file import gradient_file
from impasto.export.vjp_rules import RULES, GradientError
from impasto.models.errors import ImpastoError
from tests.export.graphs import parsed, run

BODY = (
    "g (float[2,3] x, float[2,3] z) => (float loss, float[2] each) <float[2,3] w = {1.0, -2.0, 3.0, 4.0, 5.0, 6.0}> "
    "{ a = Constant <value_ints=[1]> () y = Mul (x, w) s = Mul (y, z) each = ReduceSum <keepdims=0> (s, a) "
    "q = Mul (y, y) loss = ReduceSum <keepdims=0> (q) }"
)
FREE = "g (float[n,3] x, float[m,3] z) => (float loss) { y = Mul (x, z) loss = ReduceSum <keepdims=0> (y) }"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    ir.save(parsed(BODY), path)
    return path


@pytest.fixture
def runner() -> CliRunner:
    return CliRunner()


def invoke(runner: CliRunner, *arguments: object, status: int = 0) -> str:
    """Run the command and return what it prints; its own errors are raised."""
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(command)
    result = runner.invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == status, result.output
    return result.stdout


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_command_writes_a_model_with_the_gradient(runner: CliRunner, source: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.onnx"
    printed = invoke(runner, source, "--loss", "loss", "--wrt", "x", "-o", target)
    written = ir.load(target)
    assert printed == f"{target}: {len(written.graph)} nodes, output d_x [2,3]\n"
    onnx.checker.check_model(target, full_check=True)
    x = np.array([[1, 2, 3], [4, 5, 6]], np.float32)
    w = np.array([[1, -2, 3], [4, 5, 6]], np.float32)
    result = run(written, {"x": x, "z": x}, "d_x")
    np.testing.assert_allclose(result, 2 * w * w * x)
    assert files(tmp_path) == ["model.onnx", "out.onnx"]


def test_the_command_fixes_free_sizes(runner: CliRunner, tmp_path: Path) -> None:
    source, target = tmp_path / "free.onnx", tmp_path / "out.onnx"
    ir.save(parsed(FREE), source)
    with pytest.raises(GradientError, match="--shape NAME=1x3x224x224"):
        invoke(runner, source, "--loss", "loss", "--wrt", "x", "-o", target)
    invoke(runner, source, "--loss", "loss", "--wrt", "x", "-o", target, "--shape", "x=4x3", "--shape", "z=1x3")
    assert ir.load(target).graph.outputs[-1].shape == ir.Shape((4, 3))


def test_the_target_may_be_the_source(source: Path) -> None:
    gradient_file(source, source, "loss", "x")
    assert [value.name for value in ir.load(source).graph.outputs] == ["loss", "each", "d_x"]


def test_the_same_input_gives_the_same_file(source: Path, tmp_path: Path) -> None:
    targets = [tmp_path / name for name in ("one.onnx", "two.onnx")]
    for target in targets:
        gradient_file(source, target, "loss", "x")
    assert targets[0].read_bytes() == targets[1].read_bytes()


def test_weights_in_other_files_are_put_into_the_model(tmp_path: Path) -> None:
    inside, outside = tmp_path / "a", tmp_path / "b"
    inside.mkdir()
    outside.mkdir()
    model = parsed(BODY)
    ir.save(model, inside / "model.onnx", external_data="weights.data", size_threshold_bytes=0)
    assert files(inside) == ["model.onnx", "weights.data"]
    gradient_file(inside / "model.onnx", outside / "out.onnx", "loss", "x")
    assert files(outside) == ["out.onnx"]
    ones = np.ones((2, 3), np.float32)
    assert run(ir.load(outside / "out.onnx"), {"x": ones, "z": ones}, "d_x")[1, 2] == 72


def test_weights_in_a_file_that_is_missing(tmp_path: Path) -> None:
    source = tmp_path / "model.onnx"
    ir.save(parsed(BODY), source, external_data="weights.data", size_threshold_bytes=0)
    (tmp_path / "weights.data").unlink()
    with pytest.raises(GradientError) as caught:
        gradient_file(source, tmp_path / "out.onnx", "loss", "x")
    assert str(caught.value) == (
        f"cannot read {source}: its weights are in another file (No such file or directory); put that file next to it"
    )
    assert files(tmp_path) == ["model.onnx"]


def test_weights_beyond_protobufs_limit_are_put_beside_the_model(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PROTOBUF_LIMIT_BYTES", 0)
    monkeypatch.setattr(module, "LEAST_EXTERNAL_BYTES", 0)
    folder = tmp_path / "out"
    folder.mkdir()
    gradient_file(source, folder / "out.onnx", "loss", "x")
    assert files(folder) == ["out.onnx", "out.onnx.data"]
    onnx.checker.check_model(folder / "out.onnx", full_check=True)


def test_an_error_leaves_the_old_file_and_nothing_else(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "out.onnx"
    target.write_bytes(b"old")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ir, "save", full)
    with pytest.raises(ImpastoError) as caught:
        gradient_file(source, target, "loss", "x")
    assert str(caught.value) == f"cannot write {target}: no space left on the disk; make room, or give another folder"
    assert target.read_bytes() == b"old"
    assert files(tmp_path) == ["model.onnx", "out.onnx"]


def test_the_written_file_has_ordinary_permissions(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.onnx"
    gradient_file(source, target, "loss", "x")
    assert target.stat().st_mode & 0o777 == source.stat().st_mode & 0o777


def _refusal(source: Path, target: Path, loss: str = "loss", wrt: str = "x") -> str:
    with pytest.raises(GradientError) as caught:
        gradient_file(source, target, loss, wrt)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_missing_file(tmp_path: Path) -> None:
    source = tmp_path / "none.onnx"
    assert _refusal(source, tmp_path / "out.onnx") == f"cannot read {source}: no such file"


@pytest.mark.parametrize("content", [b"", b"not a model at all", bytes(range(256))])
def test_a_file_that_is_no_model(tmp_path: Path, content: bytes) -> None:
    source = tmp_path / "bad.onnx"
    source.write_bytes(content)
    assert _refusal(source, tmp_path / "out.onnx").startswith(f"cannot read {source}: not an ONNX model")
    assert files(tmp_path) == ["bad.onnx"]


def test_a_missing_folder(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "none" / "out.onnx"
    assert _refusal(source, target) == f"cannot write {target}: there is no folder {target.parent}; create it first"


def test_a_loss_per_sample_is_no_scalar(source: Path, tmp_path: Path) -> None:
    assert _refusal(source, tmp_path / "out.onnx", loss="each") == (
        "output 'each' has shape [2]; a loss is a scalar: add a ReduceSum, or fix the sizes of the model's inputs, "
        "with --shape NAME=1x3x224x224 on the command line"
    )
    assert files(tmp_path) == ["model.onnx"]


def test_wrong_names_list_the_legal_ones(runner: CliRunner, source: Path, tmp_path: Path) -> None:
    with pytest.raises(GradientError) as caught:
        invoke(runner, source, "--loss", "lost", "--wrt", "x", "-o", tmp_path / "out.onnx")
    assert str(caught.value) == "the model has no output 'lost'; its floating-point outputs are: loss, each"


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ("x", "bad --shape 'x': write NAME=1x3x224x224, an input's name and its sizes"),
        ("x=1,3", "bad --shape 'x=1,3': write NAME=1x3x224x224, an input's name and its sizes"),
        ("x=0x3", "bad --shape 'x=0x3': sizes are 1 or more"),
        ("q=1x3", "the model has no input 'q' to fix the shape of; it has x, z"),
    ],
)
def test_bad_shapes(runner: CliRunner, source: Path, tmp_path: Path, shape: str, message: str) -> None:
    arguments: Sequence[object] = (source, "--loss", "loss", "--wrt", "x", "-o", tmp_path / "o.onnx", "--shape", shape)
    with pytest.raises(ImpastoError) as caught:
        invoke(runner, *arguments)
    assert str(caught.value) == message


def test_several_losses_and_inputs(runner: CliRunner, tmp_path: Path) -> None:
    source, target = tmp_path / "model.onnx", tmp_path / "out.onnx"
    body = (
        "g (float[2,3] x, float[2,3] z) => (float a, float b) "
        "{ y = Mul (x, z) a = ReduceSum <keepdims=0> (y) q = Mul (x, x) b = ReduceSum <keepdims=0> (q) }"
    )
    ir.save(parsed(body), source)
    names = ("--loss", "a", "--loss", "b", "--wrt", "x", "--wrt", "z")
    printed = invoke(runner, source, *names, "-o", target)
    written = ir.load(target)
    assert printed == f"{target}: {len(written.graph)} nodes, outputs d_x [2,3], d_z [2,3]\n"
    assert [value.name for value in written.graph.outputs] == ["a", "b", "d_x", "d_z"]
    onnx.checker.check_model(target, full_check=True)
    x, z = np.full((2, 3), 3, np.float32), np.full((2, 3), 5, np.float32)
    np.testing.assert_allclose(run(written, {"x": x, "z": z}, "d_x"), z + 2 * x)
    np.testing.assert_allclose(run(written, {"x": x, "z": z}, "d_z"), x)


def test_a_loss_that_depends_on_another(tmp_path: Path) -> None:
    """One loss is on the way to the other, and its own cotangent is added there."""
    source, target = tmp_path / "model.onnx", tmp_path / "out.onnx"
    body = "g (float[3] x) => (float a, float b) { a = ReduceSum <keepdims=0> (x) b = Mul (a, a) }"
    ir.save(parsed(body), source)
    gradient_file(source, target, ["b", "a"], "x")
    np.testing.assert_allclose(run(ir.load(target), {"x": np.ones(3, np.float32)}, "d_x"), np.full(3, 7))


@pytest.mark.parametrize(
    ("losses", "wrt", "message"),
    [
        (["loss", "loss"], ["x"], "output 'loss' is given twice; give it once"),
        (["loss"], ["x", "x"], "input 'x' is given twice; give it once"),
        (["loss"], ["x", "z"], "output 'loss' does not depend on input 'z'"),
        (["loss", "other"], ["x", "u"], "outputs 'loss' and 'other' do not depend on input 'u'"),
        ([], ["x"], "give the name of an output"),
    ],
)
def test_losses_and_inputs_that_do_not_fit(tmp_path: Path, losses: list[str], wrt: list[str], message: str) -> None:
    source = tmp_path / "model.onnx"
    body = (
        "g (float[3] x, float[3] z, float[3] u) => (float loss, float other) "
        "{ loss = ReduceSum <keepdims=0> (x) other = ReduceMean <keepdims=0> (z) }"
    )
    ir.save(parsed(body), source)
    with pytest.raises(GradientError) as caught:
        gradient_file(source, tmp_path / "out.onnx", losses, wrt)
    assert str(caught.value) == message
    assert files(tmp_path) == ["model.onnx"]


def test_a_second_loss_that_does_not_depend_on_the_input_counts_for_nothing(tmp_path: Path) -> None:
    source, target = tmp_path / "model.onnx", tmp_path / "out.onnx"
    body = (
        "g (float[3] x, float[3] z) => (float a, float b) "
        "{ a = ReduceSum <keepdims=0> (x) b = ReduceSum <keepdims=0> (z) }"
    )
    ir.save(parsed(body), source)
    gradient_file(source, target, ["a", "b"], ["x", "z"])
    values = {name: np.ones(3, np.float32) for name in ("x", "z")}
    for name in ("d_x", "d_z"):
        np.testing.assert_array_equal(run(ir.load(target), values, name), np.ones(3))


@pytest.mark.parametrize("way", ["same", "relative", "link", "hard link", "link to the source"])
def test_the_model_itself_is_replaced_only_with_force(
    runner: CliRunner, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    before, read, target = source.read_bytes(), source, source
    if way == "relative":
        monkeypatch.chdir(tmp_path)
        target = Path("..") / tmp_path.name / source.name
    elif way == "link":
        target = tmp_path / "link.onnx"
        target.symlink_to(source)
    elif way == "hard link":
        target = tmp_path / "link.onnx"
        target.hardlink_to(source)
    elif way == "link to the source":
        read = tmp_path / "link.onnx"
        read.symlink_to(source)
    with pytest.raises(ImpastoError) as caught:
        invoke(runner, read, "--loss", "loss", "--wrt", "x", "-o", target)
    assert str(caught.value) == (
        f"cannot write {target}: it is the model, which the run reads; give another file, or --force to write over it"
    )
    assert source.read_bytes() == before
    invoke(runner, read, "--loss", "loss", "--wrt", "x", "-o", target, "--force")
    assert [value.name for value in ir.load(target).graph.outputs] == ["loss", "each", "d_x"]


def test_a_value_decides_a_branch(runner: CliRunner, tmp_path: Path) -> None:
    source, target = tmp_path / "model.onnx", tmp_path / "out.onnx"
    body = (
        "g (float[2] x, int64 rate) => (float loss) { k = Constant <value_int=16000> () c = Equal (rate, k) "
        "y = If (c) <then_branch = t () => (float[2] a) { a = Mul (x, x) }, "
        "else_branch = e () => (float[2] b) { b = Neg (x) }> loss = ReduceSum <keepdims=0> (y) }"
    )
    ir.save(parsed(body), source)
    invoke(runner, source, "--loss", "loss", "--wrt", "x", "--value", "rate=16000", "-o", target)
    np.testing.assert_array_equal(run(ir.load(target), {"x": np.ones(2, np.float32)}, "d_x"), [2, 2])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--value", "x"), "bad --value 'x': write NAME=16000, an input's name and a number"),
        (("--value", "x=nan"), "bad --value 'x=nan': write NAME=16000, an input's name and a number"),
        (("--value", "x=1e999"), "bad --value 'x=1e999': write NAME=16000, an input's name and a number"),
        (("--value", "q=1"), "the model has no input 'q' to fix the value of; it has x, z"),
        (("--value", "z=1", "--value", "z=2"), "bad --value: an input is given twice; give each of z once"),
        (("--shape", "x=2x3", "--shape", "x=2x3"), "bad --shape: an input is given twice; give each of x once"),
    ],
)
def test_bad_values(runner: CliRunner, source: Path, tmp_path: Path, options: tuple[str, ...], message: str) -> None:
    with pytest.raises(ImpastoError) as caught:
        invoke(runner, source, "--loss", "loss", "--wrt", "x", "-o", tmp_path / "o.onnx", *options)
    assert str(caught.value) == message


def test_the_check_agrees(runner: CliRunner, source: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.onnx"
    printed = invoke(runner, source, "--loss", "loss", "--wrt", "x", "-o", target, "--check").splitlines()
    assert re.fullmatch(
        r"d_x agrees with finite differences in float64: largest relative error \S+e-\d+ along 3 random directions, "
        r"allowed 0.0001",
        printed[0],
    )
    assert target.exists()


def test_the_check_finds_a_wrong_gradient(
    runner: CliRunner, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = RULES["Mul"]

    def doubled(*arguments: Any) -> Any:
        emit = arguments[0]
        return [value and emit.op("Mul", value, 1.001) for value in right.function(*arguments)]

    monkeypatch.setitem(RULES, "Mul", dataclasses.replace(right, function=doubled))
    target = tmp_path / "out.onnx"
    printed = invoke(runner, source, "--loss", "loss", "--wrt", "x", "-o", target, "--check", status=1)
    assert printed.startswith("d_x DISAGREES with finite differences in float64: largest relative error ")
    assert not target.exists()


@pytest.fixture
def with_weights_outside(tmp_path: Path) -> Path:
    """A model whose weights are in weights.bin, next to it."""
    weight = ir.tensor(np.arange(600, dtype=np.float32), name="w")
    x, w = ir.val("x", ir.DataType.FLOAT, (600,)), ir.val("w", ir.DataType.FLOAT, (600,), const_value=weight)
    product = ir.node("Mul", [x, w])
    total = ir.node("ReduceSum", [product.outputs[0]], {"keepdims": 0})
    total.outputs[0].name, total.outputs[0].dtype, total.outputs[0].shape = "loss", ir.DataType.FLOAT, ir.Shape(())
    graph = ir.Graph([x], total.outputs, nodes=[product, total], initializers=[w], opset_imports={"": 18}, name="g")
    ir.save(ir.Model(graph, ir_version=10), tmp_path / "m.onnx", external_data="weights.bin", size_threshold_bytes=0)
    return tmp_path / "m.onnx"


def test_the_file_of_the_weights_is_not_replaced(with_weights_outside: Path) -> None:
    weights = with_weights_outside.with_name("weights.bin")
    before = weights.read_bytes()
    with pytest.raises(ImpastoError) as caught:
        gradient_file(with_weights_outside, weights, "loss", "x")
    assert str(caught.value) == (
        f"cannot write {weights}: it is the file weights.bin of weights, which the run reads; give another name"
    )
    assert weights.read_bytes() == before
    gradient_file(with_weights_outside, with_weights_outside.with_name("out.onnx"), "loss", "x")


@pytest.mark.parametrize("place", ["/etc/passwd", "../secret.bin", "sub/../../secret.bin", "..\\secret.bin"])
def test_a_model_reads_no_file_outside_its_folder(with_weights_outside: Path, place: str) -> None:
    (with_weights_outside.parent.parent / "secret.bin").write_bytes(bytes(2400))
    model = onnx.load(with_weights_outside, load_external_data=False)
    next(entry for entry in model.graph.initializer[0].external_data if entry.key == "location").value = place
    with_weights_outside.write_bytes(model.SerializeToString())
    out = with_weights_outside.with_name("out.onnx")
    with pytest.raises(ImpastoError) as caught:
        gradient_file(with_weights_outside, out, "loss", "x")
    assert str(caught.value) == (
        f"cannot read {with_weights_outside}: its weights are in {place!r}, outside of the model's folder; "
        "put that file next to the model"
    )
    with pytest.raises(ImpastoError, match="outside of the model's folder"):
        read_features(with_weights_outside)
    assert not out.exists()
