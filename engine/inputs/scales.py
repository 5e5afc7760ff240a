"""The scales of a run: its sizes from coarse to fine, and the iterations at each of them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from impasto.engine.images import fit_long_side
from impasto.engine.inputs.sizes import tileable
from impasto.engine.settings import Settings
from impasto.export.taps import SMALLEST_SIDE_PX
from impasto.models.errors import ImpastoError

COARSEST_PX = 128
"""The long side of the coarsest scale, at least."""

COARSER_SHARE = 2**0.25
"""A scale has this many times the iterations of the next finer one, so the coarsest of five has twice the finest's."""

_LEAST_EVALUATIONS = 2  # of a scale: its start and one iteration


@dataclass(frozen=True)
class Scale:
    """One size of a run.

    Attributes:
        step: how many factors of the square root of 2 it is below the result; 0 is the result's own size.
        height: rows, px.
        width: columns, px.
        iterations: the share of the run's iterations, if no scale ends early.
        last_iteration: iterations of the run, from its start, after which the next scale begins.
        last_evaluation: evaluations of the run after which the next scale begins; None is no such limit.
    """

    step: int
    height: int
    width: int
    iterations: int
    last_iteration: int
    last_evaluation: int | None


@dataclass(frozen=True)
class ScaleDone:
    """A scale that a run has left, or its last one.

    Attributes:
        height: rows, px.
        width: columns, px.
        iterations: accepted steps at this scale.
        evaluations: runs of loss and gradient at this scale.
        seconds: time from the end of the scale before, or from the request of the run.
    """

    height: int
    width: int
    iterations: int
    evaluations: int
    seconds: float


def scales_of(settings: Settings, height: int, width: int, *, resumed: int = 0) -> tuple[Scale, ...]:
    """Return the scales of a run, from coarse to fine; the last one is the result's size.

    Sizes are the result's divided by powers of the square root of 2, rounded, with a long side of `COARSEST_PX` and a
    short side of `SMALLEST_SIDE_PX` at least. ``settings.scales`` is their maximum number, and 0 is no maximum. There
    are no more scales than iterations, and none with less than two evaluations.

    A scale has `COARSER_SHARE` times the iterations of the next finer one. Iterations that a scale does not need, since
    it ends early, go to the next one.

    Args:
        settings: settings of the run; its limits are those of all scales together.
        height: rows of the result, px.
        width: columns of the result, px.
        resumed: the step of a scale that the run resumes at, which its scales include.

    Raises:
        ImpastoError: the run has no scale of that step.
    """
    sizes = _sizes(settings, height, width)
    limits = [len(sizes), max(settings.iterations, 1)]
    if settings.evaluations is not None:
        limits.append(max(settings.evaluations // _LEAST_EVALUATIONS, 1))
    steps = [step for step, _ in sizes]
    if resumed not in steps:
        raise ImpastoError(f"no run can continue from this state: it has no scale {resumed} steps below its result")
    kept = sizes[: max(min(limits), steps.index(resumed) + 1)][::-1]
    iterations = _ends(settings.iterations, len(kept), 1)
    evaluations = None if settings.evaluations is None else _ends(settings.evaluations, len(kept), _LEAST_EVALUATIONS)
    return tuple(
        Scale(
            step,
            *size,
            iterations=last - before,
            last_iteration=last,
            last_evaluation=None if evaluations is None else evaluations[number],
        )
        for number, ((step, size), before, last) in enumerate(zip(kept, (0, *iterations), iterations, strict=False))
    )


def painting_size(settings: Settings, height: int, width: int, step: int) -> tuple[int, int]:
    """Return height and width of a style image at a scale: as many steps below its own size as the result is.

    Its short side is not reduced below `SMALLEST_SIDE_PX`.

    Args:
        settings: settings of the run.
        height: rows of the style image at the final size, px.
        width: columns, px.
        step: of the scale.
    """
    if step == 0:
        return height, width
    long, short = max(height, width), min(height, width)
    least = min(-(-SMALLEST_SIDE_PX * long // short), long)
    size = fit_long_side(height, width, max(_reduced(long, step), least))
    return tileable(*size) if settings.seamless else size


def saved_sizes(settings: Settings, height: int, width: int) -> list[tuple[int, int]]:
    """Return height and width of a style image at every scale that it is saved for, from its own size on.

    Args:
        settings: `scales` is their number, whatever their sizes; 0 is as many as a result of the image's size has.
        height: rows of the style image, px.
        width: columns, px.
    """
    count = settings.scales or 1 + max(step for step, _ in _sizes(settings, height, width))
    return [painting_size(settings, height, width, step) for step in range(count)]


def _reduced(side: int, step: int) -> int:
    """Return a side some steps below, rounded."""
    return round(side / math.sqrt(2) ** step)


def _sizes(settings: Settings, height: int, width: int) -> list[tuple[int, tuple[int, int]]]:
    """Return step and size of every scale that there can be, from fine to coarse."""
    found, step = [(0, (height, width))], 1
    while len(found) != settings.scales and (long := _reduced(max(height, width), step)) >= COARSEST_PX:
        size = fit_long_side(height, width, long)
        size = tileable(*size) if settings.seamless else size
        if min(size) < SMALLEST_SIDE_PX:
            break
        if size != found[-1][1]:
            found.append((step, size))
        step += 1
    return found


def _ends(total: int, count: int, least: int) -> Sequence[int]:
    """Return the sums up to each scale of a total that is shared among scales, each of which has some at least."""
    shares = [COARSER_SHARE**finer for finer in reversed(range(count))]
    rest = max(total - least * count, 0)
    ends = [least * number + round(rest * part / sum(shares)) for number, part in enumerate(accumulate(shares), 1)]
    return [*(min(end, total) for end in ends[:-1]), total]
