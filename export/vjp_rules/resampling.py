"""The rule of Resize.

Supported: nearest (all nearest_modes), linear and cubic (cubic_coeff_a, exclude_outside); scales or sizes, axes and
keep_aspect_ratio_policy; the coordinate modes half_pixel, half_pixel_symmetric, pytorch_half_pixel, align_corners,
asymmetric. Refused: antialias, tf_crop_and_resize.

Resampling is linear in the image and goes axis by axis, so that it is a matrix A per axis, d_x = A^T d. Nearest
upsampling by an integer, where A repeats elements, becomes a sum over blocks.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
import onnx_ir as ir

from impasto.export.vjp_rules.emission import Emission
from impasto.export.vjp_rules.errors import GradientError
from impasto.export.vjp_rules.inspection import constant_array, describe, static_shape
from impasto.export.vjp_rules.table import first_input_rule


@first_input_rule("Resize")
def resize(emit: Emission, node: ir.Node, x: ir.Value, d: ir.Value) -> ir.Value:
    """Apply the transposed matrices."""
    _check(node)
    sizes, resized = static_shape(node, x), static_shape(node, node.outputs[0])
    matrices = {
        axis: _matrix(node, sizes[axis], resized[axis], scale)
        for axis, scale in enumerate(_scales(node, sizes, resized))
        if scale != 1.0 or sizes[axis] != resized[axis]
    }
    factors = [_repetition(matrices[axis]) if axis in matrices else 1 for axis in range(len(sizes))]
    if all(factors):
        return _block_sums(emit, d, sizes, factors)
    for axis, matrix in matrices.items():
        d = _product(
            emit, d, axis, len(sizes), emit.array(matrix, x, f"gradient.resize_{'x'.join(map(str, matrix.shape))}")
        )
    return d


def _check(node: ir.Node) -> None:
    """Refuse what has no rule."""
    mode = _coordinate_mode(node)
    if mode not in COORDINATES:
        legal = ", ".join(COORDINATES)
        raise GradientError(
            f"{describe(node)} has coordinate_transformation_mode {mode!r}; there are rules for {legal}"
        )
    if node.attributes.get_int("antialias", 0):
        raise GradientError(f"{describe(node)} has antialias, for which there is no gradient rule; use antialias 0")


def _coordinate_mode(node: ir.Node) -> str:
    return node.attributes.get_string("coordinate_transformation_mode", "half_pixel")


def _scales(node: ir.Node, sizes: Sequence[int], resized: Sequence[int]) -> list[float]:
    """Return the scale along every axis: as given, or from the sizes as the standard defines it."""
    scales = constant_array(node, 2)
    axes = [axis % len(sizes) for axis in node.attributes.get_ints("axes", range(len(sizes)))]
    result = [1.0] * len(sizes)
    if scales is not None and scales.size:
        for axis, scale in zip(axes, scales.ravel(), strict=True):
            result[axis] = float(scale)
        return result
    policy = node.attributes.get_string("keep_aspect_ratio_policy", "stretch")
    ratios = [int(wanted) / sizes[axis] for axis, wanted in zip(axes, _wanted_sizes(node), strict=True)]
    if policy != "stretch":
        ratios = [min(ratios) if policy == "not_larger" else max(ratios)] * len(axes)
    for axis, ratio in zip(axes, ratios, strict=True):
        result[axis] = ratio
    return result


def _wanted_sizes(node: ir.Node) -> Sequence[int]:
    sizes = constant_array(node, 3)
    if sizes is None:
        raise GradientError(f"{describe(node)} has neither scales nor sizes; check the model with onnx.checker")
    return [int(size) for size in sizes.ravel()]


COORDINATES: dict[str, Callable[[np.ndarray, np.float32, int, int], np.ndarray]] = {
    "half_pixel": lambda positions, scale, size, resized: (positions + 0.5) / scale - 0.5,
    # The grid is centred on the image where the rounded size is not scale times the size.
    "half_pixel_symmetric": lambda positions, scale, size, resized: (
        size / 2 * (1 - resized / (scale * size)) + (positions + 0.5) / scale - 0.5
    ),
    "pytorch_half_pixel": lambda positions, scale, size, resized: (
        (positions + 0.5) / scale - 0.5 if resized > 1 else 0.0 * positions
    ),
    "asymmetric": lambda positions, scale, size, resized: positions / scale,
    "align_corners": lambda positions, scale, size, resized: (
        positions * (size - 1) / (resized - 1) if resized > 1 else 0.0 * positions
    ),
}
"""Positions in the resized axis, scale, both sizes -> positions in the original axis."""

NEAREST: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "round_prefer_floor": lambda positions: np.ceil(positions - 0.5),
    "round_prefer_ceil": lambda positions: np.floor(positions + 0.5),
    "floor": np.floor,
    "ceil": np.ceil,
}


def _matrix(node: ir.Node, size: int, resized: int, scale: float) -> np.ndarray:
    """Return A of y = A x along one axis, (resized, size)."""
    mode = node.attributes.get_string("mode", "nearest")
    # Engines compute coordinates in float32: their rounding, and on which side a tie falls, is part of the function.
    positions = np.arange(resized, dtype=np.float32)
    original = COORDINATES[_coordinate_mode(node)](positions, np.float32(scale), size, resized)
    if mode == "nearest":
        chosen = NEAREST[node.attributes.get_string("nearest_mode", "round_prefer_floor")](original)
        taps, weights = chosen[:, None], np.ones((resized, 1))
    else:
        base = np.floor(original)
        offsets = np.arange(2) if mode == "linear" else np.arange(-1, 3)
        taps = base[:, None] + offsets
        distance = np.abs(original[:, None] - taps)
        weights = (
            1 - distance if mode == "linear" else _cubic(distance, node.attributes.get_float("cubic_coeff_a", -0.75))
        )
        if mode == "cubic" and node.attributes.get_int("exclude_outside", 0) == 1:
            weights = np.where((taps < 0) | (taps >= size), 0, weights)
            weights /= weights.sum(1, keepdims=True)
    matrix = np.zeros((resized, size))
    rows = np.repeat(np.arange(resized), taps.shape[1])
    np.add.at(matrix, (rows, np.clip(taps, 0, size - 1).astype(int).ravel()), weights.ravel())
    return matrix


def _cubic(distance: np.ndarray, a: float) -> np.ndarray:
    """Return the weights of cubic convolution (Keys 1981, equation 4 with a for -1/2)."""
    near = ((a + 2) * distance - (a + 3)) * distance**2 + 1
    far = ((distance - 5) * distance + 8) * distance * a - 4 * a
    return np.where(distance <= 1, near, np.where(distance < 2, far, 0.0))


def _repetition(matrix: np.ndarray) -> int:
    """Return k where the matrix repeats every element k times, else 0."""
    resized, size = matrix.shape
    factor, rest = divmod(resized, size)
    return factor if not rest and np.array_equal(matrix, np.repeat(np.eye(size), factor, axis=0)) else 0


def _block_sums(emit: Emission, d: ir.Value, sizes: Sequence[int], factors: Sequence[int]) -> ir.Value:
    """Emit the sum over blocks: an average pooling where the blocks are spatial, else a reshape and a sum."""
    count = math.prod(factors)
    if len(sizes) > 2 and factors[0] == factors[1] == 1:
        kernel = list(factors[2:])
        return emit.op("Mul", emit.op("AveragePool", d, kernel_shape=kernel, strides=kernel), float(count))
    shape = [number for pair in zip(sizes, factors, strict=True) for number in pair]
    return emit.op("ReduceSum", emit.op("Reshape", d, shape), list(range(1, len(shape), 2)), keepdims=0)


def _product(emit: Emission, d: ir.Value, axis: int, axes: int, matrix: ir.Value) -> ir.Value:
    """Emit A^T d along an axis."""
    if axis == axes - 2:
        return emit.op("MatMul", emit.op("Transpose", matrix, perm=[1, 0]), d)
    if axis == axes - 1:
        return emit.op("MatMul", d, matrix)
    swap = list(range(axes))
    swap[axis], swap[-1] = axes - 1, axis
    return emit.op("Transpose", emit.op("MatMul", emit.op("Transpose", d, perm=swap), matrix), perm=swap)
