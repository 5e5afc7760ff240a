"""The scheduler drives every run of an engine. Jobs begin, take turns and end between evaluations."""

import atexit
import threading
import time
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from impasto.engine.compile.targets import Targets
from impasto.engine.events import PrecisionChanged, Started
from impasto.engine.inputs.prepared import Prepared
from impasto.engine.inputs.run_state import RunState
from impasto.engine.inputs.sizes import outline_of
from impasto.engine.jobs.active import Active
from impasto.engine.jobs.admission import Admission
from impasto.engine.jobs.group import Group
from impasto.engine.jobs.groups import Groups
from impasto.engine.jobs.guard import CANCEL, Guard
from impasto.engine.jobs.handle import Handle, Stream
from impasto.engine.jobs.job import ALONE
from impasto.engine.jobs.next_scales import Entry, NextScales
from impasto.engine.jobs.queue import Queued
from impasto.engine.jobs.run import Run
from impasto.engine.jobs.surroundings import DEVICE, HOST, SaferPrecision, Surroundings
from impasto.engine.jobs.workshop import Workshop
from impasto.engine.optimisers.solution import Outcome, State, Vector
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

    A job with several scales is a chain of runs, one for each scale. When a run is through, its job leaves its group
    and joins one of the next size, before any job in the queue begins; other jobs continue in the meantime. Another
    thread makes the session and the targets of the next scale while the present one runs, if memory has room for both.

    Args:
        workshop: makes the evaluators of the jobs.
        concurrency: maximum number of single jobs or batches that run at the same time.

    Attributes:
        guard: refuses uses after the end, and from threads that the scheduler waits for.
    """

    def __init__(self, workshop: Workshop, concurrency: int) -> None:
        self._workshop, self._concurrency = workshop, concurrency
        self.guard = Guard(concurrency)
        self._changed = threading.Condition()
        self._at_work = threading.Lock()  # held by the thread that uses the workshop
        self._borrower: int | None = None  # the thread that uses it in `exclusive`
        self._thread: threading.Thread | None = None
        self._unfinished: set[Handle] = set()
        self._turns = 0.0
        self._clear()

    def _clear(self) -> None:
        self._groups = Groups(self._workshop, self._concurrency)
        self._queue = Admission(self._workshop, self._groups, self._finish)
        self._active: dict[Active, Group] = {}
        self._parked: list[Active] = []
        self._scales = NextScales(self._workshop, self._groups)

    def submit(self, handles: Sequence[Handle]) -> None:
        """Add jobs to the queue, all at the same time, and return at once.

        Raises:
            ImpastoError: the engine is closed; no job was added.
        """
        with self._changed:
            self.guard.check_open()
            for handle in handles:
                self._queue.add(handle)
            self._unfinished.update(handles)
            self._changed.notify_all()
            if self._thread is None and handles:
                self._thread = threading.Thread(target=self._work, name="impasto", daemon=True)
                _working.add(self)
                self._thread.start()

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Leave the workshop to the caller while no jobs run. Other threads that want it wait until the block ends.

        Raises:
            ImpastoError: some jobs have not ended, the engine is closed or waits for this thread, or this thread is in
                such a block already.
        """
        self.guard.check_no_callback()
        self._borrow()
        try:
            yield
        finally:
            self._borrower = None
            self._at_work.release()
            self.wake()

    def _borrow(self) -> None:
        """Wait until no other thread uses the workshop, and take it."""
        with self._changed:
            while True:
                self.guard.check_open()
                if self._unfinished:
                    raise ImpastoError(
                        f"the engine is in use: {len(self._unfinished)} jobs have not ended; wait for them, give this "
                        "one to `submit` as well, or make another Engine"
                    )
                if self._at_work.acquire(blocking=False):
                    self._borrower = threading.get_ident()
                    return
                self._check_not_borrower()
                self._changed.wait(_POLL_S)

    def _check_not_borrower(self) -> None:
        if self._borrower == threading.get_ident():
            raise ImpastoError("the engine is in use by this very thread: wait for the method to return")

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
        """Wait until the given jobs have ended. If no other jobs are left, also wait for the thread to end.

        A thread that the scheduler waits for does not wait: it may be collecting garbage.
        """
        if self.guard.is_waited_for():
            return
        with self._changed:
            self._changed.wait_for(lambda: self._unfinished.isdisjoint(handles))
        while (thread := self._thread) is not None and not self._unfinished:
            thread.join(_POLL_S)

    def stop(self) -> None:
        """Take no more jobs, cancel all jobs, and wait until they have ended.

        Raises:
            ImpastoError: the scheduler waits for this thread, or lends it the workshop.
        """
        self.guard.check_no_callback()
        self._check_not_borrower()
        with self._changed:
            self.guard.closed = True
            for handle in self._unfinished:
                handle.leave_listener()
        while (thread := self._thread) is not None:
            thread.join()

    def close(self) -> None:
        """Stop, and free the memory of the sessions.

        Raises:
            ImpastoError: as for `stop`.
        """
        self.stop()
        with self._at_work:
            self._workshop.compiler.close()

    def _work(self) -> None:
        with self._at_work, self.guard.waiting_for(CANCEL):  # the only function of users that this thread calls
            try:
                while self._has_work():
                    self._end_cancelled_or_late()
                    self._begin_next_scales()
                    self._admit()
                    self._groups.close_empty()
                    if self._end_stopped():
                        continue  # others may begin
                    if ready := self._ready():
                        self._take_turn(ready)
                    elif self._parked and not self._active:
                        self._continue_safer(self._parked.pop(0))
                    else:  # until a listener has handled an event, or the owner of a stream has taken a result
                        with self._changed:
                            self._changed.wait_for(self._can_continue, _POLL_S)
            except BaseException as error:
                self._end_all(error)
                raise

    def _has_work(self) -> bool:
        """Return whether any jobs are left. If none are, give up the thread, which then ends."""
        with self._changed:
            if self._active or self._parked or self._scales.leaving or len(self._queue):
                return True
            self._groups.close_empty()
            self._scales.close()
            self._thread = None
            return False

    def _end_cancelled_or_late(self) -> None:
        """End the queued jobs that were cancelled or whose deadline has passed."""
        for item in self._queue.in_order():
            handle = item.handle
            try:
                if self.guard.closed or handle.is_cancelled():
                    self._queue.end(item, None)
                elif handle.is_late and handle.job.state is None:  # a resumed run has a result as soon as it begins
                    limit_s = handle.job.settings.timeout_s
                    raise ImpastoError(f"the run could not start: {limit_s:g} s passed while it waited")
            except Exception as error:  # this one, or of the caller's own function
                self._queue.end(item, error)

    def _end_stopped(self) -> bool:
        """End the running jobs that were cancelled or have reached a limit. Return whether any ended."""
        running = [active for active in (*self._active, *self._parked) if not active.handle.is_held_back]
        ended = [active for active in running if active.run.ask() is None]
        self._parked = [active for active in self._parked if active not in ended]
        for active in ended:
            self._settle(active)
        return bool(ended)

    def _admit(self) -> None:
        """Start queued jobs while there is room for them."""
        while not (self._parked or self._scales.leaving) and (item := self._queue.take()) is not None:
            try:
                self._begin(item)
            except Exception as error:
                self._finish(item.handle, error)

    def _begin(self, item: Queued) -> None:
        """Load a job into a group, which may be a new one, and start its run."""
        handle, key = item.handle, item.key
        assert key is not None  # noqa: S101 - the job's images were measured before it was taken from the queue
        group = self._groups.place_for(item, key)
        together = [] if group is not None else self._queue.together(item, key)
        prepared = self._queue.prepared(item)
        if handle.stream is not None:
            handle.start_clock()
        compiler = self._workshop.compiler
        if key != compiler.batch_key(prepared.settings, prepared.scene, from_noise=prepared.from_noise):
            raise ImpastoError(f"{prepared.scene.name} changed its size while the job waited; submit the job again")
        targets = None
        if group is None:
            group, targets = self._groups.open(together, key, prepared)
        run, conversion = self._load(group, handle, prepared, handle.job.state, targets)
        active = Active(handle, prepared, run, self._workshop.provider, item.needs(), self._turns)
        if handle.stream is not None:
            handle.stream.running.append(key)
        self._join(active, group)
        handle.begin(run)
        final = prepared.whole.scene
        started = Started(
            height=final.height,
            width=final.width,
            model=self._workshop.network.name,
            provider=active.provider.name,
            precision=active.provider.precision,
            conversion=conversion,
            loop=HOST if run.surroundings.places is None else DEVICE,
            setup_s=time.perf_counter() - prepared.called_s,
        )
        handle.tell(started)
        self._start(active, conversion)

    def _begin_next_scales(self) -> None:
        """Let the jobs between two scales go on, or end those that were cancelled or whose time is over.

        Where other jobs run, a job waits while its session is still being opened, and while there is no room for it.
        """
        if self._scales.leaving:
            self._groups.close_empty()
        for leaving in list(self._scales.leaving):
            active, run = leaving.active, leaving.active.run
            run.stop_if_over()
            if run.goes_on and self._active and self._scales.must_wait(leaving):
                continue
            try:
                entry = self._scales.enter(leaving) if run.goes_on else None
                if run.goes_on and entry is None:
                    continue
                self._scales.leaving.remove(leaving)
                if entry is not None:
                    self._enter(active, entry)
            except Exception as error:
                self._scales.drop(leaving)
                active.run.goes_on, active.run.error = False, error
            if active.run.ended and active not in self._active:
                self._settle(active)

    def _enter(self, active: Active, entry: Entry) -> None:
        """Continue a job at its next scale."""
        before = active.run
        run, conversion = self._load(entry.group, active.handle, entry.prepared, entry.state, entry.targets, before)
        active.run, active.prepared, active.provider = run, entry.prepared, self._workshop.provider
        active.handle.go_on(run)
        before.release()
        self._join(active, entry.group)
        self._start(active, conversion)

    def _start(self, active: Active, conversion: str) -> None:
        """Start a run. A job with several scales reports each of them."""
        if len(active.prepared.whole.scales) > 1:
            active.handle.tell(active.run.scale_started(conversion))
        active.run.start()
        self._settle(active)

    def _load(
        self,
        group: Group,
        handle: Handle,
        prepared: Prepared,
        state: RunState | None,
        targets: Targets | None,
        before: Run | None = None,
    ) -> tuple[Run, str]:
        """Load a job into a free sample of a group.

        Args:
            group: the group.
            handle: of the job.
            prepared: its images.
            state: the state that it continues from; None is its beginning.
            targets: its targets; None computes them.
            before: its run at the scale before.

        Returns:
            The job's run, and a sentence that gives its weights in the paper's terms.
        """
        limit, arrays = prepared.settings.iterations, None
        if state is not None:
            arrays = state.optimiser_for(DEVICE, self._workshop.provider.precision)
            limit -= state.iteration if arrays is None else state.optimiser_from[0]
        around, conversion = self._place(group, prepared, targets, prepared.x, limit, arrays)
        run = Run(
            prepared,
            around,
            state=state,
            before=before,
            keep_state=handle.job.keep_state,
            deadline=handle.deadline,
            cancelled=lambda: self.guard.closed or handle.is_cancelled(),
        )
        return run, conversion

    def _place(
        self,
        group: Group,
        prepared: Prepared,
        targets: Targets | None,
        x: Vector,
        limit: int,
        arrays: State | None,
    ) -> tuple[Surroundings, str]:
        """Put targets and an image into a free sample of a group.

        Returns:
            The surroundings of the run, and a sentence that gives its weights in the paper's terms.
        """
        workshop = self._workshop
        if targets is None:
            targets = workshop.compiler.targets(prepared.settings, prepared.scene, prepared.painting)
        sample = group.free_sample()
        conversion = workshop.compiler.load(group.evaluator, sample, prepared.settings, targets)
        origin = workshop.provenance(prepared.scene, prepared.painting)
        around = Surroundings(workshop.provider.numbers.loss_noise, origin, sample)
        return group.enter(sample, x, limit, around, arrays), conversion

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
        self._scales.make_ready(members, group)

    def _settle(self, active: Active) -> None:
        """Report the events of a job's run. End the job if the run has ended; park it if it needs a safer precision."""
        run = active.run
        while run.events:
            active.handle.tell(run.events.popleft())
        if run.ended and active.handle.is_held_back:
            return  # it ends once the listener, who may ask for its state, has handled the last event
        if run.ended:
            self._keep_time(active)
        if run.goes_on:
            self._scales.add(active, self._active[active])
            self._leave(active)
        elif run.ended:
            run.release()
            self._leave(active)
            if active.handle.stream is not None:
                active.handle.stream.running.pop()
            self._finish(active.handle, run.error, run)
        elif isinstance(run.request, SaferPrecision):
            self._leave(active)
            if self._workshop.has_safer(active.provider):
                self._parked.append(active)
            else:
                run.advance(None)
                self._settle(active)

    def _keep_time(self, active: Active) -> None:
        """Keep the time of a run's iterations, from which later plans predict theirs."""
        group, compiler = self._active.get(active), self._workshop.compiler
        if group is not None and active.run.error is None and active.provider == compiler.provider:
            compiler.times.remember(group.spec, active.prepared.settings.optimizer, *active.run.timed)

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
                self._scales.close()  # it may have sessions in the precision before
                before, after = active.provider.precision, workshop.provider.precision
                active.handle.tell(PrecisionChanged(before, after, run.iterations_done))
                active.provider = workshop.provider
                key = workshop.compiler.batch_key(prepared.settings, prepared.scene, from_noise=run.is_at_noise)
                painting = outline_of(prepared.whole.painting)
                item = Queued(active.handle, ALONE, 0, key, active.largest, painting, prepared)
                group, targets = self._groups.place_for(item, key), None
                if group is None:
                    group, targets = self._groups.open(self._queue.together(item, key), key, prepared)
                around, _ = self._place(group, prepared, targets, run.x, run.iterations_left, None)
                run.advance(around)
                if not run.ended:
                    self._join(active, group)
        except Exception as error:
            run.fail(error)
        self._settle(active)

    def _finish(self, handle: Handle, error: Exception | None, run: Run | None = None) -> None:
        """End a job with the result of its run, or with an error; without both, the job was cancelled in the queue."""
        cancelled = error is None if run is None else run.outcome is Outcome.CANCELLED
        with self._changed:
            self._unfinished.discard(handle)
            self._scales.forget(handle)
            if handle.stream is not None:
                handle.stream.unclaimed += 1
            handle.end(None if run is None else run.result, error, cancelled=cancelled)
            self._changed.notify_all()

    def _end_all(self, error: BaseException) -> None:
        """End all jobs with an error after a bug in this program, so that no caller waits for ever."""
        reason = error if isinstance(error, Exception) else ImpastoError("the engine's thread was ended")
        with self._changed:
            handles = list(self._unfinished)
            self._thread = None
            self._clear()
        for handle in handles:
            self._finish(handle, reason)


_working: weakref.WeakSet[Scheduler] = weakref.WeakSet()


@atexit.register
def _stop_all() -> None:
    """Stop all schedulers before the interpreter exits; a thread must not use the runtime while it is torn down."""
    for scheduler in list(_working):
        scheduler.stop()
