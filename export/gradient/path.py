"""The part of a graph that a derivative passes through, from one value to another.

A derivative passes through the floating-point inputs that a rule has a derivative for; where a graph has other ways
too (a shape, a condition, an index), those count as constants, as they do in PyTorch.
"""

from collections.abc import Collection, Iterator, Sequence

import onnx_ir as ir

from impasto.export.vjp_rules import FLAT, MOVES, RULES, GradientError, Rule, describe, supported_operators

QUANTIZED = frozenset(
    (
        *(ir.DataType.INT4, ir.DataType.INT8, ir.DataType.INT16, ir.DataType.INT32),
        *(ir.DataType.UINT4, ir.DataType.UINT8, ir.DataType.UINT16),
    )
)
"""Types of integers that stand for floats."""


def differentiable_path(
    graph: ir.Graph, sources: Collection[ir.Value], targets: Collection[ir.Value], constants: Collection[str] = ()
) -> tuple[list[ir.Node], set[ir.Value]]:
    """Return the nodes on differentiable paths from the sources to the targets, last first, and all values that vary.

    No path leads through a value whose name is among the constants.

    Raises:
        GradientError: an operator on a path has no rule.
    """
    active = _varying(graph, sources, constants)
    needed, path = set(targets), []
    for node in reversed(graph):
        if any(value in needed for value in node.outputs):
            inputs = [value for value in _differentiable_inputs(node) if value in active]
            if inputs:
                _check_rule(node, inputs)
                needed.update(inputs)
                path.append(node)
    return path, active


def check_reached(graph: ir.Graph, source: ir.Value, targets: Sequence[ir.Value]) -> None:
    """Refuse an input from which no differentiable path leads to one of the targets.

    Raises:
        GradientError: that is so; the message says why.
    """
    if _varying(graph, [source]).isdisjoint(targets):
        raise GradientError(_why_inactive(graph, source, targets))


def operands(node: ir.Node) -> list[ir.Value | None]:
    """Return what a node reads: its inputs, and the values around them that its subgraphs read (those of If)."""
    return [*node.inputs, *captured(node)]


def captured(node: ir.Node) -> list[ir.Value]:
    """Return the values that the node's subgraphs (of If, Loop, Scan) read from outside, each once."""
    graphs = [graph for attribute in node.attributes.values() for graph in graphs_of(attribute)]
    every = [part for graph in graphs for part in (graph, *graph.subgraphs())]
    inside = {value for part in every for value in (*part.inputs, *part.initializers.values())}
    inside.update(value for part in every for inner in part for value in inner.outputs)
    read = [value for part in every for inner in part for value in inner.inputs]
    read += [value for part in every for value in part.outputs]
    return list(dict.fromkeys(value for value in read if value is not None and value not in inside))


def graphs_of(attribute: ir.Attr) -> Sequence[ir.Graph]:
    """Return the graphs in an attribute."""
    if attribute.type is ir.AttributeType.GRAPH:
        return [attribute.as_graph()]
    return attribute.as_graphs() if attribute.type is ir.AttributeType.GRAPHS else []


def differentiable_positions(rule: Rule, node: ir.Node) -> Sequence[int]:
    """Return the positions of the operands that have a derivative."""
    return range(len(operands(node))) if rule.inputs is None else rule.inputs


def _varying(graph: ir.Graph, sources: Collection[ir.Value], constants: Collection[str] = ()) -> set[ir.Value]:
    """Return the values through which a derivative with respect to the sources may pass."""
    varying = set(sources)
    for node in graph:
        varying.update(value for value in varying_outputs(node, varying) if value.name not in constants)
    return varying


def varying_outputs(node: ir.Node, varying: Collection[ir.Value]) -> list[ir.Value]:
    """Return the outputs that vary with what varies: floats, and the integers that a quantised graph has for floats."""
    read = [value for value in _differentiable_inputs(node) if value in varying]
    rule = _rule(node)
    is_quantized = (rule is not None and rule.is_straight_through) or any(not is_float(value) for value in read)
    return [
        value
        for value in node.outputs
        if read and (is_float(value) or (is_quantized and value.dtype in QUANTIZED and node.op_type not in FLAT))
    ]


def _differentiable_inputs(node: ir.Node) -> Iterator[ir.Value]:
    """Yield the operands through which a derivative may pass; all of them where there is no rule to tell."""
    if node.op_type in FLAT and not node.domain:
        return
    rule, values = _rule(node), operands(node)
    for position in range(len(values)) if rule is None else differentiable_positions(rule, node):
        value = values[position] if position < len(values) else None
        if value is not None:
            yield value


def _rule(node: ir.Node) -> Rule | None:
    return None if node.domain else RULES.get(node.op_type)


def _check_rule(node: ir.Node, read: Sequence[ir.Value]) -> None:
    rule = _rule(node)
    if node.domain:
        raise GradientError(
            f"no gradient rule for {describe(node)}: there are rules for ONNX's standard operators alone, and "
            f"{node.domain} is another domain; take the model as it was before it was optimised or quantised for one "
            "runtime"
        )
    if rule is None:
        raise GradientError(
            f"no gradient rule for {describe(node)}; operators with a rule: {', '.join(supported_operators())}"
        )
    if not rule.is_straight_through and node.op_type not in MOVES:
        for value in read:
            if not is_float(value):
                passing = sorted({*MOVES, *(name for name, each in RULES.items() if each.is_straight_through)})
                raise GradientError(
                    f"{describe(node)} computes with the integers {value.name!r}, which stand for floats; there are "
                    f"straight-through rules for integers of: {', '.join(passing)}"
                )


def check_rounding(graph: ir.Graph, sources: Collection[ir.Value], targets: Collection[ir.Value]) -> None:
    """Refuse paths through operators that round to integers: a gradient through them is an estimate.

    Raises:
        GradientError: there is one.
    """
    path, _ = differentiable_path(graph, sources, targets)
    for node in reversed(path):
        inner = [each for attribute in node.attributes.values() for part in graphs_of(attribute) for each in part]
        for each in (node, *inner):
            rule = _rule(each)
            if rule is not None and rule.is_straight_through:
                raise GradientError(
                    f"{describe(each)} computes with rounded numbers, whose derivative is 0; --straight-through "
                    "(straight_through=True) passes the gradient as if nothing was rounded"
                )


def _why_inactive(graph: ir.Graph, source: ir.Value, targets: Sequence[ir.Value]) -> str:
    """Say why no derivative reaches a target: no dependence at all, or only through a use without a derivative."""
    dependent, blockers = {source}, []
    differentiable = {source}
    for node in graph:
        inputs = [value for value in operands(node) if value in dependent]
        if not inputs:
            continue
        dependent.update(node.outputs)
        if varied := varying_outputs(node, differentiable):
            differentiable.update(varied)
        elif any(value in differentiable for value in inputs):
            blockers.append(node)
    reached = [target for target in targets if target in dependent]
    shown = " and ".join(repr(target.name) for target in reached or targets)
    several = len(reached or targets) > 1
    if not reached:
        verb = "do" if several else "does"
        return f"output{'s' * several} {shown} {verb} not depend on input {source.name!r}"
    uses = ", ".join(_used(node, differentiable) for node in blockers if _leads_to(node, reached))
    verb = "depend" if several else "depends"
    return f"output{'s' * several} {shown} {verb} on input {source.name!r} only through what has no derivative: {uses}"


def _used(node: ir.Node, values: set[ir.Value]) -> str:
    """Name the inputs of a node that are among the values."""
    names = [f"{position} ({value.name!r})" for position, value in enumerate(node.inputs) if value in values]
    return f"input {', '.join(names)} of {describe(node)}" if names else describe(node)


def _leads_to(node: ir.Node, targets: Collection[ir.Value]) -> bool:
    """Whether one of the targets depends on the node."""
    seen, pending = {node}, [node]
    while pending:
        for output in pending.pop().outputs:
            if output in targets:
                return True
            for user, _ in output.uses():
                if user not in seen:
                    seen.add(user)
                    pending.append(user)
    return False


def is_float(value: ir.Value) -> bool:
    """Whether a value can have a derivative; one of unknown type may."""
    return value.dtype is None or value.dtype.is_floating_point()
