"""Rewrites of nodes for which ONNX Runtime's CUDA provider has no kernel.

Two things are missing in its version 1.31 (tests/engine/runtime/providers/cuda-kernels.json): MaxPool as of opset 22,
in any type, and several operators in bfloat16, whose convolutions need that opset. A node without a kernel would go to
the CPU, or keep the session from being made. The values stay the same, to the bit.
"""

from itertools import product

import onnx_ir as ir

from impasto.export.lowering.rewriting import Inserter, cast_for, masked_relu, repeats_pixels, sizes_of
from impasto.export.shape_inference import infer_shapes

MAX_POOL_GONE = 22
_COMPARISONS = frozenset({"Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"})
WITHOUT_BFLOAT16 = _COMPARISONS | {
    *("BatchNormalization", "Clip", "ConvTranspose", "InstanceNormalization", "LeakyRelu", "MaxPool", "Pad", "Resize")
}
_FLOAT = ir.DataType.FLOAT


def lower_for_cuda(model: ir.Model) -> None:
    """Rewrite a model of any types, with static shapes, in place.

    Supported: MaxPool whose windows lie inside the image, Greater(y, 0) of a ReLU's result, Resize that repeats pixels;
    every other node without a kernel in bfloat16 is computed in float32.
    """
    infer_shapes(model)
    for node in list(model.graph):
        if node.op_type == "MaxPool" and model.opset_imports[""] >= MAX_POOL_GONE and _max_of_slices(model.graph, node):
            continue
        if node.op_type in WITHOUT_BFLOAT16 and any(map(_is_bfloat16, node.inputs)):
            if masked_relu(node) is not None:  # Greater(y, 0), and y is nowhere negative
                emit = Inserter(model.graph, node)
                emit.take_over(emit("Cast", node.inputs[0], like=node.outputs[0], to=ir.DataType.BOOL))
            elif not _repeat_by_expand(model.graph, node):
                _in_float32(model.graph, node)


def _max_of_slices(graph: ir.Graph, node: ir.Node) -> bool:
    """Put the maximum of strided slices, one for each place in a window, in a MaxPool's place; say whether it did."""
    x, y = node.inputs[0], node.outputs[0]
    sizes, counts = sizes_of(x), sizes_of(y)
    kernel = node.attributes.get_ints("kernel_shape")
    axes = list(range(2, 2 + len(kernel)))
    strides = node.attributes.get_ints("strides", [1] * len(axes))
    dilations = node.attributes.get_ints("dilations", [1] * len(axes))
    if sizes is None or counts is None or len(node.outputs) > 1 or any(node.attributes.get_ints("pads", [])):
        return False
    reach = [(count - 1) * stride + 1 for count, stride in zip(counts[2:], strides, strict=True)]
    ends = [end + (size - 1) * step for end, size, step in zip(reach, kernel, dilations, strict=True)]
    if any(end > size for end, size in zip(ends, sizes[2:], strict=True)):
        return False
    emit = Inserter(graph, node)
    slices = []
    for place in product(*map(range, kernel)):
        starts = [index * step for index, step in zip(place, dilations, strict=True)]
        limits = [start + end for start, end in zip(starts, reach, strict=True)]
        slices.append(emit("Slice", x, *map(emit.integers, (starts, limits, axes, strides)), like=y))
    emit.take_over(emit("Max", *slices, like=y))
    return True


def _repeat_by_expand(graph: ir.Graph, node: ir.Node) -> bool:
    """Put Unsqueeze, Expand and Reshape in the place of a Resize that repeats pixels; say whether it did."""
    before, after = sizes_of(node.inputs[0]), sizes_of(node.outputs[0])
    if node.op_type != "Resize" or before is None or after is None or len(before) != 4 or before[:2] != after[:2]:
        return False
    if not repeats_pixels(node):
        return False
    repeats = [end // size for size, end in zip(before[2:], after[2:], strict=True)]
    if [size * repeat for size, repeat in zip(before[2:], repeats, strict=True)] != list(after[2:]):
        return False
    emit = Inserter(graph, node)
    spread = [*before[:2], before[2], repeats[0], before[3], repeats[1]]
    single = emit("Unsqueeze", node.inputs[0], emit.integers([3, 5]), like=node.outputs[0])
    repeated = emit("Expand", single, emit.integers(spread), like=node.outputs[0])
    single.shape = ir.Shape((*before[:2], before[2], 1, before[3], 1))
    repeated.shape = ir.Shape(spread)
    emit.take_over(emit("Reshape", repeated, emit.integers(after), like=node.outputs[0]))
    return True


def _in_float32(graph: ir.Graph, node: ir.Node) -> None:
    """Compute one node in float32, between casts."""
    emit = Inserter(graph, node)
    for index, value in enumerate(node.inputs):
        if value is not None and _is_bfloat16(value):
            node.replace_input_with(index, emit("Cast", value, like=value, dtype=_FLOAT, to=_FLOAT))
    result = node.outputs[0]
    if _is_bfloat16(result):
        result.type = ir.TensorType(_FLOAT)
        cast_for(graph, list(result.uses()), result, ir.DataType.BFLOAT16, f"{result.name}.wide")


def _is_bfloat16(value: ir.Value | None) -> bool:
    return value is not None and value.dtype == ir.DataType.BFLOAT16
