"""The terms of the objective as subgraphs: content and style.

Every function appends nodes to a tape and returns a value of shape [N, 1]: one unweighted loss per sample.
Equations are those of Gatys, Ecker and Bethge, "A Neural Algorithm of Artistic Style" (arXiv:1508.06576).

F in R^(C x M) holds the C feature maps of a tap over M = height x width positions.
"""

import numpy as np
import onnx_ir as ir
from onnx_ir.tape import Tape

from impasto.models.errors import ImpastoError


class Emitter:
    """A tape that names constants by their use and keeps each of them once.

    Attributes:
        held_names: names of the values from `held`.
    """

    def __init__(self, tape: Tape) -> None:
        self._tape = tape
        self._constants: dict[str, ir.Value] = {}
        self.held_names: list[str] = []

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

    def held(self, value: ir.Value) -> ir.Value:
        """Return a value that counts as a constant for the gradient; the given one is named."""
        name = f"{value.name}.held"
        self.held_names.append(name)
        return self.op("Identity", value, name=name)

    def scalar(self, name: str, value: float) -> ir.Value:
        """Return the float32 scalar ``name``."""
        return self.constant(name, np.array(value, np.float32))

    def ints(self, name: str, *values: int) -> ir.Value:
        """Return the int64 vector ``name``."""
        return self.constant(name, np.array(values, np.int64))


def mean_gram(emit: Emitter, features: ir.Value, name: str) -> ir.Value:
    """Emit the Gram matrix over its number of positions, G / M with G = F F^T (equation 3).

    Differs from Gatys et al.: G is divided by M here and not in equation 4. For images of one size the M cancels in
    `gram_loss`; for others the literal difference of sums would compare areas instead of textures.

    The features are [N, C, H, W], all but N static, and the result is [N, C, C].
    """
    _, channels, height, width = static_shape(features)
    shape = emit.ints(f"{name}.shape", 0, channels, height * width)
    flat = emit.op("Reshape", features, shape, name=f"{name}.flat")
    transposed = emit.op("Transpose", flat, perm=[0, 2, 1], name=f"{name}.transposed")
    product = emit.op("MatMul", flat, transposed, name=f"{name}.product")
    return emit.op("Mul", product, emit.scalar(f"{name}.one_over_m", 1.0 / (height * width)), name=name)


def gram_loss(emit: Emitter, gram: ir.Value, target: ir.Value, channels: int, name: str) -> ir.Value:
    """Emit E = 1 / (4 C^2 M^2) sum (G - A)^2 (equation 4), from G / M and A / M, both [N, C, C].

    Differs from Gatys et al. for `gram-mean`: both are covariance matrices, Gram matrices of features without their
    mean.
    """
    difference = emit.op("Sub", gram, target, name=f"{name}.difference")
    total = summed(emit, difference, (1, 2), name)
    return emit.op("Mul", total, emit.scalar(f"{name}.scale", 1.0 / (4.0 * channels**2)), name=name)


def content_loss(emit: Emitter, features: ir.Value, target: ir.Value, name: str) -> ir.Value:
    """Emit 1/2 sum (F - P)^2 (equation 1), both [N, C, H, W]."""
    difference = emit.op("Sub", features, target, name=f"{name}.difference")
    total = summed(emit, difference, (1, 2, 3), name)
    return emit.op("Mul", total, emit.scalar("half", 0.5), name=name)


def static_shape(value: ir.Value) -> tuple[int, ...]:
    """Return the shape of a value as integers.

    Raises:
        ImpastoError: a dimension is not known.
    """
    if value.shape is None or not value.shape.is_static():
        raise ImpastoError(
            f"not a features model: the shape of {value.name} is {value.shape or 'not known'} for an image of known "
            "size; expected [N, channels, h, w]"
        )
    return tuple(int(size) for size in value.shape)  # type: ignore[arg-type]


def summed(
    emit: Emitter, value: ir.Value, axes: tuple[int, ...], name: str, first: str = "ReduceSumSquare"
) -> ir.Value:
    """Emit the sum over the given axes, which are all but the first, of [N, ...] as [N, 1]; of squares by default.

    Axis by axis, last first: summed in one go, the 512 x 512 entries of a Gram matrix in float32 lose four digits.
    """
    called = f"{name}.squares" if first == "ReduceSumSquare" else f"{name}.sum_{axes[-1]}"
    total = emit.op(first, value, emit.ints(f"axis_{axes[-1]}", axes[-1]), keepdims=0, name=called)
    for axis in reversed(axes[:-1]):
        last = axis == axes[0]
        total = emit.op(
            "ReduceSum", total, emit.ints(f"axis_{axis}", axis), keepdims=int(last), name=f"{name}.sum_{axis}"
        )
    return total
