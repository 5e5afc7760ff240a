"""`impasto gradient` and the function behind it: from file to file."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import typer
from typer.testing import CliRunner

from impasto.engine.cli.gradient import gradient as command
from impasto.export import gradient_file as module
from impasto.export.gradient_file import gradient_file
from impasto.export.vjp_rules import GradientError
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


def invoke(runner: CliRunner, *arguments: object) -> str:
    """Run the command and return what it prints; its own errors are raised."""
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(command)
    result = runner.invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
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
