"""Reading nodes: what a rule may ask of a node, its inputs and their shapes, and the errors where it is not known."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import onnx_ir as ir

from impasto.export.vjp_rules.errors import FIX_SIZES, GradientError
from impasto.export.vjp_rules.folding import folded

Present = TypeVar("Present")


def given(value: Present | None) -> Present:
    """Return an input or cotangent that the operator's definition requires."""
    if value is None:
        raise GradientError("the model leaves out an input that is not optional; check it with onnx.checker")
    return value


def numpy_dtype(value: ir.Value) -> np.dtype:
    """Return the numpy dtype of a value."""
    if value.dtype is None:
        raise GradientError(f"the type of {value.name!r} is not known; give the model's inputs a type")
    return np.dtype(value.dtype.numpy())


def static_shape(node: ir.Node, value: ir.Value | None) -> tuple[int, ...]:
    """Return the shape of a value as integers.

    Raises:
        GradientError: a size is not known; the message names the node and what to do.
    """
    sizes = None if value is None else known_sizes(value)
    if sizes is None:
        shown = "unknown" if value is None or value.shape is None else str(value.shape)
        name = None if value is None else value.name
        raise GradientError(f"{describe(node)} needs a static shape of {name!r}, which is {shown}; {FIX_SIZES}")
    return tuple(sizes)


def static_size(node: ir.Node, value: ir.Value | None, axis: int) -> int:
    """Return one size of a value.

    Raises:
        GradientError: it is not known.
    """
    size = None if value is None else known_size(value, axis)
    return static_shape(node, value)[axis] if size is None else size


def known_sizes(value: ir.Value) -> Sequence[int] | None:
    """Return the shape of a value as integers, None where a size is not known."""
    shape = value.shape
    return [int(size) for size in shape] if shape is not None and shape.is_static() else None  # type: ignore[arg-type]


def known_size(value: ir.Value, axis: int) -> int | None:
    """Return one size of a value, None where it is not known."""
    if value.shape is None:
        return None
    size = value.shape[axis]
    return size if isinstance(size, int) else None


def rank(node: ir.Node, value: ir.Value | None) -> int:
    """Return the number of axes of a value.

    Raises:
        GradientError: it is not known.
    """
    if value is None or value.shape is None:
        name = None if value is None else value.name
        raise GradientError(
            f"{describe(node)} needs the rank of {name!r}, which is unknown; give the model's inputs a shape"
        )
    return len(value.shape)


def constant_array(node: ir.Node, index: int) -> np.ndarray | None:
    """Return an input that must be a constant, None where it is absent.

    Raises:
        GradientError: it is computed at run time.
    """
    value = node.inputs[index] if index < len(node.inputs) else None
    if value is None:
        return None
    content = folded(value)
    if content is None:
        raise GradientError(
            f"{describe(node)} has input {index} ({value.name!r}) computed at run time; its gradient needs a constant: "
            "fix the sizes of the model's inputs and fold the constants"
        )
    return content


def constant_ints(node: ir.Node, index: int) -> list[int] | None:
    """Return an integer input that must be a constant as a flat list, None where it is absent."""
    array = constant_array(node, index)
    return None if array is None else [int(item) for item in array.ravel()]


def describe(node: ir.Node) -> str:
    """Name a node for an error message by its operator and its name, or its first output where it has none."""
    operator = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
    return f"{operator} node {node.name or node.outputs[0].name!r}"


def has_subgraphs(graph: ir.Graph) -> bool:
    """Whether a graph has nodes with graphs of their own: If, Loop, Scan."""
    return next(iter(graph.subgraphs()), None) is not None
