"""Taps that are a linear readout of other features: their statistics without computing them.

Where a tap is F = R f at every position (a 1x1 convolution without bias), F F^T = R (f f^T) R^T: two products of
channels x channels in the place of a convolution, and of its gradient, over all positions. The mean is R times that of
f, and the covariance is R (...) R^T like the Gram matrix.
"""

import numpy as np
import onnx_ir as ir

from impasto.export.losses import Emitter, mean_gram, static_shape
from impasto.export.moments import centred, spatial_mean
from impasto.export.newton_schulz import exact_product

UNIT = {"strides": (1, 1), "pads": (0, 0, 0, 0), "dilations": (1, 1), "group": 1, "auto_pad": "NOTSET"}


def tap_gram(emit: Emitter, features: ir.Value, name: str) -> ir.Value:
    """Emit what `mean_gram` emits for a tap, computed from f where that is cheaper."""
    source, matrix = _cheapest(features)
    if matrix is None:
        return mean_gram(emit, source, name)
    own = mean_gram(emit, source, f"{name}.own")
    left = emit.op("MatMul", emit.constant(f"{name}.readout", matrix), own, name=f"{name}.left")
    right = emit.constant(f"{name}.readout_transposed", np.ascontiguousarray(matrix.T))
    return emit.op("MatMul", left, right, name=name)


def tap_moments(emit: Emitter, features: ir.Value, mean_name: str, name: str) -> tuple[ir.Value, ir.Value]:
    """Emit the mean over positions [N, C, 1] and the covariance [N, C, C], called ``name``, of a tap."""
    source, matrix = _cheapest(features)
    mean = spatial_mean(emit, source, f"{name}.mean")
    without = centred(emit, source, mean, f"{name}.centred")
    own = mean_gram(emit, without, name if matrix is None else f"{name}.own")
    channels = static_shape(source)[1]
    column = emit.op("Reshape", mean, emit.ints(f"{name}.column", 0, channels, 1))
    column.name = mean_name if matrix is None else f"{name}.own_mean"
    if matrix is None:
        return column, own
    left = emit.constant(f"{name}.readout", matrix)
    right = emit.constant(f"{name}.readout_transposed", np.ascontiguousarray(matrix.T))
    covariance = exact_product(emit, exact_product(emit, left, own, f"{name}.left"), right, name)
    return emit.op("MatMul", left, column, name=mean_name), covariance


def _cheapest(features: ir.Value) -> tuple[ir.Value, np.ndarray | None]:
    """Return f and R of a tap F = R f; the tap itself and None where that is no cheaper."""
    readout = _readout(features)
    return (features, None) if readout is None or static_shape(readout[0])[1] > len(readout[1]) else readout


def _readout(features: ir.Value) -> tuple[ir.Value, np.ndarray] | None:
    """Return f and R of a tap F = R f; None for any other tap."""
    node = features.producer()
    if node is None or node.op_type != "Conv" or len(node.inputs) != 2:
        return None
    source, kernel = node.inputs
    if source is None or kernel is None or kernel.const_value is None:
        return None
    weight = kernel.const_value.numpy()
    plain = all(np.array_equal(np.array(UNIT[key]), own.value) for key, own in node.attributes.items() if key in UNIT)
    return (source, weight[:, :, 0, 0]) if plain and weight.shape[2:] == (1, 1) else None
