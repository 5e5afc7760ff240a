"""One step: judge an evaluation, choose the next point. `impasto.engine.optimisers.lbfgs`, written as masks."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from impasto.export.optimiser.algebra import Algebra, Quantity
from impasto.export.optimiser.common_step import LIMIT, CommonStep, step_model
from impasto.export.optimiser.pairs import Pairs, dot, first_half, products, second_half, with_pair
from impasto.export.optimiser.search import Probe, decreases, shortened
from impasto.export.optimiser.spectrum import SpectralProduct
from impasto.export.optimiser.state import SCALARS, Buffer, Code, StepForm, buffers
from impasto.export.terms import GRADIENT

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
    return StepGraph(
        step_model("lbfgs_step", form, state, lambda algebra, given: _Step(algebra, form, given).outputs()), state
    )


class _Step(CommonStep):
    """The parts of one step; a vector is [N, n], a scalar [N, 1]."""

    def __init__(self, algebra: Algebra, form: StepForm, given: Mapping[str, Quantity]) -> None:
        super().__init__(algebra, form, given, SCALARS)
        self._form = form
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
        kept_terms = self._kept_terms(accepted)

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
            "scalars": self._scalars(),
            "kept_terms": kept_terms,
            **vars(pairs),
            **self._logged(kept_terms),
            **({} if energies is None else {"energies": energies}),
        }
        return self._results(self._moved(x_new, direction, new["step_size"]), outputs)

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
        stationary = self._algebra.number(float(Code.STATIONARY))
        stalled = where(spent, float(Code.LINE_SEARCH_STALLED), stationary)
        why = where(probe.loss.is_finite(), stalled, float(Code.NON_FINITE_STEP))
        why = where(failed & was_steepest, why, float(Code.STATIONARY))
        # Before the first point there is no search that could fail.
        begun = old["iteration"] >= 0
        why = where(begun, why, where(rejected, float(Code.NON_FINITE_START), stationary))
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

    def _moves(self, x: Quantity, direction: Quantity, step_size: Quantity | None) -> Quantity:
        """Return where the point at a step size is another one."""
        return abs(self._moved(x, direction, step_size) - x).largest(1) > 0
