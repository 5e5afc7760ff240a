"""Reverse-mode differentiation as a graph transformation: a model gains an output ``d_<wrt>``.

The walk below knows no operator: it marks the nodes on a path from ``wrt`` to the loss, visits them backwards, asks
the table `impasto.export.vjp_rules` for the cotangents of their inputs, sums where several arrive, and undoes
broadcasting. The emitted nodes are operators of the default ONNX domain only, and read the model's own initializers,
so that every weight is in the file once.

Reverse mode on a graph: Griewank and Walther, "Evaluating Derivatives", section 3.2.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir as ir

from impasto.export.expansion import expand_functions
from impasto.export.gradient_path import differentiable_path, differentiable_positions, is_float
from impasto.export.preparation import prepared
from impasto.export.vjp_rules import RULES, Emission, GradientError, Rule, describe
from impasto.export.vjp_rules.emission import taken_names, unique_name
from impasto.export.vjp_rules.errors import FIX_SIZES
from impasto.export.vjp_rules.inspection import numpy_dtype

__all__ = ["GradientError", "gradient"]


def gradient(model: ir.Model, loss: str, wrt: str, *, shapes: Mapping[str, Sequence[int]] | None = None) -> ir.Model:
    """Return a copy of a model with one more output, ``d_<wrt>``: the derivative of an output with respect to an input.

    The loss is a scalar, or one number per sample, [N]: then the result is the gradient of their sum, which is every
    sample's own gradient as long as the model keeps samples apart.

    Args:
        model: any ONNX model, of opset 13 or later (older ones are converted); it is not changed, and its weights
            are shared with the result.
        loss: the name of an output, of floating-point type, with one element or of rank 1.
        wrt: the name of an input of floating-point type.
        shapes: sizes for inputs whose own are free; some rules need static ones.

    Returns:
        The model with its functions inlined and the output ``d_<wrt>``, of the input's type and shape, added last.

    Raises:
        GradientError: a name is unknown, the loss does not depend on the input or only through something without a
            derivative, an operator on the path has no rule, or a rule needs a size that is not static.
    """
    copy = prepared(model, shapes or {})
    source = _find(copy.graph.inputs, wrt, "input", copy)
    _check_loss(_find(copy.graph.outputs, loss, "output", copy))
    expand_functions(copy, source)
    target = _find(copy.graph.outputs, loss, "output", copy)
    names = taken_names(copy.graph)
    if f"d_{wrt}" in names:
        raise GradientError(f"the model already has a value named 'd_{wrt}'; rename it, the gradient takes this name")
    emit = Emission(copy.graph, names | {f"d_{wrt}"}, copy.opset_imports[""])
    nodes, active = differentiable_path(copy.graph, source, target)
    result = _walk(emit, nodes, active, source, target)
    output = emit.op("Identity", result) if _needs_identity(result, copy.graph) else result
    output.name, output.type = f"d_{wrt}", source.type
    output.shape = None if source.shape is None else source.shape.copy()
    copy.graph.outputs.append(output)
    emit.remove_unused()
    return copy


def _walk(
    emit: Emission, nodes: Sequence[ir.Node], active: set[ir.Value], source: ir.Value, target: ir.Value
) -> ir.Value:
    """Visit the nodes backwards and return the cotangent of the source."""
    emit.scope = f"d_{target.name}"
    cotangents = {target: _ones(emit, target)}
    named = {cotangents[target]}
    for node in nodes:
        arrived = [cotangents.pop(output, None) for output in node.outputs]
        if not any(arrived):  # a rule found a shorter way, or returned no cotangent
            continue
        for value, output in zip(arrived, node.outputs, strict=True):
            if value is not None:
                _settle(emit, value, output, named)
        emit.scope = f"d_{node.outputs[0].name}"
        rule = RULES[node.op_type]
        wanted = [
            value in active and position in differentiable_positions(rule, node)
            for position, value in enumerate(node.inputs)
        ]
        results = rule.function(emit, node, arrived, wanted)
        for value, cotangent, is_wanted in zip(node.inputs, results, wanted, strict=False):
            if value is None or cotangent is None or not is_wanted:
                continue
            repaired = _unbroadcast(emit, node, rule, cotangent, value)
            cotangents[value] = emit.op("Add", cotangents[value], repaired) if value in cotangents else repaired
    if source not in cotangents:  # every rule on the way returned no cotangent
        return emit.op("Expand", emit.array(0.0, source), emit.shape_of(source))
    return cotangents[source]


def _settle(emit: Emission, cotangent: ir.Value, primal: ir.Value, named: set[ir.Value]) -> None:
    """Name a complete cotangent after its primal, and give it the primal's shape."""
    if cotangent not in named:
        cotangent.name = unique_name(f"d_{primal.name}", emit.names)
        named.add(cotangent)
    cotangent.type = primal.type
    cotangent.shape = None if primal.shape is None else primal.shape.copy()


def _unbroadcast(emit: Emission, node: ir.Node, rule: Rule, cotangent: ir.Value, value: ir.Value) -> ir.Value:
    """Sum a cotangent over the axes along which its primal was broadcast: the only place that does so."""
    broadcast = cotangent.shape if cotangent.shape is not None else node.outputs[0].shape if rule.broadcasts else None
    if broadcast is None and not rule.broadcasts:
        return cotangent
    if broadcast is None or value.shape is None:
        raise GradientError(
            f"{describe(node)} may broadcast {value.name!r}, whose shape is unknown; give the model's inputs a shape"
        )
    extra = len(broadcast) - len(value.shape)
    axes = list(range(extra))
    for axis, size in enumerate(value.shape):
        wide = broadcast[axis + extra]
        if size == 1 and wide != 1:
            axes.append(axis + extra)
        elif isinstance(size, ir.SymbolicDim) and (size.value is None or size != wide):  # unnamed sizes may differ
            raise GradientError(
                f"{describe(node)} may broadcast {value.name!r}, of shape {value.shape}, to {broadcast}; {FIX_SIZES}"
            )
    if not axes:
        return cotangent
    summed = emit.op("ReduceSum", cotangent, axes, keepdims=0 if extra else 1)
    if extra and len(axes) > extra:
        return emit.op("Reshape", summed, emit.shape_of(value))
    return summed


def _find(values: Sequence[ir.Value], name: str, kind: str, model: ir.Model) -> ir.Value:
    """Return the floating-point input or output of that name."""
    legal = [value for value in values if is_float(value) and value.name not in model.graph.initializers]
    for value in legal:
        if value.name == name:
            return value
    names = ", ".join(value.name or "" for value in legal) or "none"
    for value in values:
        if value.name == name:
            what = (
                f"has type {value.dtype.name if value.dtype else 'unknown'}" if not is_float(value) else "is a weight"
            )
            raise GradientError(f"{kind} {name!r} {what}; the model's floating-point {kind}s are: {names}")
    raise GradientError(f"the model has no {kind} {name!r}; its floating-point {kind}s are: {names}")


def _check_loss(loss: ir.Value) -> None:
    if loss.shape is None or (len(loss.shape) > 1 and any(size != 1 for size in loss.shape)):
        shape = "unknown" if loss.shape is None else str(loss.shape)
        raise GradientError(
            f"output {loss.name!r} has shape {shape}; a loss is a scalar, or one number per sample, [N]"
        )


def _ones(emit: Emission, loss: ir.Value) -> ir.Value:
    """Emit d loss / d loss."""
    shape = emit.shape_of(loss)
    if isinstance(shape, ir.Value):
        return emit.op("Expand", emit.array(1.0, loss), shape)
    return emit.constant(np.ones(shape, numpy_dtype(loss)))


def _needs_identity(value: ir.Value, graph: ir.Graph) -> bool:
    """Whether a value cannot itself be the output: it is another output, an input or a constant, or has its name."""
    return value.producer() is None or value in graph.outputs or value.name in graph.initializers
