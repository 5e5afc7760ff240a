"""Reverse-mode differentiation as a graph transformation: a model gains an output ``d_<wrt>``.

The walk below knows no operator: it marks the nodes on a path from ``wrt`` to the loss, visits them backwards, asks
the table `impasto.export.vjp_rules` for the cotangents of their inputs, sums where several arrive, and undoes
broadcasting. The emitted nodes are operators of the default ONNX domain only, and read the model's own initializers,
so that every weight is in the file once.

Reverse mode on a graph: Griewank and Walther, "Evaluating Derivatives", section 3.2.
"""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import onnx_ir as ir

from impasto.export.gradient.branches import register_branches
from impasto.export.gradient.expansion import write_out
from impasto.export.gradient.path import (
    check_reached,
    check_rounding,
    differentiable_path,
    differentiable_positions,
    is_float,
    operands,
)
from impasto.export.gradient.preparation import prepared
from impasto.export.vjp_rules import RULES, Emission, GradientError, Rule, describe
from impasto.export.vjp_rules.emission import taken_names, unique_name
from impasto.export.vjp_rules.errors import FIX_SIZES
from impasto.export.vjp_rules.inspection import numpy_dtype

__all__ = ["GradientError", "gradient"]

CotangentsByValue = dict[ir.Value, ir.Value]


def gradient(
    model: ir.Model,
    loss: str | Sequence[str],
    wrt: str | Sequence[str],
    *,
    shapes: Mapping[str, Sequence[int]] | None = None,
    values: Mapping[str, float] | None = None,
    straight_through: bool = False,
    constants: Collection[str] = (),
) -> ir.Model:
    """Return a copy of a model with one more output for each input, ``d_<wrt>``: the derivative of an output.

    The loss is a scalar, or one number per sample, [N]: then the result is the gradient of their sum, which is every
    sample's own gradient as long as the model keeps samples apart. Of several losses it is the gradient of the sum.

    Args:
        model: any ONNX model, of opset 13 or later (older ones are converted); it is not changed, but for the order of
            nodes that do not come after what they read, and its weights are shared with the result.
        loss: the name of an output, of floating-point type, with one element or of rank 1, or several of them.
        wrt: the name of an input of floating-point type, or several of them.
        shapes: sizes for inputs whose own are free; some rules need static ones.
        values: numbers for inputs that become constants, such as one that decides which branch is taken.
        straight_through: pass the gradient through quantisation as if nothing was rounded.
        constants: names of values that count as constants, whatever they are computed from.

    Returns:
        The model with its functions inlined and the outputs ``d_<wrt>``, of the inputs' types and shapes, added last.

    Raises:
        GradientError: a name is unknown, no loss depends on an input or only through something without a
            derivative, an operator on the path has no rule, or a rule needs a size that is not static.
    """
    losses, inputs = _names(loss, "output"), _names(wrt, "input")
    _check_model(model)
    copy = prepared(model, shapes or {}, values or {})
    sources = [_find(copy.graph.inputs, name, "input", copy) for name in inputs]
    _reached_targets(copy, sources, losses)  # before constants are folded, after which less can be said
    write_out(copy, sources, losses)
    targets = _reached_targets(copy, sources, losses)
    for target in targets:
        _check_loss(target)
    if not straight_through:
        check_rounding(copy.graph, sources, targets)
    names, results = taken_names(copy.graph), {f"d_{name}" for name in inputs}
    for taken in sorted(names & results):
        raise GradientError(f"the model already has a value named {taken!r}; rename it, the gradient takes this name")
    emit = Emission(copy.graph, names | results, copy.opset_imports[""])
    seeds = {target: _ones(emit, target) for target in targets}
    found = cotangents_of(emit, copy.graph, sources, seeds, constants)
    for source in sources:
        _add_output(copy.graph, emit, source, found[source])
    emit.remove_unused()
    return copy


def _check_model(model: object) -> None:
    if not isinstance(model, ir.Model):
        raise GradientError(f"bad model of type {type(model).__name__}: give what onnx_ir.load returns")


def _reached_targets(model: ir.Model, sources: Sequence[ir.Value], losses: Sequence[str]) -> list[ir.Value]:
    """Return the outputs of those names, on at least one of which each source has an influence."""
    targets = [_find(model.graph.outputs, name, "output", model) for name in losses]
    for source in sources:
        check_reached(model.graph, source, targets)
    return targets


def cotangents_of(
    emit: Emission,
    graph: ir.Graph,
    sources: Collection[ir.Value],
    seeds: CotangentsByValue,
    constants: Collection[str] = (),
) -> CotangentsByValue:
    """Emit the cotangents of values from those of others that depend on them.

    Args:
        emit: what appends to the graph.
        graph: the model's, or the branch of an If.
        sources: the values to differentiate with respect to.
        seeds: the cotangents of the values to differentiate.
        constants: names of values through which no derivative passes.

    Returns:
        One for each source, of its shape.
    """
    nodes, active = differentiable_path(graph, sources, seeds, constants)
    cotangents, named = dict(seeds), set(seeds.values())
    for node in nodes:
        arrived = [cotangents.pop(output, None) for output in node.outputs]
        if not any(arrived):  # a rule found a shorter way, or returned no cotangent
            continue
        for value, output in zip(arrived, node.outputs, strict=True):
            if value is not None:
                _settle(emit, value, output, named)
        emit.scope = f"d_{node.outputs[0].name}"
        rule, read = RULES[node.op_type], operands(node)
        wanted = [
            value in active and position in differentiable_positions(rule, node) for position, value in enumerate(read)
        ]
        results = rule.function(emit, node, arrived, wanted)
        for value, cotangent, is_wanted in zip(read, results, wanted, strict=False):
            if value is None or cotangent is None or not is_wanted:
                continue
            repaired = _unbroadcast(emit, node, rule, cotangent, value)
            cotangents[value] = emit.op("Add", cotangents[value], repaired) if value in cotangents else repaired
    return {source: cotangents.get(source) or _zeros(emit, source) for source in sources}


def _add_output(graph: ir.Graph, emit: Emission, source: ir.Value, result: ir.Value) -> None:
    """Make a cotangent an output of the model, with the name that the user is told."""
    output = emit.op("Identity", result) if _needs_identity(result, graph) else result
    output.name, output.type = f"d_{source.name}", source.type
    output.shape = None if source.shape is None else source.shape.copy()
    graph.outputs.append(output)


def _zeros(emit: Emission, source: ir.Value) -> ir.Value:
    """Emit the cotangent of a value for which every rule on the way returned none."""
    return emit.op("Expand", emit.array(0.0, source), emit.shape_of(source))


def _settle(emit: Emission, cotangent: ir.Value, primal: ir.Value, named: set[ir.Value]) -> None:
    """Name a complete cotangent after its primal, and give it the primal's shape."""
    if cotangent not in named:
        cotangent.name = unique_name(f"d_{primal.name}", emit.names)
        named.add(cotangent)
    if is_float(primal):  # that of an integer is a float
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


def _names(given: str | Sequence[str], kind: str) -> list[str]:
    """Return one or several names as a list.

    Raises:
        GradientError: there is none, or one is there twice.
    """
    names = [given] if isinstance(given, str) else list(given)
    if not names:
        raise GradientError(f"give the name of an {kind}")
    for name in names:
        if names.count(name) > 1:
            raise GradientError(f"{kind} {name!r} is given twice; give it once")
    return names


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


register_branches(cotangents_of)
