"""Random schedules of jobs, played on an engine: what happens is tied to evaluations, and an evaluation takes a second.

So a schedule gives the same turns each time, and `tests.oracles.job_queue` can predict them.
"""

import random
import time
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from types import SimpleNamespace
from typing import Any, Literal
from unittest.mock import patch

import numpy as np

from impasto.engine import Engine, ImpastoError, Job, Settings
from impasto.engine.device.places import LoopPlaces
from impasto.engine.jobs.group import Group
from impasto.engine.jobs.handle import Handle
from impasto.engine.optimisers.solution import Budget
from impasto.engine.runtime.evaluator import Evaluator
from tests.oracles.job_queue import Step

PRIORITIES = (0, 0, 0, 1, -1, 3, -3, 8, -8)
LATEST = 16
HANGS_S = 300.0
NOT_FINITE = 1e38
"""A content weight with which the loss of an image of noise overflows."""

Fault = Literal["", "missing", "not finite", "evaluation"]


@dataclass(frozen=True)
class Planned:
    """A job of a schedule.

    Attributes:
        content: which image.
        style: which image.
        settings: of the job, without its time limit.
        batch: jobs in one evaluation at most.
        priority: of the job.
        timeout_s: from the submission on; None is none.
        fault: what is wrong with it.
        fails_at: the evaluation of its own that fails; None is none.
    """

    content: int
    style: int
    settings: Settings
    batch: int
    priority: int
    timeout_s: float | None
    fault: Fault
    fails_at: int | None

    @property
    def recipe(self) -> tuple[int, int, Settings]:
        """What decides the job's picture."""
        return self.content, self.style, self.settings


@dataclass(frozen=True)
class Schedule:
    """Jobs and what happens to them.

    Attributes:
        seed: that it was made from.
        loop: of the engine.
        every: evaluations between two looks at a loop on the device.
        concurrency: of the engine.
        jobs: by number.
        steps: in order.
    """

    seed: int
    loop: str
    every: int
    concurrency: int
    jobs: tuple[Planned, ...]
    steps: tuple[Step, ...]


def random_schedule(seed: int, base: Settings, *, contents: int = 2, styles: int = 2) -> Schedule:
    """Return a schedule.

    Args:
        seed: of all that is random.
        base: settings that all jobs share.
        contents: how many images there are, each of a size of its own.
        styles: how many images there are.
    """
    rng = random.Random(seed)  # noqa: S311
    loop, concurrency = rng.choice(("host", "host", "device")), rng.choice((1, 1, 2, 3, 4))
    usual_content, usual_batch = rng.randrange(contents), rng.choice((1, 2, 3, 4, 4))
    jobs, steps = [], []
    for number in range(rng.randint(3, 8)):
        content = usual_content if rng.random() < 0.7 else rng.randrange(contents)
        batch = usual_batch if rng.random() < 0.85 else rng.randint(1, 4)
        jobs.append(_random_job(rng, base, content, rng.randrange(styles), batch))
        at = 0 if rng.random() < 0.5 else rng.randint(1, rng.choice((5, LATEST)))
        steps.append(Step(at, "submit", number))
        if rng.random() < 0.3 and jobs[-1].fault != "missing":  # which fails at a time that nothing depends on
            steps.append(Step(at + _soon(rng), "cancel", number))
    if rng.random() < 0.3:
        steps.append(Step(rng.randint(1, LATEST), "wait", seconds=_soon(rng)))
    steps.sort(key=lambda step: step.at)  # a cancel stays after its submission
    every = rng.choice((1, 1, 3)) if loop == "device" else 1
    return Schedule(seed, loop, every, concurrency, tuple(jobs), tuple(steps))


def _soon(rng: random.Random) -> int:
    """Return how much later something happens: often at once."""
    return rng.randint(0, rng.choice((3, LATEST)))


def _random_job(rng: random.Random, base: Settings, content: int, style: int, batch: int) -> Planned:
    init, lets_grow = rng.choice(("content", "noise")), rng.random() < 0.2
    longest = 9 if init == "content" else 5  # from noise, rounding soon shows
    settings = replace(
        base,
        iterations=25 if lets_grow else min(rng.choice((2, 3, 4, 6, 9)), longest),
        evaluations=min(rng.choice((3, 6, 9)), longest) if lets_grow or rng.random() < 0.2 else None,
        optimizer="lbfgs" if rng.random() < 0.8 else rng.choice(("plain-lbfgs", "adam")),
        init=init,
    )
    fault: Fault = "" if rng.random() < 0.82 else rng.choice(("missing", "not finite", "evaluation"))
    if fault == "not finite":
        settings = replace(settings, init="noise", content_weight=NOT_FINITE)
    surely = min(settings.iterations + 1, settings.evaluations or settings.iterations + 1)
    return Planned(
        content=content,
        style=style,
        settings=settings,
        batch=batch,
        priority=rng.choice(PRIORITIES),
        timeout_s=_soon(rng) + 0.5 if rng.random() < 0.2 and fault != "missing" else None,
        fault=fault,
        fails_at=rng.randint(1, surely) if fault == "evaluation" else None,
    )


@dataclass(frozen=True)
class Evaluated:
    """One evaluation, or one look at a loop on the device.

    Attributes:
        jobs: their numbers.
        count: evaluations.
    """

    jobs: tuple[int, ...]
    count: int


@dataclass
class Played:
    """What happened.

    Attributes:
        handles: of the jobs that were submitted, by number.
        evaluations: in order.
        seen: evaluations of each job.
        submitted: by number, how many items of `evaluations` there were, the one under way included.
        prompt: jobs that had to begin at once: fewer than ``concurrency`` others had not ended.
        growths: batches that grew.
        late: jobs that were still there when an evaluation began after their cancel or deadline.
    """

    handles: dict[int, Handle] = field(default_factory=dict)
    evaluations: list[Evaluated] = field(default_factory=list)
    seen: Counter[int] = field(default_factory=Counter)
    submitted: dict[int, int] = field(default_factory=dict)
    prompt: set[int] = field(default_factory=set)
    growths: int = 0
    late: set[int] = field(default_factory=set)


class Player:
    """Plays a schedule; its steps are taken in the engine's thread, during evaluations."""

    def __init__(self, engine: Engine, schedule: Schedule, pictures: Callable[[Planned], Job]) -> None:
        """Prepare.

        Args:
            engine: as the schedule wants it.
            schedule: to play.
            pictures: returns the job to submit.
        """
        self.played = Played()
        self._scheduler, self._engine, self._schedule, self._pictures = engine._scheduler, engine, schedule, pictures
        self._steps = list(schedule.steps)
        self._evaluations, self._waited_s = 0, 0.0

    def play(self) -> Played:
        """Return what happened, once all jobs have ended.

        Raises:
            TimeoutError: a job does not end.
        """
        with self._spies():
            while self._steps:
                self._evaluations = max(self._evaluations, self._steps[0].at)
                with self._scheduler.exclusive():  # so that the jobs begin together
                    self._take_steps()
                self._wait()
        return self.played

    def _wait(self) -> None:
        """Wait for the engine's thread, which ends where there are no jobs."""
        thread = self._scheduler._thread
        if thread is not None:
            thread.join(HANGS_S)
            if thread.is_alive():
                raise TimeoutError(f"the jobs have not ended after {HANGS_S:g} s")

    def _now_s(self) -> float:
        return self._evaluations + self._waited_s

    @contextmanager
    def _spies(self) -> Iterator[None]:
        """Let evaluations be noted, and the engine's clock be that of the schedule."""
        call, run, grow = Evaluator.__call__, LoopPlaces.run, Group.grow

        def evaluate(evaluator: Evaluator, images: Mapping[int, np.ndarray]) -> Any:
            self._evaluated(images, 1, evaluator)
            return call(evaluator, images)

        def step(places: LoopPlaces, samples: Iterable[int], most: int) -> Any:
            samples = list(samples)
            self._evaluated(samples, most, places)
            return run(places, samples, most)

        def grown(group: Group) -> None:
            self.played.growths += 1
            grow(group)

        clock = SimpleNamespace(monotonic=self._now_s, perf_counter=time.perf_counter)
        with ExitStack() as stack:
            stack.enter_context(patch.object(Evaluator, "__call__", evaluate))
            stack.enter_context(patch.object(LoopPlaces, "run", step))
            stack.enter_context(patch.object(Group, "grow", grown))
            stack.enter_context(patch("impasto.engine.jobs.handle.time", clock))
            stack.enter_context(patch("impasto.engine.jobs.scheduler.time", clock))
            stack.enter_context(patch("impasto.engine.jobs.run.Budget", partial(Budget, clock=self._now_s)))
            yield

    def _evaluated(self, samples: Container[int], count: int, where: object) -> None:
        """Take note of an evaluation, take the steps that fall into it, and let it fail where it has to.

        Raises:
            ImpastoError: it fails.
        """
        self._note_late()
        running = [
            active
            for active, group in self._scheduler._active.items()
            if where in (group.evaluator, group.loop) and active.sample in samples
        ]
        numbers = tuple(self._number(active.handle) for active in running)
        fails = any(self._fails(number, count) for number in numbers)
        self.played.evaluations.append(Evaluated(numbers, count))
        self.played.seen.update(dict.fromkeys(numbers, count))
        self._evaluations += count
        self._take_steps()
        if fails:
            raise ImpastoError("the provider fails")

    def _number(self, handle: Handle) -> int:
        return next(number for number, own in self.played.handles.items() if own is handle)

    def _fails(self, number: int, count: int) -> bool:
        before = self.played.seen[number]
        return before < (self._schedule.jobs[number].fails_at or 0) <= before + count

    def _note_late(self) -> None:
        for number, handle in self.played.handles.items():
            past = handle.deadline is not None and self._now_s() >= handle.deadline
            if not handle.state.ended and (past or handle.is_cancelled()):
                self.played.late.add(number)

    def _take_steps(self) -> None:
        new = []
        while self._steps and self._steps[0].at <= self._evaluations:
            step = self._steps.pop(0)
            if step.action == "wait":
                self._waited_s += step.seconds
            elif step.action == "cancel":
                self.played.handles[step.job].cancel()
            else:
                planned = self._schedule.jobs[step.job]
                self.played.handles[step.job] = self._engine.submit(self._pictures(planned), batch=planned.batch)
                self.played.submitted[step.job] = len(self.played.evaluations)
                new.append(step.job)
        unfinished = sum(not handle.state.ended for handle in self.played.handles.values())
        if unfinished <= self._schedule.concurrency:
            self.played.prompt.update(new)


def starved(played: Played) -> Sequence[int]:
    """Return the jobs that had to begin at once, and before whose first evaluation another job had two."""
    found = []
    for number in sorted(played.prompt):
        before: Counter[int] = Counter()
        for evaluated in played.evaluations[played.submitted[number] :]:
            if number in evaluated.jobs:
                break
            before.update(evaluated.jobs)
        else:
            continue  # it ended without an evaluation
        if max(before.values(), default=0) > 1:
            found.append(number)
    return found
