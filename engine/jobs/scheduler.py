"""The scheduler drives every run of an engine. Jobs begin, take turns and end between evaluations."""

import atexit
import dataclasses
import threading
import time
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from impasto.engine.compile.graph_spec import BatchKey
from impasto.engine.compile.targets import Targets
from impasto.engine.events import PrecisionChanged, Started
from impasto.engine.inputs.pictures import outline
from impasto.engine.inputs.prepared import Prepared, prepare, prepare_again
from impasto.engine.jobs.active import Active
from impasto.engine.jobs.group import Group
from impasto.engine.jobs.groups import Groups
from impasto.engine.jobs.handle import Handle, Stream
from impasto.engine.jobs.queue import LOOK_AHEAD, MOST_OVERTAKEN, JobQueue, Queued
from impasto.engine.jobs.run import DEVICE, HOST, Run, SaferPrecision, Surroundings
from impasto.engine.jobs.workshop import Workshop
from impasto.engine.optimisers.solution import Outcome, State, Vector
from impasto.engine.result import Result
from impasto.models.errors import ImpastoError

_POLL_S = 0.05


class Scheduler:
    """Runs the jobs of one engine in a thread, which ends when no jobs are left.

    Jobs begin, are cancelled and end only between two evaluations. The scheduler shares the evaluations among the
    running jobs by weighted fair queueing. A job's weight is 2 to the power of its priority. The next evaluation goes
    to the job that has received the smallest part of its share, so no job starves. Jobs with the same batch key share
    evaluations if a batch is faster on the provider. All other jobs take turns.

    If a value of a job is not finite and the provider has a safer precision, the scheduler parks the job. No other job
    begins until all running jobs have ended. Then the engine changes to the safer precision, and the parked job
    continues from its last good image.
    """

    def __init__(self, workshop: Workshop, concurrency: int) -> None:
        """Create a scheduler without jobs; `submit` starts its thread.

        Args:
            workshop: makes the evaluators of the jobs.
            concurrency: maximum number of single jobs or batches that run at the same time.
        """
        self._workshop, self._concurrency = workshop, concurrency
        self._changed = threading.Condition()
        self._at_work = threading.Lock()  # held by the thread that uses the workshop
        self._thread: threading.Thread | None = None
        self._unfinished: set[Handle] = set()
        self._stopping = False
        self._queue = JobQueue()
        self._groups = Groups(workshop, concurrency)
        self._active: dict[Active, Group] = {}
        self._parked: list[Active] = []
        self._turns = 0.0

    def submit(self, handles: Sequence[Handle], most: int, *, batch_is_given: bool) -> None:
        """Add jobs to the queue, all at the same time, and return at once.

        Args:
            handles: the jobs.
            most: maximum number of jobs in one evaluation.
            batch_is_given: whether the caller chose that number.
        """
        with self._changed:
            for handle in handles:
                self._queue.add(handle, most, batch_is_given=batch_is_given)
                if self._stopping:
                    handle.leave_listener()
            self._unfinished.update(handles)
            self._changed.notify_all()
            if self._thread is None and handles:
                self._thread = threading.Thread(target=self._work, name="impasto", daemon=True)
                _working.add(self)
                self._thread.start()

    @contextmanager
    def exclusive(self) -> Iterator[Workshop]:
        """Lend the workshop to the caller while no jobs run.

        Raises:
            ImpastoError: some jobs have not ended.
        """
        with self._changed:
            if self._unfinished:
                raise ImpastoError(
                    f"the engine is in use: {len(self._unfinished)} jobs have not ended; wait for them, give this one "
                    "to `submit` as well, or make another Engine"
                )
        with self._at_work:
            yield self._workshop

    def claim(self, stream: Stream) -> None:
        """Record that the owner of a stream has taken a result. Another job of the stream may then begin."""
        with self._changed:
            stream.unclaimed -= 1
            self._changed.notify_all()

    def wake(self) -> None:
        """Make the thread check the queue again."""
        with self._changed:
            self._changed.notify_all()

    def wait_for_end_of(self, handles: Sequence[Handle]) -> None:
        """Wait until the given jobs have ended. If no other jobs are left, also wait for the thread to end."""
        for handle in handles:
            handle.wait()
        while (thread := self._thread) is not None and not self._unfinished:
            thread.join(_POLL_S)

    def stop(self) -> None:
        """Cancel all jobs, and wait until they have ended."""
        with self._changed:
            self._stopping = True
            for handle in self._unfinished:
                handle.leave_listener()
        try:
            while (thread := self._thread) is not None:
                thread.join()
        finally:
            self._stopping = False

    def _work(self) -> None:
        with self._at_work:
            try:
                while self._has_work():
                    self._end_cancelled_or_late()
                    self._admit()
                    self._groups.close_empty()
                    if self._end_stopped():
                        continue  # others may begin
                    if ready := self._ready():
                        self._take_turn(ready)
                    elif self._parked and not self._active:
                        self._continue_safer(self._parked.pop(0))
                    else:
                        self._wait()
            except BaseException as error:
                self._end_all(error)
                raise

    def _has_work(self) -> bool:
        """Return whether any jobs are left. If none are, give up the thread, which then ends."""
        with self._changed:
            if self._active or self._parked or len(self._queue):
                return True
            self._groups.close_empty()
            self._thread = None
            return False

    def _wait(self) -> None:
        """Wait until a listener has handled an event, or the owner of a stream has taken a result."""
        with self._changed:
            self._changed.wait_for(self._can_continue, _POLL_S)

    def _end_cancelled_or_late(self) -> None:
        """End the queued jobs that were cancelled or whose deadline has passed."""
        for item in self._queue_in_order():
            handle = item.handle
            try:
                cancelled = self._stopping or handle.is_cancelled()
            except Exception as error:  # of the caller's own function
                self._end_queued(item, error)
                continue
            if cancelled:
                self._end_queued(item, None, cancelled=True)
            elif handle.is_late and handle.job.state is None:  # a resumed run has a result as soon as it begins
                limit_s = handle.job.settings.timeout_s
                self._end_queued(item, ImpastoError(f"the run could not start: {limit_s:g} s passed while it waited"))

    def _end_stopped(self) -> bool:
        """End the running jobs that were cancelled or have reached a limit. Return whether any ended."""
        running = [active for active in (*self._active, *self._parked) if not active.handle.is_held_back]
        ended = [active for active in running if active.run.ask() is None]
        self._parked = [active for active in self._parked if active not in ended]
        for active in ended:
            self._settle(active)
        return bool(ended)

    def _queue_in_order(self) -> list[Queued]:
        with self._changed:
            return self._queue.in_order()

    def _admit(self) -> None:
        """Start queued jobs while there is room for them."""
        while not self._parked:
            item = self._next()
            if item is None:
                return
            with self._changed:
                self._queue.begin(item)
            try:
                self._begin(item)
            except Exception as error:
                self._finish(item.handle, error=error)

    def _next(self) -> Queued | None:
        """Return the first queued job that can begin; None if no job can."""
        if self._groups.admit_nobody:
            return None
        unread, held_back = LOOK_AHEAD, set[Stream | None]()
        for item in self._queue_in_order():
            stream = item.handle.stream
            if item.must_wait or stream in held_back or (item.key is None and not unread):
                continue
            unread -= item.key is None
            if self._read(item) and self._can_begin(item):
                return item
            item.prepared = None
            if item.overtaken >= MOST_OVERTAKEN:
                if stream is None or not stream.running:
                    return None
                held_back.add(stream)
        return None

    def _read(self, item: Queued) -> bool:
        """Read a job's images and compute its batch key, if that was not done before.

        If this fails, the job ends with the error, and the method returns False.
        """
        if item.key is not None:
            return True
        try:
            prepared = self._prepared(item)
            compiler = self._workshop.compiler
            item.key = compiler.batch_key(prepared.settings, prepared.scene, from_noise=prepared.from_noise)
            item.painting, item.prepared = outline(prepared.painting), prepared
        except Exception as error:
            self._end_queued(item, error)
            return False
        return True

    def _prepared(self, item: Queued) -> Prepared:
        if item.prepared is not None:
            return item.prepared
        job, called_s = item.handle.job, item.handle.submitted_s
        if item.handle.stream is not None:  # the stream submitted it early, so its time counts from here
            called_s = time.perf_counter()
        if job.state is not None:
            precision = self._workshop.provider.precision
            return prepare_again(job.state, job.settings, precision, called_s=called_s)
        return prepare(job.content, job.style, job.settings, job.start, called_s=called_s)

    def _can_begin(self, item: Queued) -> bool:
        """Return whether a job can begin now, in an existing group or in a new one.

        If the job can never begin, it ends with the error.
        """
        assert item.key is not None  # noqa: S101 - `_read` has set it
        running = item.handle.stream.running if item.handle.stream is not None else []
        if running and running[0] != item.key:
            return False
        try:
            if self._groups.place_for(item, item.key) is not None:
                return True
            return not running and self._groups.have_room_for_another(item, item.key)
        except ImpastoError as error:  # the image is too small for the network
            self._end_queued(item, error)
            return False

    def _begin(self, item: Queued) -> None:
        """Load a job into a group, which may be a new one, and start its run."""
        handle, prepared = item.handle, self._prepared(item)
        if handle.stream is not None:
            handle.start_clock()
        assert item.key is not None  # noqa: S101 - `_read` has set it
        compiler = self._workshop.compiler
        if compiler.batch_key(prepared.settings, prepared.scene, from_noise=prepared.from_noise) != item.key:
            raise ImpastoError(f"{prepared.scene.name} changed its size while the job waited; submit the job again")
        group = self._groups.place_for(item, item.key)
        if group is not None:
            targets = self._workshop.compiler.targets(prepared.settings, prepared.scene, prepared.painting)
        else:
            group, targets = self._groups.open(self._together(item, item.key), item.key, prepared)
        state = handle.job.state
        limit, arrays = prepared.settings.iterations, None
        if state is not None:
            arrays = state.optimiser_for(DEVICE, self._workshop.provider.precision)
            limit -= state.iteration if arrays is None else state.optimiser_from[0]
        around, conversion = self._load(group, prepared, targets, prepared.x, limit, arrays)
        run = Run(
            prepared,
            around,
            state=state,
            keep_state=handle.job.keep_state,
            deadline=handle.deadline,
            cancelled=lambda: self._stopping or handle.is_cancelled(),
        )
        active = Active(handle, prepared, run, self._workshop.provider, self._turns)
        if handle.stream is not None:
            handle.stream.running.append(item.key)
        self._join(active, group)
        handle.begin(run)
        handle.tell(self._started_event(prepared, around, conversion))
        run.start()
        self._settle(active)

    def _together(self, item: Queued, key: BatchKey) -> list[Queued]:
        """Return a job and the queued jobs that begin with it in a new group.

        Raises:
            ImpastoError: the job does not fit into memory. It has left the queue, so the caller has to end it.
        """
        self._groups.close_empty()
        together = [item, *self._companions(item, key)]
        return together if self._active else self._drop_too_large(together, key)

    def _drop_too_large(self, together: list[Queued], key: BatchKey) -> list[Queued]:
        """End the queued jobs that do not fit into memory, and return the other jobs.

        Raises:
            ImpastoError: the first job does not fit. It has left the queue, so the caller has to end it.
        """
        first, *others = together
        spec = dataclasses.replace(key.spec, batch=len(together) if first.batch_is_given else 1)
        fitting = [first]
        for other in others:
            try:
                self._workshop.compiler.check_memory(spec, other.settings, other.weighed)
                fitting.append(other)
            except ImpastoError as error:
                self._end_queued(other, error)
        self._workshop.compiler.check_memory(spec, first.settings, first.weighed)
        return fitting

    def _companions(self, item: Queued, key: BatchKey) -> list[Queued]:
        """Return the queued jobs that can share a job's evaluations from the start."""
        found: list[Queued] = []
        for other in self._queue_in_order()[:LOOK_AHEAD] if item.most > 1 else ():
            alike = (other.most, other.handle.stream) == (item.most, item.handle.stream)
            if len(found) < item.most - 1 and alike and self._read(other) and other.key == key:
                try:
                    other.prepared = self._prepared(other)
                except ImpastoError as error:  # its file has changed since it was read
                    self._end_queued(other, error)
                    continue
                found.append(other)
        return found

    def _load(
        self, group: Group, prepared: Prepared, targets: Targets, x: Vector, limit: int, arrays: State | None
    ) -> tuple[Surroundings, str]:
        """Load a run into a free sample of a group.

        Returns:
            The surroundings of the run, and a sentence that gives its weights in the paper's terms.
        """
        workshop = self._workshop
        sample = group.free_sample()
        conversion = workshop.compiler.load(group.evaluator, sample, prepared.settings, targets)
        origin = workshop.provenance(prepared.scene, prepared.painting)
        around = Surroundings(workshop.provider.numbers.loss_noise, origin, sample)
        return group.enter(sample, x, limit, around, arrays), conversion

    def _started_event(self, prepared: Prepared, around: Surroundings, conversion: str) -> Started:
        workshop = self._workshop
        return Started(
            height=prepared.scene.height,
            width=prepared.scene.width,
            model=workshop.network.name,
            provider=workshop.provider.name,
            precision=workshop.provider.precision,
            conversion=conversion,
            loop=HOST if around.places is None else DEVICE,
            setup_s=time.perf_counter() - prepared.called_s,
        )

    def _join(self, active: Active, group: Group) -> None:
        active.sample = active.run.surroundings.sample
        group.members.append(active)
        self._active[active] = group

    def _can_continue(self) -> bool:
        """Return whether a running job can make an evaluation, or has ended and no longer waits for its listener."""
        ended = (active for active in self._active if active.run.ended)
        return bool(self._ready()) or any(not active.handle.is_held_back for active in ended)

    def _ready(self) -> list[Active]:
        """Return the running jobs that can make an evaluation now.

        A job cannot while its listener, or that of a job that shares its evaluations, has not handled an event.
        """
        held_back = {active for active in self._active if active.handle.is_held_back}
        for group in self._groups:
            if not group.takes_turns and held_back.intersection(group.members):
                held_back.update(group.members)
        return [active for active in self._active if active not in held_back and not active.run.ended]

    def _take_turn(self, ready: list[Active]) -> None:
        """Make one evaluation for the next job in turn, and for the jobs that share its evaluations."""
        chosen = min(ready, key=lambda active: (active.turns, active.run.evaluations))
        self._turns = chosen.turns
        group = self._active[chosen]
        try:
            members = group.take_turn(chosen)
        except Exception as error:
            members = [chosen] if group.takes_turns else list(group.members)
            for member in members:
                member.run.fail(error)
        for member in members:
            member.turns = self._turns + 1 / member.weight
            self._settle(member)

    def _settle(self, active: Active) -> None:
        """Report the events of a job's run. End the job if the run has ended; park it if it needs a safer precision."""
        run = active.run
        while run.events:
            active.handle.tell(run.events.popleft())
        if run.ended and active.handle.is_held_back:
            return  # it ends once the listener, who may ask for its state, has handled the last event
        if run.ended:
            run.release()
            self._leave(active)
            if active.handle.stream is not None:
                active.handle.stream.running.pop()
            self._finish(active.handle, run.result, run.error, cancelled=run.outcome is Outcome.CANCELLED)
        elif isinstance(run.request, SaferPrecision):
            self._leave(active)
            if self._workshop.has_safer(active.provider):
                self._parked.append(active)
            else:
                run.advance(None)
                self._settle(active)

    def _leave(self, active: Active) -> None:
        group = self._active.pop(active, None)
        if group is not None:
            group.leave(active)

    def _continue_safer(self, active: Active) -> None:
        """Continue a job in a safer precision, which the engine then keeps. If there is none, end the job."""
        workshop, run, prepared = self._workshop, active.run, active.prepared
        try:
            if not (workshop.provider != active.provider or workshop.make_safer()):
                run.advance(None)
            else:
                before, after = active.provider.precision, workshop.provider.precision
                active.handle.tell(PrecisionChanged(before, after, run.iterations_done))
                active.provider = workshop.provider
                key = workshop.compiler.batch_key(prepared.settings, prepared.scene, from_noise=run.is_at_noise)
                weighed = outline(prepared.painting)
                item = Queued(active.handle, 1, True, 0, key=key, painting=weighed, prepared=prepared)
                group, targets = self._groups.open(self._together(item, key), key, prepared)
                around, _ = self._load(group, prepared, targets, run.x, run.iterations_left, None)
                run.advance(around)
                if not run.ended:
                    self._join(active, group)
        except Exception as error:
            run.fail(error)
        self._settle(active)

    def _end_queued(self, item: Queued, error: Exception | None, *, cancelled: bool = False) -> None:
        with self._changed:
            self._queue.remove(item)
        self._finish(item.handle, error=error, cancelled=cancelled)

    def _finish(
        self, handle: Handle, result: Result | None = None, error: Exception | None = None, *, cancelled: bool = False
    ) -> None:
        with self._changed:
            self._unfinished.discard(handle)
            if handle.stream is not None:
                handle.stream.unclaimed += 1
        handle.end(result, error, cancelled=cancelled)

    def _end_all(self, error: BaseException) -> None:
        """End all jobs with an error after a bug in this program, so that no caller waits for ever."""
        reason = error if isinstance(error, Exception) else ImpastoError("the engine's thread was ended")
        with self._changed:
            handles = list(self._unfinished)
            self._queue = JobQueue()
            self._thread = None
        self._active, self._parked, self._groups = {}, [], Groups(self._workshop, self._concurrency)
        for handle in handles:
            self._finish(handle, error=reason)


_working: weakref.WeakSet[Scheduler] = weakref.WeakSet()


@atexit.register
def _stop_all() -> None:
    """Stop all schedulers before the interpreter exits; a thread must not use the runtime while it is torn down."""
    for scheduler in list(_working):
        scheduler.stop()
