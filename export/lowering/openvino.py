"""What OpenVINO runs faster on processors with bfloat16.

It computes their convolutions with the channels last in memory. A Gram matrix of feature maps that are flattened
channels first needs them reordered, and its gradient needs it back; flattened channels last, both are free. The plain
mask of a ReLU, Where(Greater(y, 0), d, 0), is the right one here: the forms that are faster elsewhere are not.
"""

import numpy as np
import onnx_ir as ir
from onnx_ir.passes import common

from impasto.export.preparation import infer_shapes

CHANNELS_LAST, CHANNELS_FIRST, TRANSPOSED = (0, 2, 3, 1), (0, 3, 1, 2), (0, 2, 1)


def lower_for_openvino(model: ir.Model) -> None:
    """Rewrite a model in place.

    Args:
        model: float32, with static shapes.
    """
    infer_shapes(model)
    for node in list(model.graph):
        if _is_gram(node):
            _flatten_channels_last(model.graph, node)
    common.RemoveUnusedNodesPass()(model)


def _is_gram(node: ir.Node) -> bool:
    """Return whether a node is MatMul(f, Transpose(f)) where f = Reshape(F) has the channels first."""
    if node.op_type != "MatMul" or node.inputs[0] is None or node.inputs[1] is None:
        return False
    flat, transpose = node.inputs[0], node.inputs[1].producer()
    if transpose is None or transpose.op_type != "Transpose" or transpose.inputs[0] is not flat:
        return False
    reshape = flat.producer()
    if reshape is None or reshape.op_type != "Reshape":
        return False
    before, after = _sizes(reshape.inputs[0]), _sizes(flat)
    if before is None or after is None or len(before) != 4:
        return False
    batch, channels, height, width = before
    return after == (batch, channels, height * width)


def _flatten_channels_last(graph: ir.Graph, gram: ir.Node) -> None:
    """Put MatMul(Transpose(f), f) with f = Reshape(Transpose(F)) in its place, and the like for its gradient."""
    flat = gram.inputs[0]
    features = _producer(flat).inputs[0]
    sizes = _sizes(features)
    if flat is None or features is None or sizes is None:
        return
    batch, channels, height, width = sizes
    backward = [user for user, index in flat.uses() if user.op_type == "MatMul" and index == 1]
    emit = _Inserter(graph, f"{flat.name}.last", gram)
    rows = emit.transpose(features, CHANNELS_LAST)
    rows = emit.reshape(rows, (batch, height * width, channels))
    product = emit.op("MatMul", emit.transpose(rows, TRANSPOSED), rows)
    _take_over(gram, product)
    for node in backward:
        restored = _restored(node, sizes)
        if restored is not None:
            emit = _Inserter(graph, f"{node.outputs[0].name}.last", restored)
            left = node.inputs[0]
            other = left if _is_symmetric(left) else emit.transpose(left, TRANSPOSED)
            d_rows = emit.op("MatMul", rows, other)
            d_rows = emit.reshape(d_rows, (batch, height, width, channels))
            _take_over(restored, emit.transpose(d_rows, CHANNELS_FIRST))


class _Inserter:
    """Puts nodes before a given one, with names made from a prefix."""

    def __init__(self, graph: ir.Graph, prefix: str, before: ir.Node) -> None:
        self._graph, self._prefix, self._before = graph, prefix, before
        self._count = 0

    def op(self, op_type: str, *inputs: ir.Value | None, **attributes: tuple[int, ...]) -> ir.Value:
        """Insert a node and return its result."""
        made = ir.node(op_type, list(inputs), dict(attributes), num_outputs=1)
        self._graph.insert_before(self._before, made)
        made.outputs[0].name = f"{self._prefix}.{self._count}"
        made.outputs[0].type = ir.TensorType(ir.DataType.FLOAT)
        self._count += 1
        return made.outputs[0]

    def transpose(self, value: ir.Value | None, axes: tuple[int, ...]) -> ir.Value:
        """Insert a transposition."""
        return self.op("Transpose", value, perm=axes)

    def reshape(self, value: ir.Value, sizes: tuple[int, ...]) -> ir.Value:
        """Insert a change of shape."""
        name = f"{self._prefix}.sizes_{self._count}"
        shape = ir.Value(name=name, shape=ir.Shape((len(sizes),)), type=ir.TensorType(ir.DataType.INT64))
        shape.const_value = ir.tensor(np.array(sizes, np.int64), name=name)
        self._graph.register_initializer(shape)
        return self.op("Reshape", value, shape)


def _restored(node: ir.Node, sizes: tuple[int, ...]) -> ir.Node | None:
    """Return the Reshape that alone reads a node's result and gives it the features' shape; None otherwise."""
    uses = list(node.outputs[0].uses())
    if len(uses) != 1 or uses[0][0].op_type != "Reshape" or node.outputs[0].is_graph_output():
        return None
    return uses[0][0] if _sizes(uses[0][0].outputs[0]) == sizes else None


def _is_symmetric(value: ir.Value | None) -> bool:
    """Return whether a value is Add(x, Transpose(x)), or that in the other order."""
    add = value.producer() if value is not None else None
    if add is None or add.op_type != "Add":
        return False
    for x, other in ((add.inputs[0], add.inputs[1]), (add.inputs[1], add.inputs[0])):
        producer = other.producer() if other is not None else None
        if producer is not None and producer.op_type == "Transpose" and producer.inputs[0] is x:
            return True
    return False


def _take_over(node: ir.Node, value: ir.Value) -> None:
    """Let a value have the place and the name of a node's result; the node is left unused."""
    old = node.outputs[0]
    value.shape, name = old.shape, old.name
    old.name = f"{name}.unused"
    value.name = name
    old.replace_all_uses_with(value, replace_graph_outputs=True)


def _producer(value: ir.Value | None) -> ir.Node:
    producer = value.producer() if value is not None else None
    if producer is None:
        raise ValueError("a value that a node should have made is an input")
    return producer


def _sizes(value: ir.Value | None) -> tuple[int, ...] | None:
    """Return a static shape; None where it is not known."""
    if value is None or value.shape is None or not value.shape.is_static():
        return None
    return tuple(int(size) for size in value.shape.numpy())
