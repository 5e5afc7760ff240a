"""Many transfers, several of one kind in each evaluation.

Every job runs in a thread of its own up to where it needs the device: for an evaluation, where its optimiser is on the
host, or for some steps of the optimiser, where that is on the device. When all of them are there, the device does it
for all at once. So the jobs run as single ones do, and work at the same time on what is theirs alone.
"""

import dataclasses
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from impasto.engine import providers
from impasto.engine.evaluator import Evaluator
from impasto.engine.events import Event
from impasto.engine.kind import Kind
from impasto.engine.objective import Objective
from impasto.engine.one_run import Prepared, descend, prepare, started
from impasto.engine.outcome import Vector
from impasto.engine.pausing import Pausing, Returned
from impasto.engine.result import Result
from impasto.engine.shared_loop import SharedLoop, Steps
from impasto.engine.waiting import LOOK_AHEAD, Job, Ready, Unusable, Waiting
from impasto.models.errors import ImpastoError

if TYPE_CHECKING:
    from impasto.engine.render import Engine

__all__ = ["LOOK_AHEAD", "Finished", "Job", "OnJobEvent", "transfers"]

OnJobEvent = Callable[[int, Job, Event], None]


@dataclass(frozen=True)
class Finished:
    """A job that has ended.

    Attributes:
        index: the job's place in the order of all, from 0.
        job: as it was given.
        result: what came out; None where it failed.
        error: why it failed; None where it did not.
    """

    index: int
    job: Job
    result: Result | None
    error: ImpastoError | None = None


_Request = Event | Vector | Steps  # to be told of; to be evaluated; to be stepped


class _NeedsSaferPrecision(Exception):  # noqa: N818 - a message to the loop, not an error
    """A job's values are not finite, and there is a precision in which they may be."""


def transfers(
    engine: "Engine", jobs: Iterable[Job], batch: int, on_event: OnJobEvent, cancel: Callable[[], bool]
) -> Iterator[Finished]:
    """Run the jobs; see `Engine.transfer_many`.

    Where a value is not finite, the job is begun again after the others of its form, alone, as `Engine.transfer` does
    it: in the end it goes over to a safer precision, and the engine with it.
    """

    def read(job: Job) -> tuple[Kind, Prepared]:
        prepared = prepare(job.content, job.style, job.settings, job.start)
        return engine.compiler.kind(job.settings, prepared.scene, from_noise=prepared.from_noise), prepared

    waiting = Waiting(jobs, read)
    while not cancel() and (first := waiting.take()) is not None:
        if isinstance(first, Unusable):
            yield _failed(first, first.error)
            continue
        group = _Group(engine, waiting, first, on_event, cancel)
        try:
            yield from group.run(batch)
        finally:
            group.abandon()
        for ready in group.repeated:
            if not cancel():
                yield _alone(engine, ready, on_event, cancel)


class _Group:
    """Jobs of one kind under way, each in its place of the batch.

    Attributes:
        repeated: jobs that need a safer precision.
    """

    def __init__(
        self, engine: "Engine", waiting: Waiting, first: Ready, on_event: OnJobEvent, cancel: Callable[[], bool]
    ) -> None:
        self.repeated: list[Ready] = []
        self._engine, self._waiting, self._kind = engine, waiting, first.kind
        self._entering = deque([first])
        self._on_event, self._cancel = on_event, cancel
        self._cancelled = False
        self._running: dict[int, tuple[Ready, Pausing[_Request, Any, Result]]] = {}
        self._points: dict[int, Vector] = {}
        self._steps: dict[int, Steps] = {}
        self._shared: SharedLoop | None = None

    def run(self, batch: int) -> Iterator[Finished]:
        """Run all jobs of the kind; there are as many places as there are jobs to take them now."""
        while len(self._entering) < batch and (found := self._waiting.take(self._kind)) is not None:
            if isinstance(found, Ready):
                self._entering.append(found)
            else:
                yield _failed(found, found.error)
        size = len(self._entering)
        try:
            form = dataclasses.replace(self._kind.form, batch=size)
            first = self._entering[0].prepared
            self._engine.compiler.check_memory(form, first.settings, first.painting)
            evaluator = self._engine.compiler.evaluator(form)
            self._shared = self._opened(evaluator)
        except ImpastoError as error:
            yield from (_failed(ready, error) for ready in self._entering)
            return
        while True:
            for sample in range(size):
                yield from self._reach_evaluation(evaluator, sample)
            if self._steps and self._shared is not None:
                self._step(self._shared)
            elif self._points:
                self._evaluate(evaluator)
            else:
                return

    def abandon(self) -> None:
        """End what is under way."""
        for _, work in self._running.values():
            work.abandon()

    def _opened(self, evaluator: Evaluator) -> SharedLoop | None:
        """Return the loop on the device; None where the host is to run the optimisers, or has to.

        Raises:
            ImpastoError: it was asked for by name, and does not run there.
        """
        lbfgs, form = self._kind.lbfgs, self._kind.form
        wanted = None if lbfgs is None else self._engine.compiler.on_device(evaluator)
        if wanted is None or lbfgs is None:
            return None
        try:
            return SharedLoop(wanted, lbfgs, (3, form.height, form.width))
        except ImpastoError:
            if wanted.demanded:
                raise
            return None

    def _reach_evaluation(self, evaluator: Evaluator, sample: int) -> Iterator[Finished]:
        """Bring a place to its next evaluation, by another job where one ends; it stays empty where none waits."""
        while sample not in self._points and sample not in self._steps:
            if sample not in self._running:
                ready = self._next()
                if ready is None:
                    return
                if isinstance(ready, Unusable):
                    yield _failed(ready, ready.error)
                    continue
                try:
                    self._begin(evaluator, sample, ready)
                except ImpastoError as error:
                    yield _failed(ready, error)
                    continue
            yield from self._advance(sample)

    def _next(self) -> Ready | Unusable | None:
        """Return the job that has the next free place."""
        if self._cancelled:
            return None
        return self._entering.popleft() if self._entering else self._waiting.take(self._kind)

    def _begin(self, evaluator: Evaluator, sample: int, ready: Ready) -> None:
        """Load a job into a place and start its optimiser."""
        engine, prepared = self._engine, ready.prepared
        conversion = engine.compiler.load(evaluator, sample, prepared.settings, prepared.scene, prepared.painting)
        shared = self._shared
        if shared is not None:
            shared.enter(sample, prepared.x, prepared.settings.iterations, evaluator.coefficients[sample])
        self._on_event(ready.index, ready.job, started(prepared, engine.network.name, engine.provider, conversion))

        shape = (3, prepared.scene.height, prepared.scene.width)

        def safer(_: int) -> None:
            if providers.safer(engine.provider) is not None:
                raise _NeedsSaferPrecision

        def minimise(ask: Callable[[_Request], Any]) -> Result:
            return descend(
                prepared,
                Objective(ask, shape, None if shared is None else shared.place(sample, ask)),
                engine.provider.numbers.loss_noise,
                tell=ask,
                cancel=lambda: self._cancelled,
                safer=safer,
                provenance=engine.provenance,
            )

        self._running[sample] = ready, Pausing(minimise)

    def _advance(self, sample: int) -> Iterator[Finished]:
        """Let a job go on to its next event, evaluation or end."""
        ready, work = self._running[sample]
        try:
            message = work.wait()
        except _NeedsSaferPrecision:
            self.repeated.append(ready)
        except ImpastoError as error:
            yield _failed(ready, error)
        else:
            if isinstance(message, Returned):
                yield Finished(ready.index, ready.job, message.value)
            elif isinstance(message.request, np.ndarray):
                self._points[sample] = message.request
                return
            elif isinstance(message.request, Steps):
                self._steps[sample] = message.request
                return
            else:
                self._on_event(ready.index, ready.job, message.request)
                work.answer(None)
                return
        del self._running[sample]

    def _step(self, shared: SharedLoop) -> None:
        """Let the images in the loop take steps, and their jobs go on."""
        replies = shared.run(self._steps)
        self._steps.clear()
        if shared.failed:
            self._shared = None  # these jobs go on on the host, and those to come begin there
        self._cancelled = self._cancelled or self._cancel()
        for sample, reply in replies.items():
            self._running[sample][1].answer(reply)

    def _evaluate(self, evaluator: Evaluator) -> None:
        """Evaluate all images that wait for it, and let their jobs go on."""
        scores = evaluator(self._points)
        self._points.clear()
        self._cancelled = self._cancelled or self._cancel()
        for sample, score in scores.items():
            self._running[sample][1].answer(score)


def _failed(job: Ready | Unusable, error: ImpastoError) -> Finished:
    return Finished(job.index, job.job, None, error)


def _alone(engine: "Engine", ready: Ready, on_event: OnJobEvent, cancel: Callable[[], bool]) -> Finished:
    """Run a job by itself."""
    job, tell = ready.job, partial(on_event, ready.index, ready.job)
    try:
        result = engine.transfer(job.content, job.style, job.settings, start=job.start, on_event=tell, cancel=cancel)
    except ImpastoError as error:
        return _failed(ready, error)
    return Finished(ready.index, job, result)
