"""One run from its prepared images to its result, wherever its evaluations are done."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from impasto.engine.device.objective import Objective
from impasto.engine.events import Event, Iteration, Started
from impasto.engine.images import Picture, Source
from impasto.engine.inputs.pictures import Painting, Style, as_pixels, initial_image, read_pictures
from impasto.engine.jobs.descent import Descent, Safer
from impasto.engine.optimisers.outcome import Step, Vector
from impasto.engine.result import Result
from impasto.engine.runtime.providers import Provider
from impasto.engine.settings import Settings
from impasto.models.errors import ImpastoError


@dataclass(frozen=True)
class Prepared:
    """What a run begins with.

    Attributes:
        settings: of the run.
        scene: the content image, at the size of the result.
        painting: the style image, at its own size, or what was saved of it.
        x: the image to start from, flat float32.
        from_noise: whether that is noise.
        called_s: when it was asked for, by `time.perf_counter`.
    """

    settings: Settings
    scene: Picture
    painting: Painting
    x: Vector
    from_noise: bool
    called_s: float


def prepare(content: Source | None, style: Style | None, settings: Settings, start: Picture | None = None) -> Prepared:
    """Read the images of a run.

    Raises:
        ImpastoError: as `read_pictures` and `initial_image`.
    """
    called_s = time.perf_counter()
    scene, painting = read_pictures(content, style, settings)
    x = initial_image(settings, scene, painting, start)
    return Prepared(settings, scene, painting, x, start is None and settings.init == "noise", called_s)


def started(prepared: Prepared, network: str, provider: Provider, conversion: str) -> Started:
    """Return the event of a run whose objective is ready.

    Args:
        prepared: the run.
        network: its name.
        provider: in use.
        conversion: the weights in the paper's own terms.
    """
    return Started(
        height=prepared.scene.height,
        width=prepared.scene.width,
        model=network,
        provider=provider.name,
        precision=provider.precision,
        conversion=conversion,
        setup_s=time.perf_counter() - prepared.called_s,
    )


def descend(
    prepared: Prepared,
    objective: Objective,
    loss_noise: float,
    *,
    tell: Callable[[Event], None],
    cancel: Callable[[], bool] | None,
    safer: Safer,
    provenance: Callable[[Picture, Painting], Mapping[str, Any]],
) -> Result:
    """Minimise, and return the result.

    Args:
        prepared: the run.
        objective: what to minimise.
        loss_noise: its relative error.
        tell: called with every `Iteration`.
        cancel: as for `Descent`.
        safer: likewise.
        provenance: content and style image -> what the result says of its origin; asked at the end.

    Raises:
        ImpastoError: the objective is not finite at the start, or the run was stopped before that was known.
    """
    scene, settings = prepared.scene, prepared.settings
    setup_s = time.perf_counter() - prepared.called_s
    run = Descent(
        objective,
        loss_noise,
        prepared.x,
        settings,
        from_noise=prepared.from_noise,
        cancel=cancel,
        safer=safer,
    )
    initial_terms: Mapping[str, float] = {}
    for step in run:
        if not step.iteration:
            initial_terms = run.terms
        else:
            snapshot = partial(_pixels, step, scene)
            seconds = time.perf_counter() - prepared.called_s
            tell(Iteration(step.iteration, step.evaluations, step.loss, run.terms, seconds, snapshot))
    seconds = time.perf_counter() - prepared.called_s
    outcome = run.outcome
    if run.last is None or outcome is None:
        raise ImpastoError(f"the run could not start: {outcome.message if outcome else 'it was left'}")
    return Result(
        picture=Picture(_pixels(run.last, scene), scene.alpha, scene.name),
        loss=run.last.loss,
        terms=run.terms,
        initial_terms=initial_terms,
        iterations=run.last.iteration,
        evaluations=run.evaluations,
        loop=run.loop,
        outcome=outcome.value,
        message=outcome.message,
        seconds=seconds,
        setup_s=setup_s,
        evaluations_s=run.evaluations_s,
        settings=settings,
        provenance=provenance(scene, prepared.painting),
    )


def _pixels(step: Step, scene: Picture) -> np.ndarray:
    """Return the image that a step came to, [H, W, 3], 0..1."""
    return as_pixels(step.x, scene.height, scene.width)
