"""A network whose filters all have a mean activation of 1, computing the same up to these factors.

Gatys, Ecker and Bethge, "Image Style Transfer Using Convolutional Neural Networks" (CVPR 2016), section 2: "We
normalized the network by scaling the weights such that the mean activation of each convolutional filter over images and
positions is equal to one. Such re-scaling can be done for the VGG network without changing its output, because it
contains only rectifying linear activation functions and no normalization or pooling over feature maps."

Differs from Gatys et al., arXiv:1508.06576: that version has the network as it was trained.
"""

from collections.abc import Iterator, Mapping

import numpy as np
import onnx_ir as ir

from impasto.export.lowering.rewriting import producer
from impasto.export.tap_graph import available_taps
from impasto.models.errors import ImpastoError

POOLINGS = ("AveragePool", "MaxPool", "GlobalAveragePool")


def normalise(model: ir.Model, means: Mapping[str, np.ndarray]) -> tuple[str, ...]:
    """Divide every filter by its mean activation, and make up for it in the layers that read it; in place.

    Args:
        model: a features model whose every tap is the ReLU of a convolution that only convolutions and poolings read.
        means: of every tap, by name, (channels,), 0 or more, float64.

    Returns:
        The filters whose mean is 0, as `relu3_1[17]`; they stay as they are.

    Raises:
        ImpastoError: the model is not of that form.
    """
    silent = []
    outputs = {output.name: output for output in model.graph.outputs}
    for tap in available_taps(model):
        scale = np.where(means[tap] > 0, means[tap], 1.0)
        silent += [f"{tap}[{channel}]" for channel in np.flatnonzero(means[tap] <= 0)]
        convolution = _convolution_of(outputs[tap])
        for position in range(1, len(convolution.inputs)):
            _multiply(convolution, position, 1 / scale, axis=0)
        for reader in _readers(outputs[tap], tap):
            _multiply(reader, 1, scale, axis=1)
    return tuple(silent)


def _convolution_of(tap: ir.Value) -> ir.Node:
    """Return the convolution whose ReLU a tap is."""
    relu = tap.producer()
    before = producer(relu.inputs[0]) if relu is not None and relu.op_type == "Relu" else None
    if before is None or before.op_type != "Conv":
        kind = relu.op_type if relu is not None else "input"
        raise ImpastoError(
            f"cannot normalise {tap.name}: it is the output of {kind}, expected the ReLU of a Conv; "
            "take a network of such taps, as vgg19 (`impasto weights fetch vgg19`)"
        )
    return before


def _readers(value: ir.Value, tap: str) -> Iterator[ir.Node]:
    """Yield the convolutions that read a value, directly or through poolings."""
    for node, position in value.uses():
        if node.op_type in POOLINGS:
            yield from _readers(node.outputs[0], tap)
        elif node.op_type == "Conv" and position == 0 and node.attributes.get_int("group", 1) == 1:
            yield node
        else:
            raise ImpastoError(
                f"cannot normalise {tap}: {node.op_type} {node.name} reads it, expected Conv or a pooling"
            )


def _multiply(node: ir.Node, position: int, factors: np.ndarray, axis: int) -> None:
    """Multiply a node's constant input along one axis, in float64."""
    weight = node.inputs[position]
    if weight is None or weight.const_value is None or len(weight.uses()) != 1:
        raise ImpastoError(f"cannot normalise {node.name}: its weights must be constants of its own")
    array = weight.const_value.numpy()
    shape = [1] * array.ndim
    shape[axis] = -1
    weight.const_value = ir.tensor((array * factors.reshape(shape)).astype(array.dtype), name=weight.name)
