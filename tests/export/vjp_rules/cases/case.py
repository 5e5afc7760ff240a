"""A node with its inputs and attributes, and the model whose loss is a weighted sum of its outputs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from tests.export.vjp_rules.reference_ops import OPERATORS

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Case:
    """One use of an operator.

    Attributes:
        op: operator type.
        inputs: one array per input, None where one is left out; float64 arrays take the type of the check, others stay.
        wrt: the inputs whose gradient is checked; all others are constants of the model.
        attributes: of the node.
        opset: of the model.
        outputs: how many the node has.
        measured: those that the loss depends on.
        note: tells cases of one operator apart.
        in_ort: whether ONNX Runtime can run the forward node.
    """

    op: str
    inputs: tuple[Array | None, ...]
    wrt: tuple[int, ...] = (0,)
    attributes: Mapping[str, Any] = field(default_factory=dict)
    opset: int = 21
    outputs: int = 1
    measured: tuple[int, ...] = (0,)
    note: str = ""
    in_ort: bool = True

    def __str__(self) -> str:
        shapes = ",".join(
            "-" if value is None else "x".join(map(str, value.shape)) or "scalar" for value in self.inputs
        )
        parts = [f"{name}={value}" for name, value in self.attributes.items()]
        return " ".join([self.op, shapes, *parts, *([self.note] if self.note else []), f"opset{self.opset}"])


def case(op: str, *inputs: Array | Sequence[int] | float | None, **settings: Any) -> Case:
    """Return a case; a list of ints is an int64 input, settings that are no field of Case are attributes."""
    own = {
        name: settings.pop(name)
        for name in ("wrt", "opset", "outputs", "measured", "note", "in_ort")
        if name in settings
    }
    arrays = tuple(value if value is None or isinstance(value, np.ndarray) else np.array(value) for value in inputs)
    return Case(op, arrays, attributes=settings, **own)


def random(*shape: int, seed: int = 0, low: float = -2.0, high: float = 2.0) -> Array:
    """Return numbers between low and high, none of them near an integer or a half, so that no kink is near."""
    generator = np.random.default_rng(seed + sum(shape))
    values = generator.uniform(low, high, shape)
    halves = np.round(values * 2) / 2
    return np.where(np.abs(values - halves) < 0.02, values + 0.05, values)


def distinct(*shape: int, seed: int = 0) -> Array:
    """Return numbers between -1 and 1 in random order, every two of them apart."""
    count = int(np.prod(shape))
    order = np.random.default_rng(seed).permutation(count)
    return ((order + 0.5) / count * 2 - 1).reshape(shape)


def forward_model(case: Case, dtype: type[np.floating[Any]]) -> onnx.ModelProto:
    """Return the model of the node alone: inputs ``x0``, ``x1`` ... (those of wrt), outputs ``y0`` ..."""
    node, inputs, initializers = _parts(case, dtype)
    names = [f"y{index}" for index in range(case.outputs)]
    outputs = [helper.make_value_info(name, onnx.TypeProto()) for name in names]
    return _model(case, [node], inputs, outputs, initializers)


def loss_model(case: Case, dtype: type[np.floating[Any]]) -> onnx.ModelProto:
    """Return the model with the output ``loss``: the sum of the measured outputs times fixed random weights."""
    node, inputs, initializers = _parts(case, dtype)
    values: Any = ReferenceEvaluator(forward_model(case, np.float64), new_ops=OPERATORS).run(
        None, feeds(case, np.float64)
    )
    nodes, totals = [node], []
    for index in case.measured:
        weights = random(*np.shape(values[index]), seed=99 + index).astype(dtype)
        initializers.append(numpy_helper.from_array(weights, f"weights{index}"))
        nodes.append(helper.make_node("Mul", [f"y{index}", f"weights{index}"], [f"weighted{index}"]))
        nodes.append(helper.make_node("ReduceSum", [f"weighted{index}"], [f"total{index}"], keepdims=0))
        totals.append(f"total{index}")
    nodes.append(helper.make_node("Sum", totals, ["loss"]))
    loss = helper.make_tensor_value_info("loss", helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), [])
    return _model(case, nodes, inputs, [loss], initializers)


def feeds(case: Case, dtype: type[np.floating[Any]]) -> dict[str, Array]:
    """Return the values of the model's inputs."""
    return {f"x{index}": _typed(case.inputs[index], dtype) for index in case.wrt}


def _parts(
    case: Case, dtype: type[np.floating[Any]]
) -> tuple[onnx.NodeProto, list[onnx.ValueInfoProto], list[onnx.TensorProto]]:
    names = ["" if value is None else f"x{index}" for index, value in enumerate(case.inputs)]
    node = helper.make_node(case.op, names, [f"y{index}" for index in range(case.outputs)], "tested", **case.attributes)
    inputs, initializers = [], []
    for index, value in enumerate(case.inputs):
        if value is None:
            continue
        array = _typed(value, dtype)
        if index in case.wrt:
            kind = helper.np_dtype_to_tensor_dtype(array.dtype)
            inputs.append(helper.make_tensor_value_info(f"x{index}", kind, array.shape))
        else:
            initializers.append(numpy_helper.from_array(array, f"x{index}"))
    return node, inputs, initializers


def _typed(value: Array | None, dtype: type[np.floating[Any]]) -> Array:
    assert value is not None
    return value.astype(dtype) if value.dtype == np.float64 else value


def _model(
    case: Case,
    nodes: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
    initializers: list[onnx.TensorProto],
) -> onnx.ModelProto:
    graph = helper.make_graph(nodes, "case", inputs, outputs, initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", case.opset)], ir_version=10)
