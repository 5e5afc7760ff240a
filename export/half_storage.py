"""Weights stored as float16 and computed with as float32: half the file, the same graph after loading.

In the file every large weight is a float16 initializer with a `Cast` behind it, so the file runs as it is anywhere.
"""

import numpy as np
import onnx_ir as ir

SMALLEST_ENTRIES = 1024  # fewer are not worth a node
SUFFIX = ".float16"


def narrow(model: ir.Model) -> None:
    """Store the large float32 weights of a model as float16, in place.

    Raises:
        ValueError: a weight does not fit into float16.
    """
    graph = model.graph
    for name, value in list(graph.initializers.items()):
        tensor = value.const_value
        if tensor is None or tensor.dtype != ir.DataType.FLOAT or tensor.size < SMALLEST_ENTRIES:
            continue
        with np.errstate(over="ignore"):
            halves = tensor.numpy().astype(np.float16)
        if not np.isfinite(halves).all():
            raise ValueError(f"{name} has values beyond float16")
        stored = ir.val(f"{name}{SUFFIX}", const_value=ir.tensor(halves, name=f"{name}{SUFFIX}"))
        graph.register_initializer(stored)
        cast = ir.node("Cast", [stored], {"to": ir.DataType.FLOAT}, name=f"{name}.cast")
        wide = cast.outputs[0]
        value.replace_all_uses_with(wide)
        del graph.initializers[name]
        wide.name, wide.dtype, wide.shape = name, ir.DataType.FLOAT, value.shape
        graph.insert_before(graph[0], cast)


def widen(model: ir.Model) -> None:
    """Replace every `Cast` of a float16 initializer to float32 by a float32 initializer, in place."""
    graph = model.graph
    for node in list(graph):
        stored = node.inputs[0] if node.op_type == "Cast" and node.inputs else None
        if stored is None or not stored.is_initializer() or stored.const_value is None:
            continue
        wide = node.outputs[0]
        if stored.dtype != ir.DataType.FLOAT16 or wide.dtype != ir.DataType.FLOAT or wide.is_graph_output():
            continue
        array = stored.const_value.numpy().astype(np.float32)
        initializer = ir.val(wide.name, ir.DataType.FLOAT, array.shape, const_value=ir.tensor(array, name=wide.name))
        wide.replace_all_uses_with(initializer)
        graph.remove(node, safe=True)
        graph.register_initializer(initializer)
        if not stored.uses() and stored.name is not None:
            del graph.initializers[stored.name]
