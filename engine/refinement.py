"""A draft by a fast network, finished by the full one."""

import dataclasses
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

from impasto.engine.events import Event, Iteration, OnEvent
from impasto.engine.images import Source
from impasto.engine.preparation import Style
from impasto.engine.render import Engine
from impasto.engine.result import Result
from impasto.engine.settings import Settings
from impasto.models.errors import ImpastoError


def transfer_refined(
    draft: Engine,
    full: Callable[[], AbstractContextManager[Engine]],
    evaluations: int,
    content: Source,
    style: Style,
    settings: Settings,
    *,
    on_event: OnEvent | None = None,
    cancel: Callable[[], bool] | None = None,
) -> Result:
    """Run a transfer on one network and go on from its result with another.

    Args:
        draft: does what the settings say; it is closed afterwards, so that both networks are never in memory together.
        full: makes the engine that finishes.
        evaluations: runs of loss and gradient of the full network at most, 1 or more.
        content: as for `Engine.transfer`.
        style: likewise.
        settings: of the draft; its limits are the draft's alone, except for `timeout_s`, which is for both.
        on_event: as for `Engine.transfer`; the second `Started` begins the refinement, and iterations count on.
        cancel: as for `Engine.transfer`.

    Returns:
        The full network's result; iterations, evaluations and seconds are those of both runs.

    Raises:
        ImpastoError: as `Engine.transfer`, or the evaluations are not 1 or more.
    """
    if evaluations < 1:
        raise ImpastoError(f"bad refine {evaluations}: allowed are whole numbers of 1 or more")
    start = time.perf_counter()
    first = draft.transfer(content, style, settings, on_event=on_event, cancel=cancel)
    draft.close()
    left_s = None if settings.timeout_s is None else settings.timeout_s - (time.perf_counter() - start)
    if (cancel is not None and cancel()) or (left_s is not None and left_s <= 0):
        return first
    limits = dataclasses.replace(settings, iterations=evaluations, evaluations=evaluations, timeout_s=left_s)

    def tell(event: Event) -> None:
        if on_event is not None:
            on_event(_counted_on(event, first) if isinstance(event, Iteration) else event)

    with full() as engine:
        second = engine.transfer(content, style, limits, start=first.picture, on_event=tell, cancel=cancel)
    return dataclasses.replace(
        second,
        iterations=first.iterations + second.iterations,
        evaluations=first.evaluations + second.evaluations,
        initial_terms=first.initial_terms,
        seconds=time.perf_counter() - start,
        setup_s=first.setup_s,
        evaluations_s=first.evaluations_s + second.evaluations_s,
        settings=settings,
        provenance={
            **second.provenance,
            "draft": {
                "model": first.provenance["model"],
                "model_sha256": first.provenance["model_sha256"],
                "evaluations": first.evaluations,
            },
        },
    )


def _counted_on(event: Iteration, first: Result) -> Iteration:
    return dataclasses.replace(
        event,
        iteration=event.iteration + first.iterations,
        evaluations=event.evaluations + first.evaluations,
        seconds=event.seconds + first.seconds,
    )
