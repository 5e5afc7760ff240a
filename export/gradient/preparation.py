"""A model made ready for differentiation: functions inlined, opset 13 or later, types and shapes known."""

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
import onnx_ir as ir
from onnx_ir.passes import common

from impasto.export.gradient.constant_folding import fold_constants
from impasto.export.gradient.control_flow import inline_branches
from impasto.export.gradient.model_structure import put_in_order
from impasto.export.gradient.splicing import name_apart
from impasto.export.library_errors import explained
from impasto.export.shape_inference import infer_shapes
from impasto.export.vjp_rules import GradientError
from impasto.export.vjp_rules.errors import FIX_SIZES
from impasto.export.vjp_rules.inspection import has_subgraphs

OLDEST_OPSET = 13  # the first in which Squeeze, Unsqueeze and ReduceSum take their axes as an input
CONVERTED_OPSET = 18


def prepared(
    model: ir.Model, shapes: Mapping[str, Sequence[int]], values: Mapping[str, float] | None = None
) -> ir.Model:
    """Return a copy of a model, weights shared, with its own functions inlined and types and shapes inferred.

    The model's own nodes are sorted in place. ``shapes`` are sizes for inputs whose own are free, and
    ``values`` are numbers for inputs that become constants.

    Raises:
        GradientError: the model is older than opset 13 and cannot be converted, is not valid, or has no input of
            the name or shape.
    """
    put_in_order(model)
    copy = model.clone()
    _free_negative_sizes(copy.graph)
    if shapes:
        _fix_shapes(copy, shapes)
    _fix_values(copy, values or {})
    if copy.functions:
        common.InlinePass()(copy)
    if copy.opset_imports.get("", 1) < OLDEST_OPSET:
        copy = _converted(copy)
    if has_subgraphs(copy.graph):
        name_apart(copy)
    for part in copy.graph.subgraphs():
        part.opset_imports.update(copy.opset_imports)
    if not _all_known(copy):
        infer_shapes(copy)
    return copy


def simplify(model: ir.Model) -> None:
    """Compute what is constant, take the branches that are decided, and infer the shapes again, in place.

    Raises:
        GradientError: the model is not valid.
    """
    while inline_branches(model) | fold_constants(model):
        infer_shapes(model)


def _all_known(model: ir.Model) -> bool:
    """Whether every value has a type and a shape."""
    return all(
        value.shape is not None and value.dtype is not None
        for node in model.graph.all_nodes()
        for value in node.outputs
        if value.name
    )


def _free_negative_sizes(graph: ir.Graph) -> None:
    """Make sizes of -1, which some exporters write, free ones, and name the free ones of the inputs, in place.

    A size with a name is known to equal itself.
    """
    inputs = set(graph.inputs)
    for part in (graph, *graph.subgraphs()):
        for value in (*part.inputs, *part.outputs, *(value for node in part for value in node.outputs)):
            if value.shape is None:
                continue
            sizes: list[int | ir.SymbolicDim | str | None] = list(value.shape)
            for axis, size in enumerate(value.shape):
                if size.value is None if isinstance(size, ir.SymbolicDim) else size < 0:
                    sizes[axis] = f"{value.name}.{axis}" if value in inputs else None
            value.shape = ir.Shape(sizes)


def _fix_shapes(model: ir.Model, shapes: Mapping[str, Sequence[int]]) -> None:
    """Set the shapes of inputs, in place, and forget all shapes that were inferred from others.

    An output that is declared to be one number stays so.
    """
    inputs = {value.name or "": value for value in model.graph.inputs if value.name not in model.graph.initializers}
    for name, shape in shapes.items():
        if name not in inputs:
            raise GradientError(f"the model has no input {name!r} to fix the shape of; it has {', '.join(inputs)}")
        own, value = inputs[name].shape, inputs[name]
        if own is not None and (
            len(own) != len(shape)
            or any(isinstance(size, int) and size != wanted for size, wanted in zip(own, shape, strict=True))
        ):
            wanted = "x".join(map(str, shape))
            raise GradientError(
                f"input {name!r} has shape {own}, which cannot become {wanted}; only free sizes can be fixed"
            )
        value.shape = ir.Shape(shape)
    for node in model.graph.all_nodes():
        for value in node.outputs:
            if not (value.is_graph_output() and _is_one(value)):
                value.shape = None


def _fix_values(model: ir.Model, values: Mapping[str, float]) -> None:
    """Make inputs constants, every element the same number, in place."""
    inputs = {value.name or "": value for value in model.graph.inputs if value.name not in model.graph.initializers}
    for name, number in values.items():
        if name not in inputs:
            raise GradientError(f"the model has no input {name!r} to fix the value of; it has {', '.join(inputs)}")
        value = inputs[name]
        if value.dtype is None or value.shape is None or not value.shape.is_static():
            raise GradientError(f"input {name!r} has shape {value.shape}; {FIX_SIZES}, and then its value")
        content = np.full(value.shape.numpy(), number, value.dtype.numpy())
        if not np.all(content == number) and value.dtype.is_integer():
            raise GradientError(f"input {name!r} has type {value.dtype.name}, which {number} is not")
        value.const_value = ir.tensor(content, name=name)
        model.graph.inputs.remove(value)
        model.graph.register_initializer(value)


def _is_one(value: ir.Value) -> bool:
    """Whether a value is declared to have one element."""
    return value.shape is not None and all(size == 1 for size in value.shape)


def _converted(model: ir.Model) -> ir.Model:
    """Return the model in a later opset."""
    version = model.opset_imports.get("", 1)
    try:
        return ir.from_proto(onnx.version_converter.convert_version(ir.to_proto(model), CONVERTED_OPSET))
    except Exception as error:  # RuntimeError, ConvertError or ValueError, depending on the operator
        raise GradientError(
            f"the model has opset {version}, which cannot be converted to {CONVERTED_OPSET}: {explained(error)}; "
            f"export it again with opset {CONVERTED_OPSET} or later"
        ) from error
