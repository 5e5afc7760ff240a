"""Operators without a rule of their own, replaced by others: those with an expansion, or defined so by the standard."""

from collections.abc import Collection

import onnx
import onnx_ir as ir
from onnx.inliner import inline_selected_functions

from impasto.export.gradient.control_flow import unroll
from impasto.export.gradient.path import graphs_of, is_float, operands, varying_outputs
from impasto.export.gradient.preparation import simplify
from impasto.export.gradient.splicing import graph_of
from impasto.export.shape_inference import infer_shapes
from impasto.export.vjp_rules import EXPANSIONS, FLAT, RULES, Emission
from impasto.export.vjp_rules.emission import taken_names, unique_name


def write_out(model: ir.Model, sources: Collection[ir.Value], targets: Collection[str]) -> None:
    """Replace, in place, every node that leads from a source to a target, has no rule and can be written by others.

    These are operators with an expansion, operators that the standard defines by others, and loops. Constants are
    folded, and of an If that is decided only the branch that is taken stays. The targets are named, because the value
    is another one where its node is replaced.

    Raises:
        GradientError: a loop or an operator cannot be written out.
    """
    while True:
        simplify(model)
        nodes = _between(model.graph, sources, targets)
        expandable = [node for node in nodes if _is_expandable(node, model)]
        names = taken_names(model.graph)
        for node in expandable:
            if node.op_type in EXPANSIONS:
                _expand_by_rule(model, node, names)
            else:
                _expand(model, node, names)
        if not expandable and not unroll(model, nodes):
            return
        infer_shapes(model)


def _between(graph: ir.Graph, sources: Collection[ir.Value], targets: Collection[str]) -> list[ir.Node]:
    """Return the nodes with a floating-point result that depends on a source, and on which a target depends.

    Of an If or a loop among them all inner nodes count.
    """
    dependent, nodes = set(sources), []
    for node in graph:
        if any(value in dependent for value in operands(node)):
            varied = {*varying_outputs(node, dependent), *(value for value in node.outputs if is_float(value))}
            dependent.update(varied)
            if varied:
                nodes.append(node)
    needed = {value for value in graph.outputs if value.name in targets}
    leading: list[ir.Node] = []
    for node in reversed(nodes):
        if any(value in needed for value in node.outputs):
            needed.update(value for value in operands(node) if value is not None)
            leading.append(node)
            for attribute in node.attributes.values():
                leading += [inner for part in graphs_of(attribute) for inner in part.all_nodes()]
    return leading[::-1]


def _is_expandable(node: ir.Node, model: ir.Model) -> bool:
    if node.domain or node.op_type in RULES or node.op_type in FLAT:
        return False
    if node.op_type in EXPANSIONS:
        return True
    schema = _schema(node, model)
    # Both are attributes of the extension class that onnx's type stubs lack.
    return any(getattr(schema, name, False) for name in ("has_function", "has_context_dependent_function"))


def _schema(node: ir.Node, model: ir.Model) -> onnx.defs.OpSchema | None:
    try:
        return onnx.defs.get_schema(node.op_type, model.opset_imports[""], "")
    except onnx.defs.SchemaError:
        return None


def _expand_by_rule(model: ir.Model, node: ir.Node, names: set[str]) -> None:
    """Put the nodes of an operator's expansion in the place of one node."""
    body = ir.Graph([], [], nodes=[], opset_imports=model.opset_imports)
    emit = Emission(body, names, model.opset_imports[""])
    emit.scope = f"{node.outputs[0].name or node.name or 'expanded'}.{node.op_type}"
    results = EXPANSIONS[node.op_type](emit, node)
    names |= emit.names
    for name, value in list(body.initializers.items()):
        del body.initializers[name]
        graph_of(node).register_initializer(value)
    nodes = list(body)
    body.remove(nodes)
    pairs = [(old, new) for old, new in zip(node.outputs, results, strict=True) if old.name and new is not None]
    replaced, made = zip(*pairs, strict=True)
    ir.convenience.replace_nodes_and_values(graph_of(node), node, [node], nodes, replaced, made)


def _expand(model: ir.Model, node: ir.Node, names: set[str]) -> None:
    """Put the nodes of the operator's definition in the place of one node."""
    body = _body(model, node)
    inner = {value.name: value for value in body.inputs}
    for value in node.inputs:
        if value is not None:
            inner[value.name].replace_all_uses_with(value)
    prefix = f"{node.outputs[0].name}.{node.op_type}"
    results = {value.name: value for value in body.outputs}
    nodes = list(body)
    for child in nodes:
        for value in child.outputs:
            if value.name and value.name not in results:
                value.name = unique_name(f"{prefix}.{value.name}", names)
        child.name = child.outputs[0].name
    body.outputs.clear()
    body.remove(nodes)
    replaced = [value for value in node.outputs if value.name]
    made = [results[value.name] for value in replaced]
    ir.convenience.replace_nodes_and_values(graph_of(node), node, [node], nodes, replaced, made)


def _body(model: ir.Model, node: ir.Node) -> ir.Graph:
    """Return the operator's definition, for this node's attributes and types, as a graph of one's own."""
    inputs = {value.name: value for value in node.inputs if value is not None}
    proto = onnx.helper.make_model(
        onnx.helper.make_graph(
            [ir.to_proto(node)],
            "expansion",
            [ir.serde.serialize_value(value) for value in inputs.values()],
            [ir.serde.serialize_value(value) for value in node.outputs if value.name],
        ),
        opset_imports=[onnx.helper.make_opsetid("", model.opset_imports[""])],
        ir_version=model.ir_version,
    )
    inlined = inline_selected_functions(proto, [("", node.op_type)], inline_schema_functions=True)
    body: ir.Model = ir.from_proto(inlined)
    return body.graph
