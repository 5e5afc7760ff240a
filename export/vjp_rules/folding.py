"""The values of small constants that a graph computes: sizes, axes and pads worked out from static shapes."""

import numpy as np
import onnx_ir as ir

LARGEST_ELEMENTS = 64
DEEPEST = 64
LARGEST_OPERAND_ELEMENTS = 2**16
GROWING = frozenset(("ConstantOfShape", "Expand", "EyeLike", "Pad", "Range", "Resize", "Tile", "Upsample"))
"""Operators whose result can be large where all their inputs are small."""
RANDOM = frozenset(("Bernoulli", "Dropout", "Multinomial", "RandomNormalLike", "RandomUniformLike"))


def folded(value: ir.Value, depth: int = DEEPEST) -> np.ndarray | None:
    """Return the content of a value that depends on constants and static shapes alone, None for any other.

    Older exporters write a size as Shape, Gather, Add, Concat ... even where all shapes are static.
    """
    tensor = ir.convenience.get_const_tensor(value)
    if tensor is not None:
        return tensor.numpy()
    node = value.producer()
    if node is None or node.domain or node.op_type in RANDOM or not depth or _may_be_large(value, node):
        return None
    if any(attribute.type is ir.AttributeType.GRAPH for attribute in node.attributes.values()):
        return None  # it reads values that are not among its inputs
    if node.op_type in ("Shape", "Size"):
        return _measured(node)
    inputs = {}
    for operand in node.inputs:
        if operand is not None:
            content = folded(operand, depth - 1)
            if content is None or content.size > LARGEST_OPERAND_ELEMENTS:
                return None
            inputs[operand.name or ""] = content
    return _computed(node, value, inputs) if inputs else None


def _may_be_large(value: ir.Value, node: ir.Node) -> bool:
    shape = value.shape
    if shape is None or not shape.is_static():
        return node.op_type in GROWING
    return int(np.prod(shape.numpy(), dtype=np.int64)) > LARGEST_ELEMENTS


def _measured(node: ir.Node) -> np.ndarray | None:
    """Return the result of Shape or Size, which do not read their input's content."""
    source = node.inputs[0]
    if source is None or source.shape is None or not source.shape.is_static():
        return None
    sizes = np.array(source.shape.numpy(), np.int64)
    if node.op_type == "Size":
        return np.array(sizes.prod(), np.int64)
    return sizes[node.attributes.get_int("start", 0) : node.attributes.get_int("end", None)]


def _computed(node: ir.Node, value: ir.Value, inputs: dict[str, np.ndarray]) -> np.ndarray | None:
    """Run one node on the reference evaluator, and return one of its outputs where it is small."""
    from onnx.reference import ReferenceEvaluator  # slow to import, rarely needed

    graph = node.graph
    version = graph.opset_imports.get("") if isinstance(graph, ir.Graph) else None
    try:
        evaluator = ReferenceEvaluator(ir.to_proto(node), opsets={"": version or 0})
        result = np.asarray(list(evaluator.run(None, inputs))[value.index() or 0])
    except Exception:  # an operator that the evaluator lacks is one that cannot be folded
        return None
    return result if result.size <= LARGEST_ELEMENTS else None
