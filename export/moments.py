"""Mean and covariance of a tap, and the distance of Gaussians that have them.

The style loss of crowsonkb/style-transfer-pytorch: the squared Wasserstein-2 distance

    |m1 - m2|^2 + tr(C1 + C2 - 2 (C2^(1/2) C1 C2^(1/2))^(1/2))

of N(m1, C1) and N(m2, C2) (Dowson and Landau, "The Frechet distance between multivariate normal distributions", 1982).
Differs from Gatys et al.: their style loss compares Gram matrices (equations 3 and 4).
Differs from crowsonkb/style-transfer-pytorch: the iteration goes on until float32 is exact to about 1e-6 of tr C2, and
its gradient is that of the exact root.
"""

import onnx_ir as ir

from impasto.export.losses import Emitter, static_shape
from impasto.export.newton_schulz import exact_product, identity, inverse_root, matrix_sum, matrix_trace
from impasto.export.square_root import FLOOR

_TINY = 1e-30  # the root of an empty sample stays zeros


def spatial_mean(emit: Emitter, features: ir.Value, name: str) -> ir.Value:
    """Emit the means of feature maps [N, C, H, W] as [N, C, 1, 1], row by row."""
    rows = emit.op("ReduceMean", features, emit.ints("axis_3", 3), name=f"{name}.rows")
    return emit.op("ReduceMean", rows, emit.ints("axis_2", 2), name=name)


def centred(emit: Emitter, features: ir.Value, mean: ir.Value, name: str) -> ir.Value:
    """Emit features without their mean.

    The mean counts as a constant: the derivative of a covariance by the mean, -2 sum (F - m), is 0.
    """
    result = emit.op("Sub", features, emit.held(mean), name=name)
    result.shape, result.type = features.shape, features.type
    return result


def wasserstein_loss(
    emit: Emitter, moments: tuple[ir.Value, ir.Value], target: tuple[ir.Value, ir.Value], name: str
) -> ir.Value:
    """Emit the squared distance [N, 1] of means [N, C, 1] and covariances [N, C, C] to a target's mean and root B.

    B is from `impasto.export.square_root`; its columns are 0 in the directions in which the painting does not vary. In
    the others C1 is raised by e as C2 is in B; and where tr C1 > 4 |B|^2 by `FLOOR` tr C1 / (4 C), so that its own
    rounding cannot make S indefinite.
    """
    (mean, covariance), (target_mean, root) = moments, target
    channels = static_shape(root)[1]
    unit = identity(emit, channels)
    power = emit.op("ReduceSumSquare", root, emit.ints("axis_1", 1), name=f"{name}.power")  # [N, 1, C]
    trace = matrix_trace(emit, covariance, unit, f"{name}.trace")
    total = _row_sum(emit, power, f"{name}.target")
    quarter = emit.op("Mul", trace, emit.scalar("quarter", 0.25), name=f"{name}.quarter")
    larger = emit.op("Max", total, quarter, name=f"{name}.larger")
    floor = emit.op("Mul", larger, emit.scalar(f"{name}.share", FLOOR / channels), name=f"{name}.floor")
    overlap = _trace_of_root(emit, (covariance, floor), (root, power, total), f"{name}.overlap")
    count = _row_sum(emit, emit.op("Sign", power, name=f"{name}.varies"), f"{name}.count")
    floors = emit.op("Mul", floor, count, name=f"{name}.floors")
    own = emit.op("Add", trace, floors, name=f"{name}.own")
    both = emit.op("Add", own, total, name=f"{name}.both")
    doubled = emit.op("Mul", overlap, emit.scalar("two", 2.0), name=f"{name}.doubled")
    spread = emit.op("Sub", both, doubled, name=f"{name}.spread")
    difference = emit.op("Sub", mean, target_mean, name=f"{name}.difference")
    means = matrix_sum(emit, "ReduceSumSquare", difference, f"{name}.means")
    whole = emit.op("Add", means, spread, name=f"{name}.whole")
    return emit.op("Reshape", whole, emit.ints("one_column", 0, 1), name=name)


def _row_sum(emit: Emitter, rows: ir.Value, name: str) -> ir.Value:
    """Emit the sums [N, 1, 1] of rows [N, 1, C]."""
    return emit.op("ReduceSum", rows, emit.ints("axis_2", 2), name=name)


def _trace_of_root(
    emit: Emitter, own: tuple[ir.Value, ir.Value], target: tuple[ir.Value, ir.Value, ir.Value], name: str
) -> ir.Value:
    """Emit tr S^(1/2) of S = B^T (C1 + e) B, [N, 1, 1], with the derivative 1/2 S^(-1/2).

    Its own are C1 and e; the target's are B, the sums of squares of its columns, and their sum.

    tr S^(1/2) is the least 1/2 (tr S Z + tr Z^(-1)) over positive definite Z, at Z = S^(-1/2). So Z and Z^(-1) count as
    constants (the envelope theorem), and an error of Z changes the value by its square.
    """
    (covariance, floor), (root, power, total) = own, target
    unit = identity(emit, static_shape(root)[1])
    square = emit.op("Max", total, emit.scalar("tiny", _TINY), name=f"{name}.square")
    length = emit.op("Sqrt", square, name=f"{name}.length")
    scaled = emit.op("Div", root, length, name=f"{name}.root")  # S / |B|^2 cannot overflow where C1 does not
    across = emit.op("Transpose", scaled, perm=[0, 2, 1], name=f"{name}.transposed")
    right = exact_product(emit, covariance, scaled, f"{name}.right")
    plain = exact_product(emit, across, right, f"{name}.plain")
    shares = emit.op("Mul", emit.op("Div", power, square, name=f"{name}.shares"), unit, name=f"{name}.diagonal")
    raised = emit.op("Mul", shares, floor, name=f"{name}.raised")
    matrix = emit.op("Add", plain, raised, name=f"{name}.matrix")
    trace, inverse = inverse_root(emit, emit.held(matrix), unit, name)
    product = emit.op("Mul", matrix, emit.held(inverse), name=f"{name}.product")
    first = matrix_sum(emit, "ReduceSum", product, f"{name}.first")
    halves = emit.op("Add", first, emit.held(trace), name=f"{name}.halves")
    half_length = emit.op("Mul", length, emit.scalar("half", 0.5), name=f"{name}.half_length")
    return emit.op("Mul", halves, half_length, name=name)
