"""The state of the optimiser, which a step reads and replaces, per sample."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Code(IntEnum):
    """The state of a sample's run; the names are those of `impasto.engine.optimisers.solution.Outcome`."""

    RUNNING = 0
    ITERATIONS_DONE = 1
    STATIONARY = 2
    LINE_SEARCH_STALLED = 3
    NON_FINITE_START = 4
    NON_FINITE_STEP = 5


SCALARS = (
    "loss",  # at x; nothing before the first evaluation
    "step_size",  # of the trial point under way
    "slope",  # of the loss along the direction, at x
    "gradient_scale",  # by which gradients are kept
    "inverse",  # s'y / y'y of the last pair taken
    "slot",  # for the next pair
    "pairs",  # taken since the history was cleared
    "learnt",  # pairs taken in all
    "iteration",  # accepted steps; -1 before the first evaluation
    "evaluations",
    "searched",  # evaluations of the line search under way
    "steepest",  # whether that is along the negative gradient
    "taken",  # step size of the last accepted step
    "code",  # a Code
    "factor",  # of the terms' weights in the evaluation under way, for float16's sake
    "attempts",  # evaluations in a row that served to find the factor alone
)
"""Columns of the state `scalars`, float64."""

REPORTED = ("loss", "taken", "iteration", "evaluations", "code")
"""The first columns of a row of the log, float32; the weighted terms of x follow."""


@dataclass(frozen=True)
class Spectrum:
    """How the initial inverse distinguishes curvatures: `impasto.engine.optimisers.initial_inverse.SpectralInverse`.

    Attributes:
        band: of each entry of the spectrum in the order of `real_fourier`, [H, W], from 0.
        bands: how many there are.
        colours: orthonormal colour directions, [C, C], float32.
        memory: of the mean over the pairs, of one step.
        first_pairs: that are all learnt from.
        every: which one after them.
        strength: exponent.
        narrowest: least factor, as a multiple of the scalar one.
        widest: largest.
        prior: energies of s and of y before the first pair, as shares of the first pair's, [2, C, B], float64.
        prior_pairs: how many pairs they count as, 0 or more.
    """

    band: NDArray[np.intp]
    bands: int
    colours: NDArray[np.float32]
    memory: float
    first_pairs: int
    every: int
    strength: float
    narrowest: float
    widest: float
    prior: NDArray[np.float64]
    prior_pairs: int


@dataclass(frozen=True)
class StepForm:
    """What decides a step's graph; the numbers mean what they mean in `impasto.engine.optimisers.lbfgs.LbfgsSettings`.

    Attributes:
        batch: N.
        shape: channels, height and width of an image.
        terms: T, of the objective.
        log_rows: steps that the log holds.
        scale: exponents of the factor's rule, for a graph with float16 inside: the one wanted for the largest entry of
            the gradient, how far off is tolerated, how far to back off where values are not finite, and the most
            evaluations in a row; None keeps the factor 1.
        spectrum: None is one number for all frequencies.
    """

    batch: int
    shape: tuple[int, int, int]
    terms: int
    log_rows: int
    history_size: int
    first_step_mean_change: float
    sufficient_decrease: float
    loss_noise: float
    least_cosine: float
    max_search_evaluations: int
    bounds: tuple[float, float] | None
    scale: tuple[int, int, int, int] | None = None
    spectrum: Spectrum | None = None

    @property
    def size(self) -> int:
        """Values of an image."""
        return int(np.prod(self.shape))


NEXT, ROW, LOG = ".next", "row", "log"


@dataclass(frozen=True)
class Buffer:
    """A piece of the state.

    Attributes:
        name: of the graph's input; the output is `name` + ".next".
        initial: before the first evaluation; its shape is the buffer's. The image `x` is to be filled in.
        in_place: whether input and output may be, and should be, the same memory: one row of it is written, before
            anything is read. Others need memory of their own for either.
    """

    name: str
    initial: NDArray[Any]
    in_place: bool = False

    @property
    def by_sample(self) -> bool:
        """Whether its first axis is the samples', and a sample that begins needs its part as it is initially.

        Of the history it does not, because rows without a pair weigh nothing; and the log is of all samples.
        """
        return not self.in_place and self.name != ROW

    @property
    def is_state(self) -> bool:
        """Whether a sample needs its part, along the first axis, to continue in another loop."""
        return self.name not in (ROW, LOG)


def buffers(form: StepForm) -> tuple[Buffer, ...]:
    """Return the state before the first evaluation."""
    n, size, rows = form.batch, form.size, form.history_size + 1  # the last row takes what is no pair
    scalars = np.zeros((n, len(SCALARS)))
    for name, value in {"iteration": -1, "factor": 1, "gradient_scale": 1, "inverse": 1}.items():
        scalars[:, SCALARS.index(name)] = value
    found = [
        Buffer("x", np.zeros((n, size), np.float32)),
        Buffer("kept_gradient", np.zeros((n, size), np.float32)),
        Buffer("direction", np.zeros((n, size), np.float32)),
        Buffer("scalars", scalars),
        Buffer("kept_terms", np.zeros((n, form.terms), np.float32)),
        Buffer("s", np.zeros((n, rows, size), np.float32), in_place=True),
        Buffer("y", np.zeros((n, rows, size), np.float32), in_place=True),
        Buffer("inverse_products", np.zeros((n, rows, rows))),
        Buffer("s_dot_y", np.zeros((n, rows, 1))),
        Buffer(LOG, np.zeros((form.log_rows, n, len(REPORTED) + form.terms), np.float32), in_place=True),
        Buffer(ROW, np.zeros(1, np.int64)),
    ]
    if form.spectrum is not None:
        found.append(Buffer("energies", np.zeros((n, 2, form.shape[0], form.spectrum.bands))))
    return tuple(found)
