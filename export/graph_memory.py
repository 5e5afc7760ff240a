"""How much memory the values of a graph take while it runs, computed from its static shapes alone.

Nodes are walked in the graph's order. A value lives from its node to its last reader, and the most that lives at any
time is what an evaluation needs. As runtimes do it,

- an elementwise node writes over an operand that is read for the last time, so that a convolution and its ReLU are one;
- a node that only names its operand anew (Reshape and its kind) takes nothing;
- what depends on weights alone is computed before the first run, and counts as weights;
- the project's own convolutions (`impasto.export.lowering.native`) keep their weights transformed, beside the others.
"""

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx_ir as ir

VIEWS = frozenset(("Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze"))
TRANSFORMED = {"Conv3x3": 4, "Conv3x3Gradient": 4}
"""Operators of the project that keep a copy of their weights, and how many times as large it is: 36 values of 9."""
IN_PLACE = frozenset(
    ("Add", "Cast", "Clip", "Div", "HardSigmoid", "Mul", "Neg", "Relu", "Sigmoid", "Sqrt", "Sub", "Tanh", "Where")
)


@dataclass(frozen=True)
class GraphMemory:
    """What a graph takes.

    Attributes:
        activations: bytes of the values that live at the same time, at most; inputs, outputs and weights left out.
        weights: bytes of the constants that the other nodes read.
        bound: bytes of its inputs and outputs.
        transformed: bytes of the weights that the project's own convolutions keep in their form.
    """

    activations: int
    weights: int
    bound: int
    transformed: int = 0


def graph_memory(model: "ir.Model") -> GraphMemory:
    """Return what a model takes; values without a shape are given theirs, in place.

    Raises:
        ValueError: the size of a value is not known.
        GradientError: the model is not valid.
    """
    graph = model.graph
    if any(value.shape is None for node in graph for value in node.outputs):
        from impasto.export.shape_inference import infer_shapes

        infer_shapes(model)
    constants = constant_values(graph)
    nodes = [node for node in graph if not constants.issuperset(node.outputs)]
    bound = {value for value in (*graph.inputs, *graph.outputs) if value not in constants}
    read = {value for node in nodes for value in node.inputs if value is not None}
    return GraphMemory(
        activations=_most_alive(nodes, constants | bound),
        weights=sum(_bytes(value) for value in constants & read),
        bound=sum(_bytes(value) for value in bound),
        transformed=sum(map(_transformed, nodes)),
    )


def _transformed(node: "ir.Node") -> int:
    """Return the bytes of the weights that a node keeps beside the graph's."""
    weights = node.inputs[1] if node.op_type in TRANSFORMED else None
    return 0 if weights is None else TRANSFORMED[node.op_type] * _bytes(weights)


def constant_values(graph: "ir.Graph") -> "set[ir.Value]":
    """Return the weights of a graph, and what depends on them alone."""
    constants = set(graph.initializers.values())
    for node in graph:
        if all(value in constants for value in node.inputs if value is not None):
            constants.update(node.outputs)
    return constants


def _most_alive(nodes: "list[ir.Node]", elsewhere: "set[ir.Value]") -> int:
    """Return the most bytes alive at the same time, but for values that have their memory elsewhere."""
    readers = Counter(value for node in nodes for value in node.inputs if value is not None)
    place: dict[ir.Value, ir.Value] = {}  # the value whose memory a value is in
    left: Counter[ir.Value] = Counter()  # readers to come, by the value whose memory it is
    now = most = 0
    for node in nodes:
        reads = Counter(place[value] for value in node.inputs if value is not None and value in place)
        for value in node.outputs:
            if value in elsewhere:
                continue
            place[value] = _operand(node, value, reads, left) or value
            if place[value] is value:
                now += _bytes(value)
            left[place[value]] += readers[value]
        most = max(most, now)
        unread = [value for value in node.outputs if value in place and not left[place[value]]]
        left.subtract(reads)
        for memory in {*reads, *unread}:
            if not left[memory]:
                now -= _bytes(memory)
    return most


def _operand(
    node: "ir.Node", value: "ir.Value", reads: "Counter[ir.Value]", left: "Counter[ir.Value]"
) -> "ir.Value | None":
    """Return the operand in whose memory a result is; None where it needs its own."""
    for memory in reads:
        if node.op_type in VIEWS:
            return memory
        if node.op_type in IN_PLACE and left[memory] == reads[memory] and _bytes(memory) == _bytes(value):
            return memory
    return None


def _bytes(value: "ir.Value") -> int:
    tensor = value.const_value
    if tensor is not None:
        return int(tensor.nbytes)
    if value.dtype is None or value.shape is None or not all(isinstance(side, int) for side in value.shape):
        raise ValueError(f"the size of {value.name} is not known: {value.dtype} {value.shape}")
    return math.ceil(math.prod(int(str(side)) for side in value.shape) * value.dtype.itemsize)
