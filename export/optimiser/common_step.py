"""What the steps of all optimisers share: inputs, the judgement of an evaluation, float16's factor, and the log."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import onnx_ir as ir
from onnx_ir.passes import Sequential, common
from onnx_ir.tape import Tape

from impasto.export.optimiser.algebra import Algebra, Quantity
from impasto.export.optimiser.state import LOG, NEXT, REPORTED, ROW, Buffer, Code
from impasto.export.terms import GRADIENT, IMAGE, LOSS, TERMS, WEIGHTS

LIMIT, COEFFICIENTS = "limit", "coefficients"
_OPSET = 20


class Form(Protocol):
    """What every optimiser's form has; `impasto.export.optimiser.state.StepForm` describes the attributes."""

    @property
    def batch(self) -> int:
        """N."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an image."""

    @property
    def size(self) -> int:
        """Values of an image."""

    @property
    def terms(self) -> int:
        """T, of the objective."""

    @property
    def log_rows(self) -> int:
        """Steps that the log holds."""

    @property
    def bounds(self) -> tuple[float, float] | None:
        """Least and largest value of a pixel."""

    @property
    def scale(self) -> tuple[int, int, int, int] | None:
        """Exponents of the factor's rule."""


def step_model(
    name: str,
    form: Form,
    state: Sequence[Buffer],
    emit: Callable[[Algebra, dict[str, Quantity]], Mapping[str, Quantity]],
) -> ir.Model:
    """Return a step as a model, with the inputs that `impasto.export.optimiser.step.StepGraph` lists.

    Args:
        name: of the graph.
        form: of the step.
        state: its pieces.
        emit: emits the nodes; it is given the inputs by name, and returns the outputs by name.
    """
    image_shape = (form.batch, *form.shape)
    given: dict[str, tuple[tuple[int, ...], Any]] = {
        LOSS: ((form.batch,), np.float32),
        TERMS: ((form.batch, form.terms), np.float32),
        GRADIENT: (image_shape, np.float32),
        LIMIT: ((form.batch, 1), np.float64),
        **({COEFFICIENTS: ((form.batch, form.terms), np.float32)} if form.scale else {}),
        **{buffer.name: (buffer.initial.shape, buffer.initial.dtype) for buffer in state},
    }
    inputs = {
        name: ir.val(name, ir.DataType.from_numpy(np.dtype(kind)), shape) for name, (shape, kind) in given.items()
    }
    graph = ir.Graph(list(inputs.values()), [], nodes=[], opset_imports={"": _OPSET}, name=name)
    algebra = Algebra(Tape(graph))
    results = emit(algebra, {name: algebra.of(value, given[name][1]) for name, value in inputs.items()})
    for output_name, result in results.items():
        output = algebra.op("Identity", result, dtype=result.dtype).value
        output.name, output.dtype = output_name, ir.DataType.from_numpy(result.dtype)
        graph.outputs.append(output)
    model = ir.Model(graph, ir_version=10)
    Sequential(
        common.IdentityEliminationPass(),
        common.CommonSubexpressionEliminationPass(),
        common.RemoveUnusedNodesPass(),
        common.ShapeInferencePass(check_type=True, strict_mode=True),
    )(model)
    return model


class CommonStep:
    """The nodes that every optimiser's step has; a vector is [N, n], a scalar [N, 1]."""

    def __init__(self, algebra: Algebra, form: Form, given: Mapping[str, Quantity], scalars: Sequence[str]) -> None:
        self._algebra, self._common, self._given, self._names = algebra, form, given, scalars
        columns = algebra.columns(given["scalars"], len(scalars), 1)
        self._old = dict(zip(scalars, columns, strict=True))
        self._new = dict(self._old)

    def _judged(self, gradient: Quantity) -> tuple[Quantity, Quantity]:
        """Return the loss, infinite where it or the gradient is not finite, and where both are."""
        loss = self._given[LOSS].reshape(-1, 1).cast(np.float64) / self._old["factor"]
        finite = loss.is_finite() & abs(gradient).sum(1).is_finite()
        return self._algebra.where(finite, loss, math.inf), finite

    def _repeated(self, gradient: Quantity, finite: Quantity) -> Quantity:
        """Follow the gradient's magnitude with the factor; return where the evaluation served for that alone."""
        where, old, new = self._algebra.where, self._old, self._new
        if self._common.scale is None:
            return self._algebra.constant("never", np.zeros((1, 1), np.bool_))
        wanted, tolerated, back_off, most = self._common.scale
        largest = abs(gradient).largest(1).cast(np.float64)
        something = largest > 0
        exponent = (where(something & finite, largest, 1.0).unary("Log") / math.log(2)).unary("Floor") + 1
        off = where(something, wanted - exponent, 0.0)
        off = where(finite, where(abs(off) > tolerated, off, 0.0), float(-back_off))
        running = old["code"].equals(Code.RUNNING)
        two = self._algebra.number(2.0)
        new["factor"] = where(
            running, old["factor"] * self._algebra.op("Pow", two, off, dtype=np.float64), old["factor"]
        )
        repeated = (~finite | (off > tolerated)) & (old["attempts"] < most - 1)
        new["attempts"] = where(repeated, old["attempts"] + 1, 0.0)
        return repeated

    def _kept_terms(self, accepted: Quantity) -> Quantity:
        """Return the weighted terms of the accepted point, without the factor."""
        terms = self._given[TERMS] / self._old["factor"].cast(np.float32)
        return self._algebra.where(accepted, terms, self._given["kept_terms"])

    def _moved(self, x: Quantity, direction: Quantity, step_size: Quantity | None) -> Quantity:
        """Return the point at a step size, between the bounds."""
        step = direction if step_size is None else direction * step_size.cast(np.float32)
        return self._bounded(x + step)

    def _bounded(self, x: Quantity) -> Quantity:
        """Return a point between the bounds."""
        return x if self._common.bounds is None else x.clip(*self._common.bounds)

    def _scalars(self) -> Quantity:
        """Return the new scalars in their order."""
        return self._algebra.concat([self._new[name] for name in self._names], 1)

    def _logged(self, kept_terms: Quantity) -> dict[str, Quantity]:
        """Return the log with a row more, and the number of the next one."""
        row = self._given[ROW]
        columns = [self._new[name].cast(np.float32) for name in REPORTED]
        entry = self._algebra.concat([*columns, kept_terms], 1).reshape(1, self._common.batch, -1)
        log = self._algebra.op("ScatterND", self._given[LOG], row.reshape(1, 1), entry, dtype=np.float32)
        last = row.equals(self._common.log_rows - 1)
        return {LOG: log, ROW: self._algebra.where(last, self._algebra.ints(0), row + 1)}

    def _results(self, following: Quantity, state: Mapping[str, Quantity]) -> dict[str, Quantity]:
        """Return the outputs by name: the next image [N, n] to evaluate, its weights, and the next state."""
        image = following.reshape(0, *self._common.shape)
        weights = {}
        if self._common.scale is not None:
            weights[WEIGHTS] = self._given[COEFFICIENTS] * self._new["factor"].cast(np.float32)
        return {IMAGE: image, **weights, **{name + NEXT: value for name, value in state.items()}}
