"""What the rewrites of all providers share: nodes put in the place of another, and the mask of a ReLU."""

from collections.abc import Iterable, Sequence

import numpy as np
import onnx_ir as ir

from impasto.export.vjp_rules.inspection import given, known_sizes
from impasto.export.vjp_rules.linear import is_transpose

MATRIX_AXES = 3  # of a batch of matrices
_REPEATS = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}


class Inserter:
    """Puts nodes before a given one, named after its result."""

    def __init__(self, graph: ir.Graph, before: ir.Node) -> None:
        self._graph, self._before = graph, before
        self._prefix, self._count = before.outputs[0].name, 0

    def __call__(
        self,
        op_type: str,
        *inputs: ir.Value | None,
        like: ir.Value | None = None,
        dtype: ir.DataType | None = None,
        **attributes: float | Sequence[int],
    ) -> ir.Value:
        """Insert a node and return its result, of the shape and type of ``like``, or of another ``dtype``.

        Without either it is float32, of a shape still to be inferred.
        """
        made = ir.node(op_type, list(inputs), dict(attributes), num_outputs=1)
        self._graph.insert_before(self._before, made)
        result = made.outputs[0]
        result.name, result.shape = self._name(), None if like is None else like.shape
        result.type = like.type if like is not None and dtype is None else ir.TensorType(dtype or ir.DataType.FLOAT)
        return result

    def integers(self, values: Sequence[int]) -> ir.Value:
        """Return a constant."""
        name = self._name()
        value = ir.val(name, const_value=ir.tensor(np.array(values, np.int64), name=name))
        self._graph.register_initializer(value)
        return value

    def take_over(self, value: ir.Value) -> None:
        """Put a value in the place of the node's result, under its name; the node is removed."""
        old = self._before.outputs[0]
        value.name, value.shape, old.name = old.name, old.shape, f"{old.name}.replaced"
        old.replace_all_uses_with(value, replace_graph_outputs=True)
        self._graph.remove(self._before, safe=True)

    def _name(self) -> str:
        self._count += 1
        return f"{self._prefix}.lowered_{self._count}"


def cast_of(value: ir.Value, dtype: ir.DataType, name: str | None) -> ir.Node:
    """Return a cast of a value, not yet in a graph; its result has the name."""
    cast = ir.node("Cast", [value], {"to": dtype}, num_outputs=1)
    result = cast.outputs[0]
    result.name, result.type, result.shape = name, ir.TensorType(dtype), value.shape
    return cast


def cast_for(
    graph: ir.Graph, uses: Iterable[tuple[ir.Node, int]], value: ir.Value, dtype: ir.DataType, own_name: str
) -> None:
    """Give some uses of a node's result, and the graph's output, a cast of it under its name; it gets its own name."""
    name, value.name = value.name, own_name
    cast = cast_of(value, dtype, name)
    result = cast.outputs[0]
    graph.insert_after(given(value.producer()), cast)
    for user, index in uses:
        user.replace_input_with(index, result)
    graph.outputs[:] = [result if output is value else output for output in graph.outputs]


def masked_relu(node: ir.Node | None) -> ir.Value | None:
    """Return y of Greater(y, 0) where y is a ReLU's result; None for any other node."""
    if node is None or node.op_type != "Greater" or not is_zero(node.inputs[1]):
        return None
    relu = producer(node.inputs[0])
    return node.inputs[0] if relu is not None and relu.op_type == "Relu" else None


def is_zero(value: ir.Value | None) -> bool:
    """Return whether a value is a constant of one element, 0."""
    tensor = value.const_value if value is not None else None
    return tensor is not None and tensor.size == 1 and not np.any(tensor.numpy())


def is_symmetric(value: ir.Value | None) -> bool:
    """Return whether a value is Add(x, Transpose(x)) of matrices, or that in the other order."""
    add = producer(value)
    if add is None or add.op_type != "Add":
        return False
    a, b = map(given, add.inputs)
    return is_transpose(a, b, MATRIX_AXES) or is_transpose(b, a, MATRIX_AXES)


def repeats_pixels(node: ir.Node) -> bool:
    """Return whether a Resize takes the nearest pixel above and to the left, which repeats pixels at whole scales."""
    return all(node.attributes.get_string(name, "") == value for name, value in _REPEATS.items())


def producer(value: ir.Value | None) -> ir.Node | None:
    """Return the node that makes a value; None for an input, a constant or no value."""
    return value.producer() if value is not None else None


def sizes_of(value: ir.Value | None) -> tuple[int, ...] | None:
    """Return a static shape; None where it is not known."""
    sizes = known_sizes(value) if value is not None else None
    return None if sizes is None else tuple(sizes)
