"""Small values that a graph computes from constants and static shapes alone, computed once and written in.

Exporters write a size as Shape, Slice, Concat, Reshape even where every shape is known, and shape inference does not
follow all of that. Weights stay as they are: their operators are left to the runtime, which folds them when it loads.
"""

import onnx_ir as ir

from impasto.export.vjp_rules.folding import folded


def fold_constants(model: ir.Model) -> bool:
    """Replace, in place, the nodes whose results are small and known; say whether there were any."""
    found = False
    for part in (model.graph, *model.graph.subgraphs()):
        for node in list(part):
            if node.op_type != "Constant" and _fold(part, node):
                found = True
    return found


def _fold(graph: ir.Graph, node: ir.Node) -> bool:
    """Replace one node by constants, where all its results are known and none is a result of the graph."""
    if not node.outputs or any(value.is_graph_output() for value in node.outputs):
        return False
    contents = [folded(value) if value.name else None for value in node.outputs]
    if any(content is None and value.uses() for content, value in zip(contents, node.outputs, strict=True)):
        return False
    if not any(value.uses() for value in node.outputs):
        return False
    for content, value in zip(contents, node.outputs, strict=True):
        if content is not None:
            tensor = ir.tensor(content, name=value.name)
            constant = ir.Value(
                name=value.name, type=ir.TensorType(tensor.dtype), shape=ir.Shape(content.shape), const_value=tensor
            )
            value.replace_all_uses_with(constant)
            graph.register_initializer(constant)
    graph.remove(node, safe=True)
    return True
