"""Nodes of one graph put into another: the body of an If or a Loop in the place of the node."""

from collections.abc import Sequence

import onnx_ir as ir

from impasto.export.vjp_rules.emission import unique_name


def name_apart(model: ir.Model) -> None:
    """Give values of subgraphs that have a name in common with others names of their own, in place."""
    names: set[str] = set()
    for part in (model.graph, *model.graph.subgraphs()):
        _rename(part, names)


def spliced(graph: ir.Graph, before: ir.Node, body: ir.Graph, arguments: Sequence[ir.Value | None]) -> list[ir.Value]:
    """Move the nodes of a body into a graph, in front of a node, and return what were its outputs.

    The names of the body's values must be free in the graph.

    Args:
        graph: that of the node.
        before: the node.
        body: empty afterwards.
        arguments: take the places of the body's inputs.
    """
    places = dict(zip(body.inputs, arguments, strict=True))
    results = [places.get(value) or value for value in body.outputs]
    body.outputs.clear()
    for formal, actual in places.items():
        if actual is not None:
            formal.replace_all_uses_with(actual)
    for value in list(body.initializers.values()):
        del body.initializers[value.name or ""]
        graph.register_initializer(value)
    nodes = list(body)
    body.remove(nodes)
    graph.insert_before(before, nodes)
    return results


def give_way(graph: ir.Graph, node: ir.Node, results: Sequence[ir.Value]) -> None:
    """Replace a node's outputs by other values, and remove it; an output of the graph keeps its name."""
    for output, result in zip(node.outputs, results, strict=True):
        if result.type is None:
            result.type = output.type
        if not output.is_graph_output():
            output.replace_all_uses_with(result)
            continue
        copied = ir.node("Identity", [result])
        (value,) = copied.outputs
        value.name, value.type, value.shape = output.name, output.type, output.shape
        graph.insert_before(node, copied)
        output.replace_all_uses_with(value, replace_graph_outputs=True)
    graph.remove(node, safe=True)


def copy_of(body: ir.Graph, names: set[str]) -> ir.Graph:
    """Return a copy of a subgraph whose values have names that were free; the values around it are shared."""
    copy = body.clone(allow_outer_scope_values=True)
    for part in (copy, *copy.subgraphs()):
        _rename(part, names)
    return copy


def graph_of(node: ir.Node) -> ir.Graph:
    """Return the graph that a node is in."""
    if not isinstance(node.graph, ir.Graph):
        raise TypeError(f"node {node.name!r} is in no graph")
    return node.graph


def _rename(graph: ir.Graph, names: set[str]) -> None:
    """Give every value that a graph defines a name that was free, and take it."""
    defined = dict.fromkeys([*graph.inputs, *graph.initializers.values()])
    defined.update(dict.fromkeys(value for node in graph for value in node.outputs if value.name))
    for value in defined:
        value.name = unique_name(value.name or "value", names)
