"""The rule of If where the condition is known only when the model runs: the gradient is an If, too.

Each branch of the new If computes its branch of the old one again, and from it the cotangents of the values that either
branch reads. The branch that is not taken is not computed, and a value that the taken one does not read gets zeros.
"""

from collections.abc import Callable, Collection, Sequence

import onnx_ir as ir

from impasto.export.gradient.path import differentiable_path, is_float, operands
from impasto.export.gradient.splicing import copy_of
from impasto.export.vjp_rules import RULES, Emission, Rule
from impasto.export.vjp_rules.table import Cotangents

Walk = Callable[[Emission, ir.Graph, Collection[ir.Value], dict[ir.Value, ir.Value]], dict[ir.Value, ir.Value]]

BRANCHES = ("then_branch", "else_branch")


def register_branches(walk: Walk) -> None:
    """Register the rule; it differentiates a branch by the walk that calls it."""

    def apply(emit: Emission, node: ir.Node, cotangents: Cotangents, wanted: Sequence[bool]) -> Cotangents:
        values = operands(node)
        sources = [value for value, is_wanted in zip(values, wanted, strict=True) if value is not None and is_wanted]
        scope = emit.scope
        graphs = {name: _branch(emit, walk, node.attributes[name].as_graph(), sources, cotangents) for name in BRANCHES}
        emit.scope = scope
        results = dict(zip(sources, emit.ops("If", [node.inputs[0]], len(sources), **graphs), strict=True))
        for source, result in results.items():
            result.type, result.shape = source.type, None if source.shape is None else source.shape.copy()
        return [None if value is None else results.get(value) for value in values]

    RULES["If"] = Rule(apply)


def _branch(
    emit: Emission, walk: Walk, branch: ir.Graph, sources: Sequence[ir.Value], cotangents: Cotangents
) -> ir.Graph:
    """Return a graph that computes the cotangents of the sources, as far as they pass through a branch."""
    arrived = [value is not None and is_float(output) for output, value in zip(branch.outputs, cotangents, strict=True)]
    wanted = [output for output, has_arrived in zip(branch.outputs, arrived, strict=True) if has_arrived]
    differentiable_path(branch, sources, wanted)  # an error names the model's own nodes, and not those of the copy
    graph = copy_of(branch, emit.names)
    inner = Emission(graph, emit.names, emit.opset)
    seeds: dict[ir.Value, ir.Value] = {}
    for output, cotangent, has_arrived in zip(graph.outputs, cotangents, arrived, strict=True):
        if cotangent is not None and has_arrived:
            seeds[output] = inner.op("Add", seeds[output], cotangent) if output in seeds else cotangent
    found = walk(inner, graph, sources, seeds)
    graph.outputs[:] = [inner.op("Identity", found[source]) for source in sources]
    for output, source in zip(graph.outputs, sources, strict=True):
        output.type, output.shape = source.type, None if source.shape is None else source.shape.copy()
    emit.names |= inner.names
    _remove_unused(graph)
    return graph


def _remove_unused(graph: ir.Graph) -> None:
    """Remove the nodes and constants of a branch that lead to no output."""
    for node in reversed(graph):
        if not any(value.uses() or value.is_graph_output() for value in node.outputs):
            graph.remove(node, safe=True)
    for name, value in list(graph.initializers.items()):
        if not value.uses() and not value.is_graph_output():
            del graph.initializers[name]
