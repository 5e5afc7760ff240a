"""The terms of the objective as subgraphs: content, style and total variation.

Every function appends nodes to a tape and returns a value of shape [N, 1]: one unweighted loss per sample.
Equations are those of Gatys, Ecker and Bethge, "A Neural Algorithm of Artistic Style" (arXiv:1508.06576).

F in R^(C x M) holds the C feature maps of a tap over M = height x width positions.
"""

import numpy as np
import onnx_ir as ir
from onnx_ir.tape import Tape


class Emitter:
    """A tape that names constants by their use and keeps each of them once."""

    def __init__(self, tape: Tape) -> None:
        self._tape = tape
        self._constants: dict[str, ir.Value] = {}

    def op(self, op_type: str, *inputs: ir.Value, name: str | None = None, **attributes: object) -> ir.Value:
        """Append one node and return its only output, called ``name`` where one is given."""
        value = self._tape.op(op_type, inputs, attributes)  # type: ignore[arg-type]
        value.name = name
        return value

    def constant(self, name: str, value: np.ndarray) -> ir.Value:
        """Return the initializer ``name``, made at first use."""
        if name not in self._constants:
            self._constants[name] = self._tape.initializer(ir.tensor(value, name=name))
        return self._constants[name]

    def scalar(self, name: str, value: float) -> ir.Value:
        """Return the float32 scalar ``name``."""
        return self.constant(name, np.array(value, np.float32))

    def ints(self, name: str, *values: int) -> ir.Value:
        """Return the int64 vector ``name``."""
        return self.constant(name, np.array(values, np.int64))


def mean_gram(emit: Emitter, features: ir.Value, name: str) -> ir.Value:
    """Emit the Gram matrix over its number of positions, G / M with G = F F^T (equation 3).

    Differs from Gatys et al.: G is divided by M here and not in equation 4. For images of one size the M cancels in
    `style_loss`; for others the literal difference of sums would compare areas instead of textures.

    The features are [N, C, H, W], all but N static, and the result is [N, C, C].
    """
    _, channels, height, width = static_shape(features)
    shape = emit.ints(f"{name}.shape", 0, channels, height * width)
    flat = emit.op("Reshape", features, shape, name=f"{name}.flat")
    transposed = emit.op("Transpose", flat, perm=[0, 2, 1], name=f"{name}.transposed")
    product = emit.op("MatMul", flat, transposed, name=f"{name}.product")
    return emit.op("Mul", product, emit.scalar(f"{name}.one_over_m", 1.0 / (height * width)), name=name)


def style_loss(emit: Emitter, gram: ir.Value, target: ir.Value, channels: int, name: str) -> ir.Value:
    """Emit E = 1 / (4 C^2 M^2) sum (G - A)^2 (equation 4), from G / M and A / M, both [N, C, C]."""
    difference = emit.op("Sub", gram, target, name=f"{name}.difference")
    total = _sum_of_squares(emit, difference, (1, 2), name)
    return emit.op("Mul", total, emit.scalar(f"{name}.scale", 1.0 / (4.0 * channels**2)), name=name)


def content_loss(emit: Emitter, features: ir.Value, target: ir.Value, name: str) -> ir.Value:
    """Emit 1/2 sum (F - P)^2 (equation 1), both [N, C, H, W]."""
    difference = emit.op("Sub", features, target, name=f"{name}.difference")
    total = _sum_of_squares(emit, difference, (1, 2, 3), name)
    return emit.op("Mul", total, emit.scalar("half", 0.5), name=name)


def total_variation(emit: Emitter, image: ir.Value, name: str, *, seamless: bool = False) -> ir.Value:
    """Emit the sum of squared differences of neighbouring pixels, [N, 3, H, W] in 0..1.

    This is the total variation norm of Mahendran and Vedaldi (arXiv:1412.0035, section 3.2) with beta = 2. With
    ``seamless`` opposite edges are neighbours, as in a tiling.
    Differs from Gatys et al.: the paper has no image prior; its weight is 0 by default.
    """
    _, _, height, width = static_shape(image)
    sums = []
    for axis, size, direction in ((2, height, "down"), (3, width, "across")):
        axes = emit.ints(f"axis_{axis}", axis)
        zero, one = emit.ints("index_0", 0), emit.ints("index_1", 1)
        end = emit.ints(f"{name}.{direction}.end", size)
        ahead = emit.op("Slice", image, one, end, axes, name=f"{name}.{direction}.ahead")
        if seamless:
            first = emit.op("Slice", image, zero, one, axes, name=f"{name}.{direction}.first")
            ahead = emit.op("Concat", ahead, first, axis=axis, name=f"{name}.{direction}.wrapped")
            behind = image
        else:
            last = emit.ints(f"{name}.{direction}.last", size - 1)
            behind = emit.op("Slice", image, zero, last, axes, name=f"{name}.{direction}.behind")
        difference = emit.op("Sub", ahead, behind, name=f"{name}.{direction}.difference")
        sums.append(_sum_of_squares(emit, difference, (1, 2, 3), f"{name}.{direction}"))
    return emit.op("Add", *sums, name=name)


def static_shape(value: ir.Value) -> tuple[int, ...]:
    """Return the shape of a value as integers.

    Raises:
        ValueError: a dimension is not known.
    """
    if value.shape is None or not value.shape.is_static():
        raise ValueError(f"the shape of {value.name} is not static: {value.shape}")
    return tuple(int(size) for size in value.shape)  # type: ignore[arg-type]


def _sum_of_squares(emit: Emitter, value: ir.Value, axes: tuple[int, ...], name: str) -> ir.Value:
    """Emit the sum over the given axes, which are all but the first, of [N, ...] as [N, 1].

    Axis by axis, last first: summed in one go, the 512 x 512 entries of a Gram matrix in float32 lose four digits.
    """
    total = emit.op(
        "ReduceSumSquare", value, emit.ints(f"axis_{axes[-1]}", axes[-1]), keepdims=0, name=f"{name}.squares"
    )
    for axis in reversed(axes[:-1]):
        last = axis == axes[0]
        total = emit.op(
            "ReduceSum", total, emit.ints(f"axis_{axis}", axis), keepdims=int(last), name=f"{name}.sum_{axis}"
        )
    return total
