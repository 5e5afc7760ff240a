"""One step: judge an evaluation, choose the next point. `impasto.engine.optimisers.lbfgs`, written as masks."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from onnx_ir.passes import Sequential, common
from onnx_ir.tape import Tape

from impasto.export.optimiser.algebra import Algebra, Quantity
from impasto.export.optimiser.pairs import Pairs, dot, first_half, products, second_half, with_pair
from impasto.export.optimiser.search import Probe, decreases, shortened
from impasto.export.optimiser.spectrum import SpectralProduct
from impasto.export.optimiser.state import NEXT, REPORTED, SCALARS, Buffer, Code, StepForm, buffers
from impasto.export.terms import GRADIENT, IMAGE, LOSS, TERMS, WEIGHTS

LIMIT, COEFFICIENTS = "limit", "coefficients"
_OPSET = 20
_TINY = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True)
class StepGraph:
    """A step as a model.

    Its inputs are the evaluation's `loss` [N], `terms` [N, T] and `d_image` [N, C, H, W]; `limit` [N, 1], the most
    iterations, float64; `coefficients` [N, T] where there is a scale; and the state. Its outputs are `image`
    [N, C, H, W], the next one to evaluate; `weights` [N, T], to evaluate it with, where there is a scale; and the next
    state.

    Attributes:
        model: the graph.
        state: before the first evaluation.
    """

    model: ir.Model
    state: tuple[Buffer, ...]


def build_step(form: StepForm) -> StepGraph:
    """Return the graph of a step."""
    state = buffers(form)
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
    graph = ir.Graph(list(inputs.values()), [], nodes=[], opset_imports={"": _OPSET}, name="lbfgs_step")
    algebra = Algebra(Tape(graph))
    step = _Step(algebra, form, {name: algebra.of(value, given[name][1]) for name, value in inputs.items()})
    for name, result in step.outputs().items():
        output = algebra.op("Identity", result, dtype=result.dtype).value
        output.name, output.dtype = name, ir.DataType.from_numpy(result.dtype)
        graph.outputs.append(output)
    model = ir.Model(graph, ir_version=10)
    Sequential(
        common.IdentityEliminationPass(),
        common.CommonSubexpressionEliminationPass(),
        common.RemoveUnusedNodesPass(),
        common.ShapeInferencePass(check_type=True, strict_mode=True),
    )(model)
    return StepGraph(model, state)


class _Step:
    """The parts of one step; a vector is [N, n], a scalar [N, 1]."""

    def __init__(self, algebra: Algebra, form: StepForm, given: Mapping[str, Quantity]) -> None:
        self._algebra, self._form, self._given = algebra, form, given
        columns = algebra.split(given["scalars"], len(SCALARS), 1)
        self._old = dict(zip(SCALARS, columns, strict=True))
        self._new = dict(self._old)
        self._spectral = None if form.spectrum is None else SpectralProduct(algebra, form, form.spectrum)

    def outputs(self) -> dict[str, Quantity]:
        """Emit everything and return the outputs by name."""
        where, old, new, given = self._algebra.where, self._old, self._new, self._given
        gradient = given[GRADIENT].reshape(0, self._form.size)
        loss, finite = self._judged(gradient)
        live = old["code"].equals(Code.RUNNING) & ~self._repeated(gradient, finite)
        first = old["iteration"] < 0

        x, direction = given["x"], given["direction"]
        trial = self._moved(x, direction, old["step_size"])
        slope = dot(direction, gradient, self._form.size) / old["factor"]
        start = Probe(old["step_size"] * 0, old["loss"], old["slope"])
        probe = Probe(old["step_size"], loss, slope)
        accepted = live & finite & (first | decreases(self._form, start, probe))
        rejected = live & ~accepted

        largest = abs(gradient).largest(1).cast(np.float64) / old["factor"]
        scale = where(largest < _TINY, _TINY, largest)
        new["gradient_scale"] = where(accepted & first, 1.0 / scale, old["gradient_scale"])
        scaled = gradient * (new["gradient_scale"] / old["factor"]).cast(np.float32)
        x_new = where(accepted, trial, x)
        gradient_new = where(accepted, scaled, given["kept_gradient"])
        new["loss"] = where(accepted, loss, old["loss"])
        new["taken"] = where(accepted & ~first, old["step_size"], old["taken"])
        new["iteration"] = old["iteration"] + accepted.cast(np.float64)
        new["evaluations"] = old["evaluations"] + live.cast(np.float64)
        kept_terms = where(accepted, given[TERMS] / old["factor"].cast(np.float32), given["kept_terms"])

        pairs, energies = self._learnt(x_new, gradient_new, accepted & ~first)
        held = self._held(x_new, gradient_new)
        free_gradient = where(held, 0.0, gradient_new)
        newton = self._newton(pairs, energies, free_gradient, held)
        steepest = self._steepest(gradient_new, free_gradient)
        pairs, direction = self._chosen(pairs, accepted, rejected, probe, (x_new, gradient_new), (newton, steepest))
        done = accepted & (new["iteration"] >= given[LIMIT])
        new["code"] = where(done, float(Code.ITERATIONS_DONE), new["code"])

        outputs = {
            "x": x_new,
            "kept_gradient": gradient_new,
            "direction": direction,
            "scalars": self._algebra.concat([new[name] for name in SCALARS], 1),
            "kept_terms": kept_terms,
            "s": pairs.s,
            "y": pairs.y,
            "inverse_products": pairs.inverse_products,
            "s_dot_y": pairs.s_dot_y,
            **self._logged(kept_terms),
            **({} if energies is None else {"energies": energies}),
        }
        following = self._moved(x_new, direction, new["step_size"]).reshape(0, *self._form.shape)
        weights = {WEIGHTS: given[COEFFICIENTS] * new["factor"].cast(np.float32)} if self._form.scale else {}
        return {IMAGE: following, **weights, **{name + NEXT: value for name, value in outputs.items()}}

    def _judged(self, gradient: Quantity) -> tuple[Quantity, Quantity]:
        """Return the loss, infinite where it or the gradient is not finite, and where both are."""
        loss = self._given[LOSS].reshape(-1, 1).cast(np.float64) / self._old["factor"]
        finite = loss.is_finite() & abs(gradient).sum(1).is_finite()
        return self._algebra.where(finite, loss, math.inf), finite

    def _repeated(self, gradient: Quantity, finite: Quantity) -> Quantity:
        """Follow the gradient's magnitude with the factor; return where the evaluation served for that alone."""
        where, old, new = self._algebra.where, self._old, self._new
        if self._form.scale is None:
            return self._algebra.constant("never", np.zeros((1, 1), np.bool_))
        wanted, tolerated, back_off, most = self._form.scale
        largest = abs(gradient).largest(1).cast(np.float64)
        something = largest > 0
        exponent = (where(something & finite, largest, 1.0).unary("Log") / math.log(2)).unary("Floor") + 1
        off = where(something, wanted - exponent, 0.0)
        off = where(finite, where(abs(off) > tolerated, off, 0.0), float(-back_off))
        running = old["code"].equals(Code.RUNNING)
        two = self._algebra.number(2.0, np.float64)
        new["factor"] = where(
            running, old["factor"] * self._algebra.op("Pow", two, off, dtype=np.float64), old["factor"]
        )
        repeated = (~finite | (off > tolerated)) & (old["attempts"] < most - 1)
        new["attempts"] = where(repeated, old["attempts"] + 1, 0.0)
        return repeated

    def _learnt(self, x: Quantity, gradient: Quantity, moved: Quantity) -> tuple[Pairs, Quantity | None]:
        """Take the pair of a move into the history; where there is none, nothing changes."""
        where, old, new, given = self._algebra.where, self._old, self._new, self._given
        s, y = x - given["x"], gradient - given["kept_gradient"]
        s_y, y_y, usable = products(s, y, self._form)
        taken = moved & usable
        pairs = Pairs(given["s"], given["y"], given["inverse_products"], given["s_dot_y"])
        pairs = with_pair(self._form, pairs, s, y, s_y, old["slot"], taken)
        y_y = where(taken, y_y, 1.0)
        new["inverse"] = where(taken, s_y / y_y, old["inverse"])
        next_slot = where(old["slot"].equals(self._form.history_size - 1), 0.0, old["slot"] + 1)
        new["slot"] = where(taken, next_slot, old["slot"])
        new["pairs"] = old["pairs"] + taken.cast(np.float64)
        new["learnt"] = old["learnt"] + taken.cast(np.float64)
        if self._spectral is None:
            return pairs, None
        return pairs, self._spectral.learnt(given["energies"], s, y, y_y, old["learnt"], taken)

    def _held(self, x: Quantity, gradient: Quantity) -> Quantity:
        """Return the variables that lie on a bound and would leave along the negative gradient."""
        if self._form.bounds is None:
            return self._algebra.constant("never", np.zeros((1, 1), np.bool_))
        least, largest = self._form.bounds
        return ((x <= least) & (gradient > 0)) | ((x >= largest) & (gradient < 0))

    def _newton(self, pairs: Pairs, energies: Quantity | None, gradient: Quantity, held: Quantity) -> Quantity:
        """Return the quasi-Newton direction; of no use where there is no pair."""
        v, corrected = first_half(self._form, pairs, gradient)
        inverse = self._new["inverse"]
        if self._spectral is None or energies is None:
            r = corrected * inverse.cast(np.float32)
        else:
            r = self._spectral.multiply(corrected, energies, inverse)
        return self._algebra.where(held, 0.0, -second_half(self._form, pairs, v, r))

    def _steepest(self, gradient: Quantity, free_gradient: Quantity) -> Quantity:
        """Return the negative gradient, scaled so that step 1 is the first step."""
        mean = abs(gradient).sum(1).cast(np.float64) / self._form.size
        flat = mean.equals(0)
        factor = self._form.first_step_mean_change / self._algebra.where(flat, 1.0, mean)
        return free_gradient * -self._algebra.where(flat, 0.0, factor).cast(np.float32)

    def _chosen(
        self,
        pairs: Pairs,
        accepted: Quantity,
        rejected: Quantity,
        probe: Probe,
        point: tuple[Quantity, Quantity],
        directions: tuple[Quantity, Quantity],
    ) -> tuple[Pairs, Quantity]:
        """Choose the next search: along the new direction, with a shorter step, along the steepest, or none.

        Returns:
            The history, cleared where its direction did not help; and the direction.
        """
        where, old, new = self._algebra.where, self._old, self._new
        x, gradient = point
        newton, steepest = directions
        slopes = [dot(direction, gradient, self._form.size) / new["gradient_scale"] for direction in directions]
        useful = [
            (slope < 0) & slope.is_finite() & self._moves(x, direction, None)
            for slope, direction in zip(slopes, directions, strict=True)
        ]
        searched = old["searched"] + 1
        start = Probe(old["step_size"] * 0, old["loss"], old["slope"])
        shorter = shortened(start, probe)
        vanished = ~self._moves(x, self._given["direction"], shorter)
        spent = searched >= self._form.max_search_evaluations
        failed = rejected & (spent | vanished)
        again = rejected & ~failed
        was_steepest = old["steepest"] > 0
        along_newton = accepted & (new["pairs"] > 0) & useful[0]
        turned = (accepted & ~along_newton) | (failed & ~was_steepest)  # to the steepest direction, history dropped
        ended = (turned & ~useful[1]) | (failed & was_steepest)
        stalled = where(spent, float(Code.LINE_SEARCH_STALLED), self._number(Code.STATIONARY))
        why = where(probe.loss.is_finite(), stalled, float(Code.NON_FINITE_STEP))
        why = where(failed & was_steepest, why, float(Code.STATIONARY))
        # Before the first point there is no search that could fail.
        begun = old["iteration"] >= 0
        why = where(begun, why, where(rejected, float(Code.NON_FINITE_START), self._number(Code.STATIONARY)))
        ended = ended | (rejected & ~begun)

        new["code"] = where(ended, why, old["code"])
        fresh = along_newton | turned
        new["step_size"] = where(fresh, 1.0, where(again & begun, shorter, old["step_size"]))
        new["searched"] = where(fresh, 0.0, where(again, searched, old["searched"]))
        new["slope"] = where(along_newton, slopes[0], where(turned, slopes[1], old["slope"]))
        new["steepest"] = where(along_newton, 0.0, where(turned, 1.0, old["steepest"]))
        for name in ("pairs", "slot"):
            new[name] = where(turned, 0.0, new[name])
        remains = (~turned).cast(np.float64).reshape(0, 1, 1)
        pairs = Pairs(pairs.s, pairs.y, pairs.inverse_products * remains, pairs.s_dot_y * remains)
        return pairs, where(along_newton, newton, where(turned, steepest, self._given["direction"]))

    def _moved(self, x: Quantity, direction: Quantity, step_size: Quantity | None) -> Quantity:
        """Return the point at a step size, between the bounds."""
        step = direction if step_size is None else direction * step_size.cast(np.float32)
        return x + step if self._form.bounds is None else (x + step).clip(*self._form.bounds)

    def _moves(self, x: Quantity, direction: Quantity, step_size: Quantity | None) -> Quantity:
        """Return where the point at a step size is another one."""
        return abs(self._moved(x, direction, step_size) - x).largest(1) > 0

    def _logged(self, kept_terms: Quantity) -> dict[str, Quantity]:
        """Return the log with a row more, and the number of the next one."""
        row = self._given["row"]
        columns = [self._new[name].cast(np.float32) for name in REPORTED]
        entry = self._algebra.concat([*columns, kept_terms], 1).reshape(1, self._form.batch, -1)
        log = self._algebra.op("ScatterND", self._given["log"], row.reshape(1, 1), entry, dtype=np.float32)
        last = row.equals(self._form.log_rows - 1)
        return {"log": log, "row": self._algebra.where(last, self._algebra.ints(0), row + 1)}

    def _number(self, value: float) -> Quantity:
        return self._algebra.number(float(value), np.float64)
