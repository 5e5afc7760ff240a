"""A model in float64, for finite differences: float32 has too few digits for them."""

from collections.abc import Iterable

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

NARROW = frozenset((TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16))
FLOAT32_INPUTS = {"Resize": (2,), "Upsample": (1,)}
"""Inputs that the standard wants in float32 whatever the others are: scales."""
FLOAT32_BY_DEFAULT = {"ConstantOfShape": "value", "RandomNormal": "dtype", "RandomUniform": "dtype"}


def in_float64(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy of a model in which every float16, bfloat16 and float32 value is float64."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    _widen_graph(copy.graph)
    return copy


def _widen_graph(graph: onnx.GraphProto) -> None:
    del graph.value_info[:]
    for info in (*graph.input, *graph.output):
        if info.type.tensor_type.elem_type in NARROW:
            info.type.tensor_type.elem_type = TensorProto.DOUBLE
    for tensor in graph.initializer:
        _widen_tensor(tensor)
    nodes = [part for node in graph.node for part in _widened(node)]
    del graph.node[:]
    graph.node.extend(nodes)


def _widened(node: onnx.NodeProto) -> Iterable[onnx.NodeProto]:
    """Yield a node in float64, after the casts that it needs."""
    for attribute in node.attribute:
        _widen_attribute(node, attribute)
    names = {attribute.name for attribute in node.attribute}
    default = FLOAT32_BY_DEFAULT.get(node.op_type)
    if default == "value" and default not in names:
        node.attribute.append(helper.make_attribute(default, numpy_helper.from_array(np.zeros(1))))
    elif default == "dtype" and default not in names:
        node.attribute.append(helper.make_attribute(default, TensorProto.DOUBLE))
    for position in FLOAT32_INPUTS.get(node.op_type, ()):
        if len(node.input) > position and node.input[position]:
            cast = f"{node.input[position]}.float32.{node.output[0]}"
            yield helper.make_node("Cast", [node.input[position]], [cast], to=TensorProto.FLOAT)
            node.input[position] = cast
    yield node


def _widen_attribute(node: onnx.NodeProto, attribute: onnx.AttributeProto) -> None:
    if attribute.name in ("to", "dtype") and attribute.i in NARROW:
        attribute.i = TensorProto.DOUBLE
    elif attribute.name in ("value_float", "value_floats") and node.op_type == "Constant":
        content = np.array(attribute.f if attribute.name == "value_float" else list(attribute.floats), np.float64)
        attribute.CopyFrom(helper.make_attribute("value", numpy_helper.from_array(content)))
    elif attribute.type == onnx.AttributeProto.TENSOR:
        _widen_tensor(attribute.t)
    elif attribute.type == onnx.AttributeProto.GRAPH:
        _widen_graph(attribute.g)


def _widen_tensor(tensor: onnx.TensorProto) -> None:
    if tensor.data_type in NARROW:
        wide = numpy_helper.to_array(tensor).astype(np.float64)
        tensor.CopyFrom(numpy_helper.from_array(wide, tensor.name))
