"""Taps that are a linear readout of other features: their Gram matrix without computing them.

Where a tap is F = R f at every position (a 1x1 convolution without bias), F F^T = R (f f^T) R^T: two products of
channels x channels in the place of a convolution, and of its gradient, over all positions.
"""

import numpy as np
import onnx_ir as ir

from impasto.export.losses import Emitter, mean_gram, static_shape

UNIT = {"strides": (1, 1), "pads": (0, 0, 0, 0), "dilations": (1, 1), "group": 1, "auto_pad": "NOTSET"}


def tap_gram(emit: Emitter, features: ir.Value, name: str) -> ir.Value:
    """Emit what `mean_gram` emits for a tap, computed from f where that is cheaper."""
    readout = _readout(features)
    if readout is None:
        return mean_gram(emit, features, name)
    source, matrix = readout
    if static_shape(source)[1] > len(matrix):
        return mean_gram(emit, features, name)
    own = mean_gram(emit, source, f"{name}.own")
    left = emit.op("MatMul", emit.constant(f"{name}.readout", matrix), own, name=f"{name}.left")
    right = emit.constant(f"{name}.readout_transposed", np.ascontiguousarray(matrix.T))
    return emit.op("MatMul", left, right, name=name)


def _readout(features: ir.Value) -> tuple[ir.Value, np.ndarray] | None:
    """Return f and R of a tap F = R f; None for any other tap."""
    node = features.producer()
    if node is None or node.op_type != "Conv" or len(node.inputs) != 2:
        return None
    source, kernel = node.inputs
    if source is None or kernel is None or kernel.const_value is None:
        return None
    weight = kernel.const_value.numpy()
    attributes = {name: attribute.value for name, attribute in node.attributes.items() if name in UNIT}
    plain = all(_same(UNIT[name], value) for name, value in attributes.items())
    return (source, weight[:, :, 0, 0]) if plain and weight.shape[2:] == (1, 1) else None


def _same(expected: object, value: object) -> bool:
    return tuple(value) == expected if isinstance(expected, tuple) else value == expected  # type: ignore[arg-type]
