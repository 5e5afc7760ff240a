"""The part of a graph that a derivative passes through, from one value to another.

A derivative passes through the floating-point inputs that a rule has a derivative for; where a graph has other ways
too (a shape, a condition, an index), those count as constants, as they do in PyTorch.
"""

from collections.abc import Iterator, Sequence

import onnx_ir as ir

from impasto.export.vjp_rules import FLAT, RULES, GradientError, Rule, describe, supported_operators


def differentiable_path(graph: ir.Graph, source: ir.Value, target: ir.Value) -> tuple[list[ir.Node], set[ir.Value]]:
    """Return the nodes on a differentiable path from source to target, last first, and all values that vary.

    Raises:
        GradientError: there is no such path, or an operator on it has no rule.
    """
    active = {source}
    for node in graph:
        if any(value in active for value in _differentiable_inputs(node)):
            active.update(value for value in node.outputs if is_float(value))
    if target not in active:
        raise GradientError(_why_inactive(graph, source, target))
    needed, path = {target}, []
    for node in reversed(graph):
        if any(value in needed for value in node.outputs):
            inputs = [value for value in _differentiable_inputs(node) if value in active]
            if inputs:
                _check_rule(node)
                needed.update(inputs)
                path.append(node)
    return path, active


def differentiable_positions(rule: Rule, node: ir.Node) -> Sequence[int]:
    """Return the positions of the inputs that have a derivative."""
    return range(len(node.inputs)) if rule.inputs is None else rule.inputs


def _differentiable_inputs(node: ir.Node) -> Iterator[ir.Value]:
    """Yield the inputs through which a derivative may pass; all of them where there is no rule to tell."""
    if node.op_type in FLAT and not node.domain:
        return
    rule = _rule(node)
    positions = range(len(node.inputs)) if rule is None else differentiable_positions(rule, node)
    for position in positions:
        value = node.inputs[position] if position < len(node.inputs) else None
        if value is not None:
            yield value
    if rule is None:
        yield from _captured(node)


def _captured(node: ir.Node) -> Iterator[ir.Value]:
    """Yield the values that the node's subgraphs (of If, Loop, Scan) read from outside."""
    for attribute in node.attributes.values():
        if attribute.type in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS):
            graphs = [attribute.value] if attribute.type is ir.AttributeType.GRAPH else attribute.value
            for graph in graphs:
                for inner in graph.all_nodes():
                    yield from (value for value in inner.inputs if value is not None)
                yield from graph.outputs


def _rule(node: ir.Node) -> Rule | None:
    return None if node.domain else RULES.get(node.op_type)


def _check_rule(node: ir.Node) -> None:
    if _rule(node) is None:
        raise GradientError(
            f"no gradient rule for {describe(node)}; operators with a rule: {', '.join(supported_operators())}"
        )


def _why_inactive(graph: ir.Graph, source: ir.Value, target: ir.Value) -> str:
    """Say why no derivative reaches the target: no dependence at all, or only through a use without a derivative."""
    dependent, blockers = {source}, []
    differentiable = {source}
    for node in graph:
        inputs = [value for value in (*node.inputs, *_captured(node)) if value in dependent]
        if not inputs:
            continue
        dependent.update(node.outputs)
        passing = [value for value in _differentiable_inputs(node) if value in differentiable]
        if passing and any(is_float(value) for value in node.outputs):
            differentiable.update(value for value in node.outputs if is_float(value))
        elif any(value in differentiable for value in inputs):
            blockers.append(node)
    if target not in dependent:
        return f"output {target.name!r} does not depend on input {source.name!r}"
    uses = ", ".join(_used(node, differentiable) for node in blockers if _leads_to(node, target))
    return f"output {target.name!r} depends on input {source.name!r} only through what has no derivative: {uses}"


def _used(node: ir.Node, values: set[ir.Value]) -> str:
    """Name the inputs of a node that are among the values."""
    names = [f"{position} ({value.name!r})" for position, value in enumerate(node.inputs) if value in values]
    return f"input {', '.join(names)} of {describe(node)}" if names else describe(node)


def _leads_to(node: ir.Node, target: ir.Value) -> bool:
    """Whether the target depends on the node."""
    seen, pending = {node}, [node]
    while pending:
        for output in pending.pop().outputs:
            if output is target:
                return True
            for user, _ in output.uses():
                if user not in seen:
                    seen.add(user)
                    pending.append(user)
    return False


def is_float(value: ir.Value) -> bool:
    """Whether a value can have a derivative; one of unknown type may."""
    return value.dtype is None or value.dtype.is_floating_point()
