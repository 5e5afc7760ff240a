"""A gradient compared with central finite differences, in float64 on ONNX's reference evaluator.

For the sum f of the losses and a random direction u, <grad f(x), u> = (f(x + h u) - f(x - h u)) / 2h + O(h^2). The
evaluator is slow: this is for small models.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from impasto.export.gradient.double_precision import in_float64
from impasto.export.library_errors import explained
from impasto.export.vjp_rules import GradientError
from impasto.export.vjp_rules.errors import FIX_SIZES

if TYPE_CHECKING:
    from onnx.reference.op_run import OpRun

Array = np.ndarray[Any, Any]
Run = Callable[[Sequence[str], Mapping[str, Array]], Sequence[Array]]

DIRECTIONS = 3
STEPS = (1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-4)
CLOSE = 1e-6
"""No other step is tried below this error."""
LARGEST_ERROR = 1e-4


@dataclass(frozen=True)
class Agreement:
    """How well a gradient agrees with finite differences.

    Attributes:
        wrt: the input.
        norm: of the gradient, Euclidean.
        error: the largest of several random directions: the difference of projected gradient and slope, as a share
            of the larger of the slope and the norm. Directions are standard normal, so that the projection is about as
            large as the norm.
        gradient: in float64, at a random input.
    """

    wrt: str
    norm: float
    error: float
    gradient: Array = field(compare=False, repr=False)

    @property
    def is_good(self) -> bool:
        """Whether the error is one of finite differences."""
        return self.error <= LARGEST_ERROR


def check_gradient(
    model: ir.Model,
    losses: Sequence[str],
    wrt: Sequence[str],
    *,
    feeds: Mapping[str, Array] | None = None,
    operators: "Sequence[type[OpRun]] | None" = None,
    seed: int = 0,
) -> list[Agreement]:
    """Compare the outputs ``d_<wrt>`` of a model with the slopes of the sum of its losses.

    Args:
        model: with these outputs; its inputs have static shapes.
        losses: the names of outputs.
        wrt: the names of inputs.
        feeds: values of inputs, by name; others are uniform on 0..1, integers 0, and booleans true.
        operators: replace those of the evaluator; by default those that are not exact.
        seed: of the random inputs and directions.

    Returns:
        One comparison for each input.

    Raises:
        GradientError: a shape is not static, or the evaluator cannot run the model.
    """
    rng = np.random.default_rng(seed)
    values = {**_inputs(model, rng), **_wide(feeds or {})}
    run = _evaluator(model, operators)
    found = run([f"d_{name}" for name in wrt], values)
    return [_compared(run, values, losses, name, np.asarray(d), rng) for name, d in zip(wrt, found, strict=True)]


def _compared(
    run: Run, values: Mapping[str, Array], losses: Sequence[str], name: str, d: Array, rng: np.random.Generator
) -> Agreement:
    """Compare one gradient along random directions."""
    norm, worst = float(np.linalg.norm(d)), 0.0
    for _ in range(DIRECTIONS):
        direction = rng.standard_normal(d.shape)
        projected, best = float(np.sum(d * direction)), np.inf
        for step in STEPS:
            moved = [{**values, name: values[name] + sign * step * direction} for sign in (1, -1)]
            ahead, behind = (sum(float(np.sum(loss)) for loss in run(losses, each)) for each in moved)
            slope = (ahead - behind) / (2 * step)
            difference, size = abs(projected - slope), max(abs(slope), norm)
            best = min(best, difference / size if size else difference)  # not a number stays out of the minimum
            if best < CLOSE:
                break
        worst = max(worst, best)
    return Agreement(name, norm, worst, d)


def _evaluator(model: ir.Model, operators: "Sequence[type[OpRun]] | None") -> Run:
    """Return what computes outputs from inputs, in float64."""
    from onnx.reference import ReferenceEvaluator  # slow to import, rarely needed

    from impasto.export.gradient.reference_operators import OPERATORS

    chosen = OPERATORS if operators is None else operators
    try:
        evaluator = ReferenceEvaluator(in_float64(ir.to_proto(model)), new_ops=list(chosen))
    except Exception as error:  # of a kind that depends on the operator
        raise _cannot_run(error) from error

    def run(names: Sequence[str], values: Mapping[str, Array]) -> Sequence[Array]:
        try:
            with np.errstate(all="ignore"):
                return [np.asarray(value) for value in evaluator.run(list(names), dict(values))]
        except Exception as error:
            raise _cannot_run(error) from error

    return run


def _cannot_run(error: Exception) -> GradientError:
    return GradientError(
        f"cannot check the gradient: ONNX's reference evaluator cannot run the model ({explained(error)[:200]})"
    )


def _inputs(model: ir.Model, rng: np.random.Generator) -> dict[str, Array]:
    """Return random values of a model's inputs."""
    values = {}
    for value in model.graph.inputs:
        if value.name in model.graph.initializers:
            continue
        if value.dtype is None or value.shape is None or not value.shape.is_static():
            raise GradientError(f"cannot check the gradient: input {value.name!r} has shape {value.shape}; {FIX_SIZES}")
        shape = value.shape.numpy()
        if value.dtype.is_floating_point():
            values[value.name or ""] = rng.uniform(size=shape)
        else:
            values[value.name or ""] = np.full(shape, value.dtype is ir.DataType.BOOL, value.dtype.numpy())
    return values


def _wide(feeds: Mapping[str, Array]) -> dict[str, Array]:
    return {name: value.astype(np.float64) if value.dtype.kind == "f" else value for name, value in feeds.items()}
