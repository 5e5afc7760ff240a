"""Writing nodes: what a rule uses to emit its part of the gradient.

Operands are values or plain Python: a float becomes a scalar of the dtype of the node's first float operand, a list
of ints an int64 vector, an array an initializer as it is. Equal constants are kept once. Every emitted value has a
readable, unique name and a dtype; its shape is left to shape inference.
"""

from collections.abc import Iterable, Sequence
from typing import cast

import numpy as np
import onnx_ir as ir

from impasto.export.vjp_rules.inspection import given, known_sizes, numpy_dtype

Operand = ir.Value | float | Sequence[int] | np.ndarray | None

_BOOLEAN = frozenset(("And", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Not", "Or"))
_INTEGER = frozenset(("ArgMax", "ArgMin", "Shape", "Size"))


class Emission:
    """Appends nodes and constants to a graph, named after the value that is differentiated at the moment."""

    def __init__(self, graph: ir.Graph, names: Iterable[str], opset: int) -> None:
        """Append to ``graph``; ``names`` are taken already; ``opset`` is the model's, of the default domain."""
        self.opset = opset
        self.scope = "gradient"
        self._graph = graph
        self.names = set(names)
        self._nodes: list[ir.Node] = []
        self._expanded: dict[ir.Value, Sequence[int]] = {}
        self._constants: dict[object, ir.Value] = {}

    def op(self, op_type: str, *operands: Operand, **attributes: object) -> ir.Value:
        """Append one node and return its output."""
        narrow = self._multiplied_narrow(op_type, operands) if op_type in ("Mul", "Div") else None
        if narrow is not None:
            return narrow
        (value,) = self._append(op_type, operands, attributes)
        if op_type == "Expand" and isinstance(operands[1], list):
            self._expanded[value] = operands[1]
        return value

    def ops(self, op_type: str, operands: Sequence[Operand], count: int, **attributes: object) -> Sequence[ir.Value]:
        """Append one node with so many outputs and return them; their types may be left to the caller."""
        return self._append(op_type, operands, attributes, count)

    def split(self, value: ir.Value, count: int, axis: int, sizes: Operand = None) -> Sequence[ir.Value]:
        """Append a Split into so many parts, equal ones without ``sizes``, and return them."""
        number = count if self.opset >= 18 and sizes is None else None
        return self._append("Split", (value, sizes), {"axis": axis, "num_outputs": number}, count)

    def remove_unused(self) -> None:
        """Remove the emitted nodes and constants that lead to no output."""
        for node in reversed(self._nodes):
            if not any(value.uses() or value.is_graph_output() for value in node.outputs):
                self._graph.remove(node, safe=True)
        for constant in self._constants.values():
            if not constant.uses() and not constant.is_graph_output():
                self._graph.initializers.pop(constant.name or "")

    def constant(self, array: np.ndarray, name: str | None = None) -> ir.Value:
        """Return the initializer of this content, made at first use."""
        key = (array.dtype.name, array.shape, array.tobytes())
        if key not in self._constants:
            name = unique_name(name or _constant_name(array), self.names)
            value = ir.val(name, const_value=ir.tensor(array, name=name))
            self._graph.register_initializer(value)
            self._constants[key] = value
        return self._constants[key]

    def array(self, values: np.ndarray | float, like: ir.Value, name: str | None = None) -> ir.Value:
        """Return a constant of the dtype of another value."""
        return self.constant(np.asarray(values).astype(numpy_dtype(like)), name)

    def cast(self, value: ir.Value, like: ir.Value) -> ir.Value:
        """Emit a change of type where there is one."""
        return value if value.dtype == like.dtype else self.op("Cast", value, to=like.dtype)

    def reduce(self, op_type: str, value: ir.Value, axes: Sequence[int], *, keepdims: int = 1) -> ir.Value:
        """Emit a reduction; its axes became an input in opset 18, those of ReduceSum in 13. No axes: of a scalar."""
        if not axes:
            return value
        if self.opset >= 18 or op_type == "ReduceSum":
            return self.op(op_type, value, list(axes), keepdims=keepdims)
        return self.op(op_type, value, axes=list(axes), keepdims=keepdims)

    def shape_of(self, value: ir.Value) -> ir.Value | Sequence[int]:
        """Return the shape of a value as an operand: a constant where it is static, else a Shape node."""
        sizes = known_sizes(value)
        return self.op("Shape", value) if sizes is None else sizes

    def _append(
        self, op_type: str, operands: Sequence[Operand], attributes: dict[str, object], count: int = 1
    ) -> Sequence[ir.Value]:
        """Append one node and return its outputs, of one type."""
        dtype = _float_dtype(operands)
        inputs = [self._value(operand, dtype) for operand in operands]
        while inputs and inputs[-1] is None:
            inputs.pop()
        kept = {name: value for name, value in attributes.items() if value is not None}
        node = ir.node(op_type, inputs, attributes=kept, num_outputs=count)  # type: ignore[arg-type]
        node.name = unique_name(f"{self.scope}.{op_type}", self.names)
        result = _output_dtype(op_type, kept, inputs, dtype)
        for number, value in enumerate(node.outputs):
            value.name = unique_name(f"{node.name}.{number}", self.names) if number else node.name
            value.type = None if result is None else ir.TensorType(result)
        self._graph.append(node)
        self._nodes.append(node)
        return node.outputs

    def _multiplied_narrow(self, op_type: str, operands: Sequence[Operand]) -> ir.Value | None:
        """Multiply (or divide) what was expanded before it was: the gradient of a sum is one number.

        By a scalar, the product is expanded in its turn; by a value of the full shape it is full without.
        """
        for wide, other in (operands, operands[::-1])[: 2 if op_type == "Mul" else 1]:
            if not isinstance(wide, ir.Value) or wide not in self._expanded:
                continue
            expansion, sizes = given(wide.producer()), self._expanded[wide]
            others = known_sizes(other) if isinstance(other, ir.Value) else [] if isinstance(other, float) else None
            if others == []:
                return self.op("Expand", self.op(op_type, expansion.inputs[0], other), sizes)
            if others == sizes:
                return self.op(op_type, expansion.inputs[0], other)
        return None

    def _value(self, operand: Operand, dtype: ir.DataType | None) -> ir.Value | None:
        if operand is None or isinstance(operand, ir.Value):
            return operand
        if isinstance(operand, np.ndarray):
            return self.constant(operand)
        if isinstance(operand, float):
            if dtype is None:
                raise TypeError("a float operand needs another operand that is a float value")
            return self.constant(np.asarray(operand).astype(dtype.numpy()))
        return self.constant(np.array(operand, np.int64))


def taken_names(graph: ir.Graph) -> set[str]:
    """Return the names of all values, those of subgraphs included."""
    values = [value for node in graph.all_nodes() for value in node.outputs]
    for part in (graph, *graph.subgraphs()):
        values += [*part.inputs, *part.initializers.values()]
    return {value.name or "" for value in values}


def unique_name(name: str, names: set[str]) -> str:
    """Return the name, with a number appended where it is taken, and take it."""
    candidate, number = name, 1
    while candidate in names:
        candidate, number = f"{name}_{number}", number + 1
    names.add(candidate)
    return candidate


def _float_dtype(operands: Sequence[Operand]) -> ir.DataType | None:
    for operand in operands:
        if isinstance(operand, ir.Value) and operand.dtype is not None and operand.dtype.is_floating_point():
            return operand.dtype
        if isinstance(operand, np.ndarray) and operand.dtype.kind not in "iub":
            return ir.DataType.from_numpy(operand.dtype)
    return None


def _output_dtype(
    op_type: str, attributes: dict[str, object], inputs: Sequence[ir.Value | None], dtype: ir.DataType | None
) -> ir.DataType | None:
    if op_type in _BOOLEAN:
        return ir.DataType.BOOL
    if op_type in _INTEGER:
        return ir.DataType.INT64
    if op_type == "Cast":
        return ir.DataType(cast("int", attributes["to"]))
    return dtype if dtype is not None else inputs[0].dtype if inputs and inputs[0] is not None else None


def _constant_name(array: np.ndarray) -> str:
    if array.size > 8:
        return f"gradient.{array.dtype.name}_{'x'.join(map(str, array.shape))}"
    values = "_".join(f"{item:g}" if array.dtype.kind not in "iub" else str(item) for item in array.ravel().tolist())
    kind = "" if array.dtype.kind in "iub" else f"{array.dtype.name}_"
    return f"gradient.{kind}{values or 'empty'}"
