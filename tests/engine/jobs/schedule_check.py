"""Whether what happened in a schedule is what the naive model of the queue and the single runs say."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Self

import numpy as np

from impasto.engine import Engine, Event, ImpastoError, Iteration, Job, Result, Settings
from impasto.engine.runtime.providers import Provider
from tests.engine.jobs.schedules import Planned, Played, Player, Schedule, starved
from tests.oracles.job_queue import Ending, Work, predict

LOSS_RELATIVE, PIXELS_ABSOLUTE = 1e-3, 2e-3
"""Tolerances in a batch, where a loss may be summed in another order; a job of batch 1 gives a single run's bits."""

PLACES_ABSENT = "missing.png"

Picture = np.ndarray


@dataclass(frozen=True)
class Single:
    """A job's single run.

    Attributes:
        progress: iterations after each evaluation.
        outcome: why it ended; None where it failed.
        losses: after each iteration, from the starting point on.
        pictures: after each iteration, from the starting point on.
    """

    progress: tuple[int, ...]
    outcome: str | None
    losses: tuple[float, ...] = ()
    pictures: tuple[Picture, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """What became of one schedule.

    Attributes:
        problems: what is not as it should be, in words.
        endings: how each job ended, by the model.
        evaluations: of the engine; a look at a loop on the device counts once.
        shared: evaluations of several jobs together.
        growths: batches that grew.
        prompt: jobs that had to begin at once.
        identical: jobs whose picture has the bits of the single run.
        close: the others with a picture.
        largest: difference of a pixel from the single run.
    """

    problems: Sequence[str]
    endings: Sequence[Ending]
    evaluations: int
    shared: int
    growths: int
    prompt: int
    identical: int
    close: int
    largest: float


class Checker:
    """Plays schedules on engines of one network, and compares them with the model and with single runs."""

    def __init__(
        self, model: str, provider: str | Provider, contents: Sequence[Picture], styles: Sequence[Picture]
    ) -> None:
        """Begin without engines; each is opened when a schedule wants it, and then kept.

        Args:
            model: the network.
            provider: of all engines.
            contents: images, each of a size of its own.
            styles: images.
        """
        self._model, self._provider, self._contents, self._styles = model, provider, contents, styles
        self._singles: dict[tuple[str, int, int, Settings], Single] = {}
        self._stack = ExitStack()
        self._engines: dict[tuple[str, int, int], Engine] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def check(self, schedule: Schedule) -> Verdict:
        """Play a schedule and judge it."""
        works = [self._work(schedule, planned) for planned in schedule.jobs]
        predicted = predict(works, schedule.steps, concurrency=schedule.concurrency, every=schedule.every)
        endings = predicted.endings
        engine = self._engine(schedule.loop, schedule.every, schedule.concurrency)
        played = Player(engine, schedule, self._job).play()
        problems, distances = [*_promises(played), *_other_turns(played, predicted.turns)], []
        for number, ending in sorted(endings.items()):
            result = _result(played, number)
            found = _ending(played, number, result)
            if found != ending:
                problems.append(f"job {number}: {found}, and the model says {ending}")
            elif result is not None:
                planned = schedule.jobs[number]
                distances.append(_distance(result, self._single(schedule.loop, planned)))
                problems += [f"job {number}: {text}" for text in _too_far(*distances[-1], batch=planned.batch)]
        identical = sum(pixels == loss == 0 for pixels, loss in distances)
        return Verdict(
            problems=problems,
            endings=[endings[number] for number in sorted(endings)],
            evaluations=len(played.evaluations),
            shared=sum(len(evaluated.jobs) > 1 for evaluated in played.evaluations),
            growths=played.growths,
            prompt=len(played.prompt),
            identical=identical,
            close=len(distances) - identical,
            largest=max((pixels for pixels, _ in distances), default=0.0),
        )

    def _engine(self, loop: str, every: int = 1, concurrency: int = 1) -> Engine:
        key = loop, every, concurrency
        if key not in self._engines:
            opened = Engine(
                self._model,
                provider=self._provider,
                threads=1,
                loop=loop,
                report_every=every,
                concurrency=concurrency,
                checks_memory=False,
            )
            self._engines[key] = self._stack.enter_context(opened)
        return self._engines[key]

    def _job(self, planned: Planned) -> Job:
        content = PLACES_ABSENT if planned.fault == "missing" else self._contents[planned.content]
        settings = replace(planned.settings, timeout_s=planned.timeout_s)
        return Job(content, self._styles[planned.style], settings, priority=planned.priority)

    def _work(self, schedule: Schedule, planned: Planned) -> Work:
        single = Single((0,), None) if planned.fault == "missing" else self._single(schedule.loop, planned)
        on_device = schedule.loop == "device" and planned.settings.optimizer != "adam"
        return Work(
            key=(planned.content, planned.settings.optimizer if on_device else ""),
            batch=planned.batch,
            iterations=planned.settings.iterations,
            progress=single.progress,
            outcome=single.outcome,
            priority=planned.priority,
            evaluations=planned.settings.evaluations,
            timeout_s=planned.timeout_s,
            fails_at=planned.fails_at,
            on_device=on_device,
            missing=planned.fault == "missing",
        )

    def _single(self, loop: str, planned: Planned) -> Single:
        recipe = (loop, *planned.recipe)
        if recipe not in self._singles:
            self._singles[recipe] = self._run_alone(self._engine(loop), planned)
        return self._singles[recipe]

    def _run_alone(self, engine: Engine, planned: Planned) -> Single:
        content, style = self._contents[planned.content], self._styles[planned.style]
        steps: list[tuple[int, float, Picture]] = []

        def follow(event: Event) -> None:
            if isinstance(event, Iteration):
                steps.append((event.evaluations, event.loss, event.snapshot()))

        try:
            start = engine.transfer(content, style, replace(planned.settings, iterations=0))
            result = engine.transfer(content, style, planned.settings, on_event=follow)
        except ImpastoError as error:
            if "not finite" not in str(error):
                raise
            return Single((0,), None)
        made = [sum(count <= number for count, *_ in steps) for number in range(1, result.evaluations + 1)]
        losses = (start.loss, *(loss for _, loss, _ in steps))
        pictures = (start.picture.pixels, *(picture for *_, picture in steps))
        return Single(tuple(made), result.outcome, losses, pictures)


def _promises(played: Played) -> Iterator[str]:
    """Say which jobs were late or starved."""
    for number in sorted(played.late):
        yield f"job {number}: an evaluation began after its cancel or deadline, and it had not ended"
    for number in starved(played):
        yield f"job {number}: there was room for it, and another job had two evaluations before its first one"


def _other_turns(played: Played, turns: Sequence[tuple[int, ...]]) -> Iterator[str]:
    """Say where the evaluations leave the model's order."""
    found = [tuple(sorted(evaluated.jobs)) for evaluated in played.evaluations]
    for number, (jobs, expected) in enumerate(zip_longest(found, turns), 1):
        if jobs != expected:
            yield f"evaluation {number} is of jobs {jobs}, and the model says {expected}"
            return


def _result(played: Played, number: int) -> Result | None:
    try:
        return played.handles[number].result(0)
    except ImpastoError:
        return None


def _ending(played: Played, number: int, result: Result | None) -> Ending:
    state = played.handles[number].state.value
    if result is None:
        return Ending(state, played.seen[number])
    return Ending(state, result.evaluations, result.outcome, result.iterations)


def _distance(result: Result, single: Single) -> tuple[float, float]:
    """Return the largest difference of a pixel, and the relative one of the loss, from the single run so far."""
    loss, picture = single.losses[result.iterations], single.pictures[result.iterations]
    return float(np.abs(result.picture.pixels - picture).max()), abs(result.loss - loss) / abs(loss)


def _too_far(pixels: float, loss: float, *, batch: int) -> Iterator[str]:
    allowed = (0.0, 0.0) if batch == 1 else (PIXELS_ABSOLUTE, LOSS_RELATIVE)
    if not (pixels <= allowed[0] and loss <= allowed[1]):
        yield f"pixels differ by {pixels:.3g} and the loss by {loss:.3g} from the single run's"
