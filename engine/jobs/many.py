"""Many transfers, several of one kind in each evaluation.

Every job runs in a thread of its own up to where it needs the device: for an evaluation, where its optimiser is on the
host, or for some steps of the optimiser, where that is on the device. When all of them are there, the device does it
for all at once. So the jobs run as single ones do, and work at the same time on what is theirs alone.
"""

import dataclasses
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from impasto.engine.device.objective import Objective
from impasto.engine.device.shared_loop import SharedLoop, Steps
from impasto.engine.events import Event
from impasto.engine.jobs.batch_key import Kind
from impasto.engine.jobs.one_run import Prepared, descend, prepare, started
from impasto.engine.jobs.pausing import Asked, Pausing, Returned
from impasto.engine.jobs.waiting import LOOK_AHEAD, Job, Ready, Unusable, Waiting
from impasto.engine.optimisers.outcome import Vector
from impasto.engine.result import Result
from impasto.engine.runtime.evaluator import Evaluator
from impasto.engine.runtime.providers import Provider
from impasto.models.errors import ImpastoError

if TYPE_CHECKING:
    from impasto.engine.jobs.engine import Engine

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


@dataclass(frozen=True)
class _NotFinite:
    """A request: for the objective in a safer precision, to go on with after so many iterations."""

    iteration: int


_Request = Event | Vector | Steps | _NotFinite  # to be told of; to be evaluated; to be stepped


@dataclass(frozen=True)
class _Running:
    """A job under way, and the provider that it is on."""

    ready: Ready
    work: Pausing[_Request, Any, Result]
    provider: Provider


def transfers(
    engine: "Engine",
    jobs: Iterable[Job],
    batch: int | None,
    on_event: OnJobEvent,
    cancel: Callable[[], bool],
) -> Iterator[Finished]:
    """Run the jobs; see `Engine.transfer_many`.

    Where a value is not finite, the job waits until the others of its kind have ended, and then goes on alone from its
    last good image, as `Engine.transfer` does it: in a safer precision, and the engine with it.
    """

    def read(job: Job) -> tuple[Kind, Prepared]:
        prepared = prepare(job.content, job.style, job.settings, job.start)
        return engine.compiler.kind(job.settings, prepared.scene, from_noise=prepared.from_noise), prepared

    waiting = Waiting(jobs, read)
    while not cancel() and (first := waiting.take()) is not None:
        if isinstance(first, Unusable):
            yield _failed(first, first.error)
            continue
        late = yield from _together(_Group(engine, waiting, first, on_event, cancel), batch)
        for ready in late:
            if not cancel():
                yield from _together(_Group(engine, Waiting((), read), ready, on_event, cancel), 1)


def _together(group: "_Group", batch: int | None) -> Generator[Finished, None, list[Ready]]:
    """Run a group, and return the jobs that were taken and have to run by themselves."""
    try:
        yield from group.run(batch)
        yield from group.run_alone()
    finally:
        group.abandon()
    return group.late


class _Group:
    """Jobs of one kind under way, each in its place of the batch.

    Attributes:
        late: jobs that found no room in memory beside those under way.
    """

    def __init__(
        self, engine: "Engine", waiting: Waiting, first: Ready, on_event: OnJobEvent, cancel: Callable[[], bool]
    ) -> None:
        self.late: list[Ready] = []
        self._engine, self._waiting, self._kind = engine, waiting, first.kind
        self._entering = deque([first])
        self._on_event, self._cancel = on_event, cancel
        self._cancelled = False
        self._places, self._evaluated = 1, False
        self._running: dict[int, _Running] = {}
        self._points: dict[int, Vector] = {}
        self._steps: dict[int, Steps] = {}
        self._shared: SharedLoop | None = None
        self._not_finite: deque[tuple[_Running, int]] = deque()  # with the iterations that they have done

    def run(self, batch: int | None) -> Iterator[Finished]:
        """Run all jobs of the kind.

        Args:
            batch: places at most; there are no more than jobs to take them now. None is what suits the provider, and
                then no more than fit into memory.
        """
        most = self._engine.places(batch)
        while len(self._entering) < most and (found := self._waiting.take(self._kind)) is not None:
            if isinstance(found, Ready):
                self._entering.append(found)
            else:
                yield _failed(found, found.error)
        yield from self._refuse(1 if batch is None else len(self._entering))
        if not self._entering:
            return
        self._places = self._fitting() if batch is None else len(self._entering)
        try:
            form = dataclasses.replace(self._kind.form, batch=self._places)
            evaluator = self._engine.compiler.evaluator(form)
            self._shared = self._opened(evaluator)
        except ImpastoError as error:
            yield from (_failed(ready, error) for ready in self._entering)
            return
        while True:
            for sample in range(self._places):
                yield from self._reach_device(evaluator, sample)
            self._evaluated = True
            if self._steps and self._shared is not None:
                self._step(self._shared)
            elif self._points:
                self._evaluate(evaluator)
            else:
                return

    def _refuse(self, places: int) -> Iterator[Finished]:
        """End the jobs that do not fit into an evaluation of so many places."""
        form = dataclasses.replace(self._kind.form, batch=places)
        for ready in list(self._entering):
            try:
                self._engine.compiler.check_memory(form, ready.prepared.settings, ready.prepared.painting)
            except ImpastoError as error:
                self._entering.remove(ready)
                yield _failed(ready, error)

    def _fitting(self) -> int:
        """Return how many places fit, whichever jobs are in them."""
        form, most, fit = self._kind.form, len(self._entering), self._engine.compiler.places_that_fit
        return min(fit(form, ready.prepared.settings, ready.prepared.painting, most) for ready in self._entering)

    def run_alone(self) -> Iterator[Finished]:
        """Go on with the jobs that need a safer precision, one after another."""
        self._release()  # the memory is needed
        while self._not_finite:
            running, iteration = self._not_finite.popleft()
            self._running[0] = running
            self._cancelled = self._cancelled or self._cancel()
            self._make_safer(running, iteration)
            self._running[0] = dataclasses.replace(running, provider=self._engine.provider)
            while 0 in self._running:
                yield from self._advance(0)
                self._cancelled = self._cancelled or self._cancel()

    def abandon(self) -> None:
        """End what is under way."""
        self._release()
        for running in (*self._running.values(), *(running for running, _ in self._not_finite)):
            running.work.abandon()

    def _release(self) -> None:
        """Give up the loop on the device: nobody will step in it again, or ask it for an image."""
        if self._shared is not None:
            self._shared.close()
        self._shared = None

    def _opened(self, evaluator: Evaluator) -> SharedLoop | None:
        """Return the loop on the device; None where the host is to run the optimisers, or has to.

        Raises:
            ImpastoError: it was asked for by name, and does not run there.
        """
        lbfgs, form = self._kind.lbfgs, self._kind.form
        wanted = None if lbfgs is None else self._engine.compiler.on_device(evaluator)
        if wanted is None or lbfgs is None:
            return None
        lbfgs = dataclasses.replace(lbfgs, loss_noise=self._engine.provider.numbers.loss_noise)
        try:
            return SharedLoop(wanted, lbfgs, (3, form.height, form.width))
        except ImpastoError:
            if wanted.demanded:
                raise
            return None

    def _reach_device(self, evaluator: Evaluator, sample: int) -> Iterator[Finished]:
        """Bring a place to where it needs the device, by another job where one ends; it stays empty if none waits."""
        while sample not in self._points and sample not in self._steps:
            if sample not in self._running:
                ready = self._next()
                if ready is None:
                    return
                if isinstance(ready, Unusable):
                    yield _failed(ready, ready.error)
                    continue
                try:
                    if not self._has_room(ready.prepared):
                        self.late.append(ready)
                        continue
                    self._running[sample] = self._begin(evaluator, sample, ready)
                except ImpastoError as error:
                    yield _failed(ready, error)
                    continue
            yield from self._advance(sample)

    def _next(self) -> Ready | Unusable | None:
        """Return the job that has the next free place; no new one where as many as there are places are held back."""
        if self._cancelled:
            return None
        if self._entering:
            return self._entering.popleft()
        held_back = len(self._not_finite) + len(self.late)
        return self._waiting.take(self._kind) if held_back < self._places else None

    def _has_room(self, prepared: Prepared) -> bool:
        """Return whether a job fits beside what is under way; what was there at first has been weighed as a whole."""
        settings, painting, shared = prepared.settings, prepared.painting, self._shared is not None
        return not self._evaluated or self._engine.compiler.has_room(self._kind.form, settings, painting, shared=shared)

    def _begin(self, evaluator: Evaluator, sample: int, ready: Ready) -> _Running:
        """Load a job into a place and start its optimiser."""
        engine, prepared = self._engine, ready.prepared
        settings, scene, painting = prepared.settings, prepared.scene, prepared.painting
        conversion = engine.compiler.load(evaluator, sample, settings, scene, painting)
        shared = self._entered(evaluator, sample, prepared)
        self._on_event(ready.index, ready.job, started(prepared, engine.network.name, engine.provider, conversion))

        def minimise(ask: Callable[[_Request], Any]) -> Result:
            on_device = None if shared is None else shared.place(sample, ask)
            return descend(
                prepared,
                Objective(ask, (3, scene.height, scene.width), on_device),
                engine.provider.numbers.loss_noise,
                tell=ask,
                cancel=lambda: self._cancelled,
                safer=lambda iteration: ask(_NotFinite(iteration)),
                provenance=engine.provenance,
            )

        return _Running(ready, Pausing(minimise), engine.provider)

    def _entered(self, evaluator: Evaluator, sample: int, prepared: Prepared) -> SharedLoop | None:
        """Bring a job's image into the loop on the device; None where the host is to run its optimiser.

        Raises:
            ImpastoError: the device was asked for by name, and fails.
        """
        shared = self._shared
        if shared is None:
            return None
        try:
            shared.enter(sample, prepared.x, prepared.settings.iterations, evaluator.coefficients[sample])
        except ImpastoError:
            if shared.demanded:
                raise
            return None
        return shared

    def _advance(self, sample: int) -> Iterator[Finished]:
        """Let a job go on to where it needs the device, or tell of its next event or its end."""
        running = self._running[sample]
        ready, work = running.ready, running.work
        try:
            message: Asked[_Request] | Returned[Result] = work.wait()
        except ImpastoError as error:
            del self._running[sample]
            yield _failed(ready, error)
            return
        if isinstance(message, Returned):
            del self._running[sample]
            yield Finished(ready.index, ready.job, message.value)
        elif isinstance(message.request, np.ndarray):
            self._points[sample] = message.request
        elif isinstance(message.request, Steps):
            self._steps[sample] = message.request
        elif isinstance(message.request, _NotFinite):
            del self._running[sample]
            self._not_finite.append((running, message.request.iteration))
        else:
            self._on_event(ready.index, ready.job, message.request)
            work.answer(None)

    def _make_safer(self, running: _Running, iteration: int) -> None:
        """Answer a job with the objective in a safer precision, from where on it needs nothing but to be told of."""

        def tell(event: Event) -> None:
            self._on_event(running.ready.index, running.ready.job, event)

        try:
            prepared, used = running.ready.prepared, running.provider
            running.work.answer(None if self._cancelled else self._engine.safer(prepared, used, iteration, tell))
        except ImpastoError as error:
            running.work.fail(error)

    def _step(self, shared: SharedLoop) -> None:
        """Let the images in the loop take steps, and their jobs go on.

        The evaluations of the host and those of the loop would overwrite each other's images, so that all jobs go over
        to the host where one has to.
        """
        asked, self._steps = self._steps, {}
        if self._points:
            shared.stop("another transfer of the batch has to go on on the host; use --loop host")
        try:
            self._answer(shared.run(asked))
        except ImpastoError as error:
            self._fail(asked, error)
        if shared.stopped and not shared.demanded:
            self._shared = None  # jobs to come begin on the host

    def _evaluate(self, evaluator: Evaluator) -> None:
        """Evaluate all images that wait for it, and let their jobs go on."""
        points, self._points = self._points, {}
        try:
            self._answer(evaluator(points))
        except ImpastoError as error:
            self._fail(points, error)

    def _answer(self, replies: dict[int, Any]) -> None:
        self._cancelled = self._cancelled or self._cancel()
        for sample, reply in replies.items():
            self._running[sample].work.answer(reply)

    def _fail(self, samples: Iterable[int], error: ImpastoError) -> None:
        for sample in samples:
            self._running[sample].work.fail(ImpastoError(*error.args))


def _failed(job: Ready | Unusable, error: ImpastoError) -> Finished:
    return Finished(job.index, job.job, None, error)
