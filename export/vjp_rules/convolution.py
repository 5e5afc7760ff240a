"""Rules of convolutions.

Supported: Conv and ConvTranspose with any number of spatial axes, stride, dilation, group, pads (auto_pad too), with
respect to the image, the weights and the bias. The gradient of a convolution of stride 1 is a convolution with the
kernel reversed in space and its channels exchanged; nodes that constant folding removes say so, and the file keeps one
copy of the weights.
"""

from collections.abc import Sequence

import onnx_ir as ir

from impasto.export.vjp_rules.emission import Emission
from impasto.export.vjp_rules.inspection import given, static_shape
from impasto.export.vjp_rules.padding import cropped
from impasto.export.vjp_rules.table import Cotangents, rule
from impasto.export.vjp_rules.windows import Windows, windows

_TO_THE_FIRST = -(2**31)


@rule("Conv")
def conv(emit: Emission, node: ir.Node, cotangents: Cotangents, wanted: Sequence[bool]) -> Cotangents:
    """Differentiate y = x * W + b."""
    d, (x, w) = given(cotangents[0]), map(given, node.inputs[:2])
    geometry = windows(node, static_shape(node, w)[2:], sizes_of=x, counts_of=node.outputs[0])
    d_bias = _d_bias(emit, d, geometry) if len(wanted) > 2 and wanted[2] else None
    return [*conv_cotangents(emit, node, d, x, w, wanted), d_bias]


def conv_cotangents(
    emit: Emission, node: ir.Node, d: ir.Value, x: ir.Value, w: ir.Value, wanted: Sequence[bool]
) -> Cotangents:
    """Emit the cotangents of image and weights."""
    group = node.attributes.get_int("group", 1)
    geometry = windows(node, static_shape(node, w)[2:], sizes_of=x, counts_of=node.outputs[0])
    return [
        _scatter(emit, node, d, x, w, geometry, group) if wanted[0] else None,
        _d_weights(emit, node, x, d, w, geometry, group) if wanted[1] else None,
    ]


@rule("ConvTranspose")
def conv_transpose(emit: Emission, node: ir.Node, cotangents: Cotangents, wanted: Sequence[bool]) -> Cotangents:
    """Differentiate the transpose of the convolution y -> x, which that convolution does."""
    d, (x, w) = given(cotangents[0]), map(given, node.inputs[:2])
    group = node.attributes.get_int("group", 1)
    geometry = _transposed_windows(node, x, w)
    d_x = None
    if wanted[0]:
        d_x = emit.op("Conv", d, w, **_attributes(geometry, group), pads=[*geometry.before, *geometry.after])
        d_x = _without_extra_windows(emit, node, d_x, geometry)
    return [
        d_x,
        _d_weights(emit, node, d, x, w, geometry, group) if wanted[1] else None,
        _d_bias(emit, d, geometry) if len(wanted) > 2 and wanted[2] else None,
    ]


def _without_extra_windows(emit: Emission, node: ir.Node, d_x: ir.Value, geometry: Windows) -> ir.Value:
    """Cut the windows that an output_padding of a stride or more makes room for."""
    extra = node.attributes.get_ints("output_padding", (0,) * len(geometry.kernel))
    if all(add < stride for add, stride in zip(extra, geometry.strides, strict=True)):
        return d_x
    counts = static_shape(node, node.inputs[0])[2:]
    return emit.op("Slice", d_x, [0] * len(counts), list(counts), list(range(2, 2 + len(counts))))


def _attributes(geometry: Windows, group: int) -> dict[str, object]:
    return {"strides": geometry.strides, "dilations": geometry.dilations, "group": group}


def _scatter(
    emit: Emission, node: ir.Node, d: ir.Value, x: ir.Value, w: ir.Value, geometry: Windows, group: int
) -> ir.Value:
    """Emit the transpose of the convolution, applied to d."""
    if geometry.is_dense:
        before = [extent - 1 - pad for extent, pad in zip(geometry.extent, geometry.before, strict=True)]
        after = [extent - 1 - pad for extent, pad in zip(geometry.extent, geometry.after, strict=True)]
        # Negative pads, as of a 1x1 kernel with padding: cut what only met the padding.
        outside = [(max(-first, 0), max(-last, 0)) for first, last in zip(before, after, strict=True)]
        inner = cropped(emit, d, [(0, 0), (0, 0), *outside])
        pads = [max(pad, 0) for pad in (*before, *after)]
        turned = _turned(emit, node, w, group)
        return emit.op("Conv", inner, turned, **_attributes(geometry, group), pads=pads)
    sizes, counts = static_shape(node, x)[2:], static_shape(node, node.outputs[0])[2:]
    reach = geometry.reach_after(sizes, counts)
    return emit.op("ConvTranspose", d, w, **geometry.scatter_attributes(reach, group))


def _turned(emit: Emission, node: ir.Node, w: ir.Value, group: int) -> ir.Value:
    """Emit the kernel reversed in space, its channels exchanged within each group: [C, O / g, ...]."""
    out, per_group, *kernel = static_shape(node, w)
    spatial = range(2, 2 + len(kernel))
    if group == 1:
        w = emit.op("Transpose", w, perm=[1, 0, *spatial])
    elif (out // group, per_group) != (1, 1):
        w = emit.op("Reshape", w, [group, out // group, per_group, *kernel])
        w = emit.op("Transpose", w, perm=[0, 2, 1, *(axis + 1 for axis in spatial)])
        w = emit.op("Reshape", w, [group * per_group, out // group, *kernel])
    axes = [axis for axis in spatial if kernel[axis - 2] > 1]
    if not axes:
        return w
    every = [-1] * len(axes)
    return emit.op("Slice", w, every, [_TO_THE_FIRST] * len(axes), axes, every)


def _d_weights(
    emit: Emission,
    node: ir.Node,
    image: ir.Value,
    windowed: ir.Value,
    w: ir.Value,
    geometry: Windows,
    group: int,
) -> ir.Value:
    """Emit the correlation of the image with one number per window: a convolution over the batch.

    Channels take the place of the batch and the batch that of the channels; stride and dilation change places.
    """
    kernel = static_shape(node, w)[2:]
    spatial = list(range(2, 2 + len(kernel)))
    swap = [1, 0, *spatial]
    if group == 1:
        samples = emit.op("Transpose", image, perm=swap)
    else:
        batch, channels, *sizes = static_shape(node, image)
        samples = emit.op("Reshape", image, [batch, group, channels // group, *sizes])
        samples = emit.op("Transpose", samples, perm=[2, 1, 0, *(axis + 1 for axis in spatial)])
        samples = emit.op("Reshape", samples, [channels // group, group * batch, *sizes])
    correlation = emit.op(
        "Conv",
        samples,
        emit.op("Transpose", windowed, perm=swap),
        strides=geometry.dilations,
        dilations=geometry.strides,
        pads=[*geometry.before, *geometry.after],
        group=group,
    )
    turned = emit.op("Transpose", correlation, perm=swap)
    return turned if geometry.is_dense else emit.op("Slice", turned, [0] * len(kernel), list(kernel), spatial)


def _d_bias(emit: Emission, d: ir.Value, geometry: Windows) -> ir.Value:
    """Emit the sum over batch and positions."""
    return emit.op("ReduceSum", d, [0, *range(2, 2 + len(geometry.kernel))], keepdims=0)


def _transposed_windows(node: ir.Node, x: ir.Value, w: ir.Value) -> Windows:
    """Return the windows of the convolution that a ConvTranspose node transposes; its pads are what it crops."""
    kernel = static_shape(node, w)[2:]
    if "output_shape" in node.attributes or node.attributes.get_string("auto_pad", "NOTSET").startswith("SAME"):
        return _cropping_windows(node, x, kernel)
    return windows(node, kernel, sizes_of=node.outputs[0], counts_of=x)


def _cropping_windows(node: ir.Node, x: ir.Value, kernel: tuple[int, ...]) -> Windows:
    """Return the windows where the output's size is given and the pads follow from it (ONNX: ConvTranspose)."""
    axes = len(kernel)
    strides = tuple(node.attributes.get_ints("strides", (1,) * axes))
    dilations = tuple(node.attributes.get_ints("dilations", (1,) * axes))
    unpadded = Windows(kernel, strides, dilations, (0,) * axes, (0,) * axes)
    extra = node.attributes.get_ints("output_padding", (0,) * axes)
    sizes, counts = static_shape(node, node.outputs[0])[2:], static_shape(node, x)[2:]
    totals = [reach + add for reach, add in zip(unpadded.reach_after(sizes, counts), extra, strict=True)]
    return unpadded.padded(totals, is_upper=node.attributes.get_string("auto_pad", "NOTSET") == "SAME_UPPER")
