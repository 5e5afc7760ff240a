"""Models that are changed at random: each gives a gradient or one line, never a traceback or a half-written file."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import onnx
import pytest

from impasto.export.gradient.model_file import gradient_file
from impasto.models.errors import ImpastoError
from tests.export.gradient.test_check import NETWORK
from tests.export.gradient.test_constant_folding import PADDED, RESHAPED
from tests.export.gradient.test_control_flow import CHOICE, LOOP, SCAN

BODIES = (NETWORK, CHOICE + "loss = ReduceSum <keepdims=0> (y) }", LOOP % 3, SCAN % (0, 1, ""), PADDED, RESHAPED)
MODELS = tuple(
    onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["": 21]> {body}').SerializeToString() for body in BODIES
)
OPERATORS = "Add Cast Conv Dropout Einsum Expand Gather If LSTM Loop MatMul Pad Reshape Resize Scan Slice Split TopK"
NUMBERS = (-(2**63), -5, -1, 0, 1, 2, 7, 2**40)

Change = Callable[[onnx.ModelProto, onnx.NodeProto, random.Random], None]


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _graphs(attribute.g)


def _name(model: onnx.ModelProto, rng: random.Random) -> str:
    nodes = [node for graph in _graphs(model.graph) for node in graph.node]
    names: list[str] = [name for node in nodes for name in (*node.input, *node.output)]
    return rng.choice([*names, "x", "nothing", ""])


def _operator(model: onnx.ModelProto, node: onnx.NodeProto, rng: random.Random) -> None:
    node.op_type = rng.choice(OPERATORS.split())


def _input(model: onnx.ModelProto, node: onnx.NodeProto, rng: random.Random) -> None:
    node.input.append(_name(model, rng))
    node.input[rng.randrange(len(node.input))] = _name(model, rng)
    del node.input[rng.randrange(len(node.input))]


def _output(model: onnx.ModelProto, node: onnx.NodeProto, rng: random.Random) -> None:
    node.output[rng.randrange(len(node.output))] = _name(model, rng)


def _attribute(model: onnx.ModelProto, node: onnx.NodeProto, rng: random.Random) -> None:
    for attribute in node.attribute:
        attribute.i = rng.choice(NUMBERS)
        if attribute.ints:
            attribute.ints[rng.randrange(len(attribute.ints))] = rng.choice(NUMBERS)
        if rng.random() < 0.2:
            attribute.name = rng.choice(["axis", "mode", "perm"])
    if rng.random() < 0.2:
        del node.attribute[:]


def _size(model: onnx.ModelProto, node: onnx.NodeProto, rng: random.Random) -> None:
    kind = rng.choice(list(model.graph.input)).type.tensor_type
    if kind.shape.dim:
        rng.choice(list(kind.shape.dim)).dim_value = rng.choice((-1, 0, 1, 2, 2**40))
    if rng.random() < 0.2:
        kind.ClearField("shape")


def _type(model: onnx.ModelProto, node: onnx.NodeProto, rng: random.Random) -> None:
    rng.choice(list(model.graph.input)).type.tensor_type.elem_type = rng.choice((0, 7, 8, 9, 10, 11, 16, 99))


def _version(model: onnx.ModelProto, node: onnx.NodeProto, rng: random.Random) -> None:
    model.opset_import[0].version = rng.choice((-1, 0, 7, 12, 13, 17, 28, 99))


def _domain(model: onnx.ModelProto, node: onnx.NodeProto, rng: random.Random) -> None:
    node.domain = rng.choice(("com.microsoft", "ai.onnx", "ai.onnx.ml"))


CHANGES: tuple[Change, ...] = (_operator, _input, _output, _attribute, _size, _type, _version, _domain)


def _changed(rng: random.Random) -> bytes:
    model = onnx.load_from_string(rng.choice(MODELS))
    for _ in range(rng.randint(1, 3)):
        graph = rng.choice(list(_graphs(model.graph)))
        rng.choice(CHANGES)(model, rng.choice(list(graph.node)), rng)
    content = bytearray(model.SerializeToString())
    if rng.random() < 0.15:
        content[rng.randrange(len(content))] = rng.randrange(256)
    return bytes(content)


@pytest.mark.parametrize("seed", range(4))
def test_a_changed_model_gives_a_gradient_or_one_line(
    tmp_path: Path, seed: int, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    rng = random.Random(seed)  # noqa: S311 - changes, no secrets
    messages: list[str] = []
    source, target = tmp_path / "model.onnx", tmp_path / "out.onnx"
    for _ in range(40):
        source.write_bytes(_changed(rng))
        try:
            gradient_file(source, target, "loss", "x")
            onnx.load(target)
            target.unlink()
        except ImpastoError as error:
            messages.append(str(error))
        assert not target.exists()
    assert messages
    assert not any("\n" in message for message in messages)
    assert not caplog.records
    assert capsys.readouterr() == ("", "")
