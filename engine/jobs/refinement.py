"""Refinement: a fast network makes a draft, and the full network finishes it."""

import dataclasses
import time
from collections.abc import Callable
from contextlib import suppress

from impasto.engine import setting_checks as checks
from impasto.engine.events import Event, Iteration, OnEvent, PrecisionChanged, Started
from impasto.engine.images import Source
from impasto.engine.inputs.pictures import Style
from impasto.engine.inputs.saved_style import SavedStyle, is_saved_style
from impasto.engine.jobs.engine import Engine
from impasto.engine.jobs.job import given_settings
from impasto.engine.jobs.plan import RefinedPlan
from impasto.engine.result import Result
from impasto.engine.settings import Settings
from impasto.models.errors import ImpastoError

SAME_WEIGHTS = "weights_sha256"  # metadata of a network's file: hash of the weights that it was made from


class RefinementError(ImpastoError):
    """The draft is finished, but the full network failed to continue from it.

    Attributes:
        draft: the result of the draft.
    """

    def __init__(self, message: str, draft: Result) -> None:
        super().__init__(message)
        self.draft = draft


def transfer_refined(
    draft: Engine,
    full: Engine,
    content: Source | None,
    style: Style | None,
    settings: Settings | None = None,
    *,
    evaluations: int,
    on_event: OnEvent | None = None,
    cancel: Callable[[], bool] | None = None,
) -> Result:
    """Run a transfer on one network, and continue from its result on another network.

    The arguments of both runs are checked before the first run.

    Args:
        draft: the engine of the first run. Its session is closed afterwards, so the sessions of both networks are
            never in memory together, unless other jobs use this engine.
        full: the engine of the second run.
        content: as for `Engine.transfer`.
        style: a style image. A saved style belongs to one network and is refused.
        settings: the settings of the draft; None is the defaults. Its limits apply to the draft only, except for
            `timeout_s`, which applies to both runs together.
        evaluations: maximum number of runs of loss and gradient on the full network, 1 or more.
        on_event: as for `Engine.transfer`. A second `Started` begins the refinement; all counts include the draft.
        cancel: as for `Engine.transfer`.

    Returns:
        The full network's result. Its iterations, evaluations and seconds are those of both runs. Its `initial_terms`
        is empty, because the other network evaluated the start. Its provenance has "refine" and "draft". If the draft
        used up `timeout_s` or was cancelled, the result is the draft's own, without these two entries.

    Raises:
        RefinementError: the full network failed to continue; the error holds the draft.
        ImpastoError: as for `Engine.transfer`, or the evaluations are below 1, both networks are the same, or the style
            is a saved style. Nothing was run.
    """
    settings = given_settings(settings)
    checks.function("on_event", on_event)
    checks.function("cancel", cancel)
    _check_kind(draft, full, style, evaluations)
    for engine in (draft, full):  # taps, sizes and memory of both runs
        engine.check(content, style, settings)
    start = time.perf_counter()
    first = draft.transfer(content, style, settings, on_event=on_event, cancel=cancel)
    with suppress(ImpastoError):  # other jobs use it
        draft.release()
    before_s = time.perf_counter() - start

    def is_over() -> bool:
        late = settings.timeout_s is not None and time.perf_counter() - start >= settings.timeout_s
        return late or (cancel is not None and cancel())

    def tell(event: Event) -> None:
        if on_event is not None:
            on_event(_counted_on(event, first, before_s))

    if is_over():
        return first
    left_s = None if settings.timeout_s is None else settings.timeout_s - before_s
    try:
        limits = _limited(settings, evaluations, left_s)
        second = full.transfer(content, style, limits, start=first.picture, on_event=tell, cancel=cancel)
    except ImpastoError as error:
        if is_over():
            return first
        raise RefinementError(str(error), first) from error
    return dataclasses.replace(
        second,
        iterations=first.iterations + second.iterations,
        evaluations=first.evaluations + second.evaluations,
        initial_terms={},
        seconds=time.perf_counter() - start,
        setup_s=first.setup_s,
        evaluations_s=first.evaluations_s + second.evaluations_s,
        settings=settings,
        scales=first.scales,
        provenance={
            **second.provenance,
            "refine": evaluations,
            "draft": {
                "model": first.provenance["model"],
                "model_sha256": first.provenance["model_sha256"],
                "iterations": first.iterations,
                "evaluations": first.evaluations,
            },
        },
    )


def plan_refined(
    draft: Engine, full: Engine, content: Source | None, style: Style | None, settings: Settings, *, evaluations: int
) -> RefinedPlan:
    """Return the plan of a `transfer_refined` without running it.

    Raises:
        ImpastoError: as for `transfer_refined`, except that a run that does not fit into memory is not an error.
    """
    _check_kind(draft, full, style, evaluations)
    return RefinedPlan(
        draft.plan(content, style, settings), full.plan(content, style, _limited(settings, evaluations, None))
    )


def _check_kind(draft: Engine, full: Engine, style: Style | None, evaluations: int) -> None:
    for engine in (draft, full):
        if not isinstance(engine, Engine):
            raise ImpastoError(f"bad engine {checks.shown(engine)}: give two Engine objects, that of the draft first")
    if checks.whole("refine", evaluations) < 1:
        raise ImpastoError(f"bad refine {evaluations}: allowed are whole numbers of 1 or more")
    if isinstance(style, SavedStyle) or is_saved_style(style):
        raise ImpastoError("a saved style belongs to one network, and a refinement has two; give the image")
    ours, theirs = draft.network, full.network
    made_of = ours.metadata.get(SAME_WEIGHTS)
    if ours.sha256 == theirs.sha256 or (made_of and made_of == theirs.metadata.get(SAME_WEIGHTS)):
        name = theirs.name if ours.name == theirs.name else f"{ours.name}, which is the same network as {theirs.name}"
        raise ImpastoError(f"nothing to refine: the draft would be on {name}; draft on a smaller one, or do not refine")


def _limited(settings: Settings, evaluations: int, left_s: float | None) -> Settings:
    """Return the settings of the second run, which has one scale: it begins at a picture of the final size."""
    return dataclasses.replace(settings, scales=1, iterations=evaluations, evaluations=evaluations, timeout_s=left_s)


def _counted_on(event: Event, first: Result, before_s: float) -> Event:
    """Return an event of the second run with the counts of both runs."""
    if isinstance(event, Started):
        return dataclasses.replace(event, setup_s=event.setup_s + before_s)
    if isinstance(event, Iteration):
        evaluations, seconds = event.evaluations + first.evaluations, event.seconds + before_s
        event = dataclasses.replace(event, evaluations=evaluations, seconds=seconds)
    if isinstance(event, Iteration | PrecisionChanged):
        return dataclasses.replace(event, iteration=event.iteration + first.iterations)
    return event
