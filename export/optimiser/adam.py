"""One step of Adam as a graph: `impasto.engine.optimisers.adam` for every sample at once, written as masks.

A trial point whose loss or gradient is not finite is taken back, and the step is halved. The first evaluation is that
of the start image; it sets the scale of the gradients.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from impasto.export.optimiser.algebra import Algebra, Quantity
from impasto.export.optimiser.common_step import LIMIT, CommonStep, step_model
from impasto.export.optimiser.state import LOG, REPORTED, ROW, Buffer, Code
from impasto.export.optimiser.step import StepGraph
from impasto.export.terms import GRADIENT

ADAM_SCALARS = (
    "loss",  # at the iterate; nothing before the first evaluation
    "gradient_scale",  # by which gradients are multiplied
    "iteration",  # accepted steps; -1 before the first evaluation
    "evaluations",
    "halvings",  # of the trial point under way
    "taken",  # share of the last accepted step, 1 where it was not halved
    "code",  # a Code
    "factor",  # of the terms' weights in the evaluation under way, for float16's sake
    "attempts",  # evaluations in a row that served to find the factor alone
)
"""Columns of the state `scalars` of Adam, float64."""

_TINY = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True)
class AdamForm:
    """What decides the graph of a step of Adam.

    The numbers mean what they mean in `impasto.engine.optimisers.adam.AdamSettings`, and the others what they mean in
    `impasto.export.optimiser.state.StepForm`.
    """

    batch: int
    shape: tuple[int, int, int]
    terms: int
    log_rows: int
    learning_rate: float
    beta1: float
    beta2: float
    epsilon: float
    max_halvings: int
    bounds: tuple[float, float] | None
    average: float = 0.0
    scale: tuple[int, int, int, int] | None = None

    @property
    def size(self) -> int:
        """Values of an image."""
        return int(np.prod(self.shape))


def build_adam_step(form: AdamForm) -> StepGraph:
    """Return the graph of a step of Adam.

    Its state `x` is the point that a step reports: the iterate or, where there is an average, the average; the iterate
    is then `iterate`. `trial` is the point under evaluation, which is the start image at first.

    To continue from moments without a trial point, as on another size, give the step a loss that is NaN and -1
    halvings: it then chooses the trial point that follows from the moments.
    """
    state = _buffers(form)
    model = step_model("adam_step", form, state, lambda algebra, given: _AdamStep(algebra, form, given).outputs())
    return StepGraph(model, state)


def _buffers(form: AdamForm) -> tuple[Buffer, ...]:
    vector: Any = np.zeros((form.batch, form.size), np.float32)
    scalars = np.zeros((form.batch, len(ADAM_SCALARS)))
    for name, value in {"iteration": -1, "factor": 1, "gradient_scale": 1}.items():
        scalars[:, ADAM_SCALARS.index(name)] = value
    names = ("x", "trial", "mean", "mean_square", *(("iterate",) if form.average else ()))
    return (
        *(Buffer(name, vector) for name in names),
        Buffer("scalars", scalars),
        Buffer("kept_terms", np.zeros((form.batch, form.terms), np.float32)),
        Buffer(LOG, np.zeros((form.log_rows, form.batch, len(REPORTED) + form.terms), np.float32), in_place=True),
        Buffer(ROW, np.zeros(1, np.int64)),
    )


class _AdamStep(CommonStep):
    """The parts of one step; a vector is [N, n], a scalar [N, 1]."""

    def __init__(self, algebra: Algebra, form: AdamForm, given: Mapping[str, Quantity]) -> None:
        super().__init__(algebra, form, given, ADAM_SCALARS)
        self._form = form

    def outputs(self) -> dict[str, Quantity]:
        """Emit everything and return the outputs by name."""
        where, old, new, given, form = self._algebra.where, self._old, self._new, self._given, self._form
        gradient = given[GRADIENT].reshape(0, form.size)
        loss, finite = self._judged(gradient)
        live = old["code"].equals(Code.RUNNING) & ~self._repeated(gradient, finite)
        first = old["iteration"] < 0
        accepted, rejected = live & finite, live & ~finite

        largest = abs(gradient).largest(1).cast(np.float64) / old["factor"]
        scale = where(largest < _TINY, _TINY, largest)
        new["gradient_scale"] = where(accepted & first, 1.0 / scale, old["gradient_scale"])
        new["loss"] = where(accepted, loss, old["loss"])
        two, halvings = (
            self._algebra.number(2.0),
            where(accepted, 0.0, where(rejected, old["halvings"] + 1, old["halvings"])),
        )
        new["taken"] = where(
            accepted & ~first, 1.0 / self._algebra.op("Pow", two, old["halvings"], dtype=np.float64), old["taken"]
        )
        new["halvings"] = halvings
        new["iteration"] = old["iteration"] + accepted.cast(np.float64)
        new["evaluations"] = old["evaluations"] + live.cast(np.float64)
        kept_terms = self._kept_terms(accepted)

        # Where the start image is given as x, before the first evaluation, it is the trial point.
        trial = where(first, self._bounded(given["x"]), given["trial"])
        iterate = where(accepted, trial, given["iterate" if form.average else "x"])
        mean, square = self._moments(gradient, accepted)
        share = 1.0 / self._algebra.op("Pow", two, where(halvings < 0, 0.0, halvings), dtype=np.float64)
        following = self._moved(iterate, self._change(mean, square) * share.cast(np.float32), None)

        failed = rejected & (first | (halvings > form.max_halvings))
        why = where(first, self._algebra.number(float(Code.NON_FINITE_START)), float(Code.NON_FINITE_STEP))
        new["code"] = where(failed, why, old["code"])
        done = accepted & (new["iteration"] >= given[LIMIT])
        new["code"] = where(done, float(Code.ITERATIONS_DONE), new["code"])
        image = where(accepted | rejected, following, trial)
        state = {
            "x": iterate,
            "trial": image,
            "mean": mean,
            "mean_square": square,
            "scalars": self._scalars(),
            "kept_terms": kept_terms,
            **self._logged(kept_terms),
        }
        if form.average:
            state |= {"x": self._average(iterate, accepted), "iterate": iterate}
        return self._results(image, state)

    def _moments(self, gradient: Quantity, accepted: Quantity) -> tuple[Quantity, Quantity]:
        """Return m and v of the scaled gradient after the step."""
        where, form, given = self._algebra.where, self._form, self._given
        scale = self._new["gradient_scale"] / self._old["factor"]
        usable = where(accepted, gradient, 0.0)  # what is not finite must not reach a sum
        own = usable * (scale * (1 - form.beta1)).cast(np.float32)
        scaled = usable * scale.cast(np.float32)
        mean = given["mean"] * form.beta1 + own
        square = given["mean_square"] * form.beta2 + scaled * scaled * (1 - form.beta2)
        return where(accepted, mean, given["mean"]), where(accepted, square, given["mean_square"])

    def _change(self, mean: Quantity, square: Quantity) -> Quantity:
        """Return -learning_rate * m_hat / (sqrt(v_hat) + epsilon) of the next iteration."""
        form, number = self._form, self._algebra.number
        count = self._new["iteration"] + 1
        count = self._algebra.where(count < 1, 1.0, count)
        first, second = (
            1.0 - self._algebra.op("Pow", number(beta), count, dtype=np.float64) for beta in (form.beta1, form.beta2)
        )
        divisor = square.sqrt() * (1.0 / second.sqrt()).cast(np.float32) + form.epsilon
        return mean / divisor * (-form.learning_rate / first).cast(np.float32)

    def _average(self, iterate: Quantity, accepted: Quantity) -> Quantity:
        """Return the average with the latest iterate: a_n = a_(n-1) + (1 - D) / (1 - D^n) (x_n - a_(n-1))."""
        decay, count = self._form.average, self._new["iteration"] + 1
        count = self._algebra.where(count < 1, 1.0, count)
        power = self._algebra.op("Pow", self._algebra.number(decay), count, dtype=np.float64)
        before = self._given["x"]
        weight = ((1 - decay) / (1.0 - power)).cast(np.float32)
        after = self._bounded(before + (iterate - before) * weight)
        return self._algebra.where(accepted, after, before)
