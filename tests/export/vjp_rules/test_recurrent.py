"""RNN, GRU and LSTM: the naive reference against ONNX Runtime, the gradient against PyTorch, what is refused."""

import dataclasses
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
import torch
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from impasto.export.gradient import gradient
from impasto.export.gradient.check import check_gradient
from tests.export.gradient.test_errors import refusal
from tests.export.graphs import op_types, parsed, run
from tests.export.vjp_rules.cases.case import Case, feeds, forward_model
from tests.export.vjp_rules.cases.recurrent import CASES
from tests.export.vjp_rules.reference_ops import OPERATORS

Array = np.ndarray[Any, Any]

STEPS, BATCH, FEATURES, SIZE = 6, 3, 4, 5
LENGTHS = np.array([6, 2, 5], np.int32)
# PyTorch's gates are i f g o and r z n.
GATE_ORDER = {"RNN": [0], "GRU": [1, 0, 2], "LSTM": [0, 3, 1, 2]}
IN_ORT = [case for case in CASES if case.in_ort]


@pytest.mark.parametrize("case", IN_ORT, ids=str)
def test_the_reference_computes_what_onnx_runtime_does(case: Case) -> None:
    checked = dataclasses.replace(case, wrt=(0,))
    naive: Any = ReferenceEvaluator(forward_model(checked, np.float64), new_ops=OPERATORS).run(
        None, feeds(checked, np.float64)
    )
    content = forward_model(checked, np.float32).SerializeToString()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    for expected, result in zip(naive, session.run(None, feeds(checked, np.float32)), strict=True):
        np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-5)


def _layer(op: str, *, is_bidirectional: bool) -> Any:
    torch.manual_seed(3)
    layer = getattr(torch.nn, op)(FEATURES, SIZE, bidirectional=is_bidirectional)
    return layer.double()


def _weights(op: str, layer: Any, kind: str) -> Array:
    """Return PyTorch's weights of one kind, weight_ih or the like, in the order of ONNX, [directions, gates H, ...]."""
    suffixes = ("_l0", "_l0_reverse")[: 1 + layer.bidirectional]
    given = [getattr(layer, kind + suffix).detach().numpy() for suffix in suffixes]
    gates = [np.split(weight, len(GATE_ORDER[op])) for weight in given]
    return np.stack([np.concatenate([parts[gate] for gate in GATE_ORDER[op]]) for parts in gates])


def _model(op: str, layer: Any, weight: Array, *, kind: type = np.float64) -> onnx.ModelProto:
    """Return the layer with the loss sum(weight y^2); the lengths are an input."""
    bias = np.concatenate([_weights(op, layer, "bias_ih"), _weights(op, layer, "bias_hh")], 1)
    arrays = {"w": _weights(op, layer, "weight_ih"), "r": _weights(op, layer, "weight_hh"), "b": bias, "weight": weight}
    attributes: dict[str, Any] = {"linear_before_reset": 1} if op == "GRU" else {}
    direction = "bidirectional" if layer.bidirectional else "forward"
    nodes = [
        helper.make_node(op, ["x", "w", "r", "b", "n"], ["y"], direction=direction, hidden_size=SIZE, **attributes),
        helper.make_node("Mul", ["y", "y"], ["square"]),
        helper.make_node("Mul", ["square", "weight"], ["weighted"]),
        helper.make_node("ReduceSum", ["weighted"], ["loss"], keepdims=0),
    ]
    elements = helper.np_dtype_to_tensor_dtype(np.dtype(kind))
    inputs = [
        helper.make_tensor_value_info("x", elements, ["time", "batch", FEATURES]),
        helper.make_tensor_value_info("n", onnx.TensorProto.INT32, ["batch"]),
    ]
    graph = helper.make_graph(
        nodes,
        "layer",
        inputs,
        [helper.make_tensor_value_info("loss", elements, [])],
        [numpy_helper.from_array(array.astype(kind), name) for name, array in arrays.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)


@pytest.mark.parametrize("is_bidirectional", [False, True])
@pytest.mark.parametrize("op", GATE_ORDER)
@pytest.mark.parametrize("lengths", [LENGTHS, np.full(BATCH, STEPS, np.int32)], ids=["short", "full"])
def test_the_gradient_is_pytorchs(op: str, lengths: Array, *, is_bidirectional: bool) -> None:
    """With lengths computed at run time, a free batch and time, and padding behind the sequences."""
    layer = _layer(op, is_bidirectional=is_bidirectional)
    generator = np.random.default_rng(5)
    x = generator.standard_normal((STEPS, BATCH, FEATURES))
    weight = generator.standard_normal((1, 1 + is_bidirectional, 1, SIZE))
    leaf = torch.tensor(x, requires_grad=True)
    packed = torch.nn.utils.rnn.pack_padded_sequence(leaf, torch.tensor(lengths), enforce_sorted=False)
    y, _ = torch.nn.utils.rnn.pad_packed_sequence(layer(packed)[0], total_length=STEPS)
    directions = y.reshape(STEPS, BATCH, -1, SIZE).transpose(1, 2)
    torch.autograd.backward((directions**2 * torch.tensor(weight)).sum())
    assert leaf.grad is not None
    wide = gradient(ir.from_proto(_model(op, layer, weight)), "loss", "x")
    (result,) = ReferenceEvaluator(ir.to_proto(wide), new_ops=OPERATORS).run(["d_x"], {"x": x, "n": lengths})
    assert isinstance(result, np.ndarray)
    np.testing.assert_allclose(result, leaf.grad.numpy(), rtol=1e-9, atol=1e-12)
    onnx.checker.check_model(ir.to_proto(wide), full_check=True)
    narrow = gradient(ir.from_proto(_model(op, layer, weight, kind=np.float32)), "loss", "x")
    fast = run(narrow, {"x": x.astype(np.float32), "n": lengths}, "d_x")
    np.testing.assert_allclose(fast, leaf.grad.numpy(), rtol=1e-4, atol=1e-5)


def test_outputs_of_the_model_keep_their_names_and_values() -> None:
    body = (
        "g (float[3,2,2] x, float[1,4,2] w, float[1,4,1] r) => (float[3,1,2,1] y, float[1,2,1] c, float loss) "
        "{ y, h, c = LSTM <hidden_size=1> (x, w, r) loss = ReduceSum <keepdims=0> (y) }"
    )
    model = parsed(body)
    result = gradient(model, "loss", "x")
    generator = np.random.default_rng(0)
    shapes = {"x": (3, 2, 2), "w": (1, 4, 2), "r": (1, 4, 1)}
    values = {name: generator.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    assert [value.name for value in result.graph.outputs] == ["y", "c", "loss", "d_x"]
    for name in ("y", "c", "loss"):
        np.testing.assert_allclose(run(result, values, name), run(model, values, name), rtol=1e-5, atol=1e-6)
    onnx.checker.check_model(ir.to_proto(result), full_check=True)


def test_the_layer_stays_and_a_long_sequence_costs_no_nodes() -> None:
    body = (
        "g (float[{steps},2,2] x, float[1,4,2] w, float[1,4,1] r) => (float loss) "
        "{{ , h = LSTM <hidden_size=1> (x, w, r) loss = ReduceSum <keepdims=0> (h) }}"
    )
    short, long = (gradient(parsed(body.format(steps=steps)), "loss", "x") for steps in (2, 2000))
    assert op_types(short) == op_types(long)
    assert op_types(long).count("LSTM") == 1
    assert op_types(long).count("Scan") == 2
    generator = np.random.default_rng(0)
    shapes = {"x": (2000, 2, 2), "w": (1, 4, 2), "r": (1, 4, 1)}
    values = {name: generator.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    assert np.isfinite(run(long, values, "d_x")).all()


BODY = (
    "g (float[3,2,2] x, float[1,4,2] w, float[1,4,1] r) => (float loss) "
    "{{ y = LSTM <hidden_size=1{more}> (x, w, r) loss = ReduceSum <keepdims=0> (y) }}"
)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            ', activations=["Sigmoid", "Swish", "Tanh"]',
            "LSTM node 'y' has activation 'Swish'; allowed are Affine, Elu, HardSigmoid, LeakyRelu, Relu, ScaledTanh, "
            "Sigmoid, Softplus, Softsign, Tanh, ThresholdedRelu",
        ),
        (
            ', direction="backward"',
            "LSTM node 'y' has direction 'backward'; allowed are forward, reverse, bidirectional",
        ),
    ],
)
def test_a_layer_that_is_refused(more: str, message: str) -> None:
    assert refusal(BODY.format(more=more)) == message


@pytest.mark.parametrize("op", GATE_ORDER)
def test_the_check_of_the_command_knows_the_layers(op: str) -> None:
    layer = _layer(op, is_bidirectional=True)
    model = ir.from_proto(_model(op, layer, np.ones((1, 2, 1, SIZE)), kind=np.float32))
    shapes = {"x": (STEPS, BATCH, FEATURES), "n": (BATCH,)}
    result = gradient(model, "loss", "x", shapes=shapes)
    (agreement,) = check_gradient(result, ["loss"], ["x"], feeds={"n": LENGTHS})
    assert agreement.is_good
    assert agreement.norm > 0
