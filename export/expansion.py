"""Operators that the ONNX standard defines by others, replaced by those where they have no rule of their own."""

from collections.abc import Iterable

import onnx
import onnx_ir as ir
from onnx.inliner import inline_selected_functions

from impasto.export.preparation import infer_shapes
from impasto.export.vjp_rules import FLAT, RULES
from impasto.export.vjp_rules.emission import taken_names, unique_name


def expand_functions(model: ir.Model, source: ir.Value) -> None:
    """Replace, in place, every node that depends on the source, has no rule and is defined by others."""
    while True:
        nodes = [node for node in _dependent(model.graph, source) if _is_expandable(node, model)]
        if not nodes:
            return
        names = taken_names(model.graph)
        for node in nodes:
            _expand(model, node, names)
        infer_shapes(model)


def _dependent(graph: ir.Graph, source: ir.Value) -> Iterable[ir.Node]:
    """Return the nodes with a floating-point result that depends on the source."""
    dependent = {source}
    nodes = []
    for node in graph:
        if any(value in dependent for value in node.inputs):
            floats = [value for value in node.outputs if value.dtype is None or value.dtype.is_floating_point()]
            dependent.update(floats)
            if floats:
                nodes.append(node)
    return nodes


def _is_expandable(node: ir.Node, model: ir.Model) -> bool:
    if node.domain or node.op_type in RULES or node.op_type in FLAT:
        return False
    schema = _schema(node, model)
    # Both are attributes of the extension class that onnx's type stubs lack.
    return any(getattr(schema, name, False) for name in ("has_function", "has_context_dependent_function"))


def _schema(node: ir.Node, model: ir.Model) -> onnx.defs.OpSchema | None:
    try:
        return onnx.defs.get_schema(node.op_type, model.opset_imports[""], "")
    except onnx.defs.SchemaError:
        return None


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
    ir.convenience.replace_nodes_and_values(model.graph, node, [node], nodes, replaced, made)


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
