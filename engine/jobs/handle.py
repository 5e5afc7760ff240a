"""Handles of submitted jobs. Their owners may use them from any thread."""

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from queue import SimpleQueue

from impasto.engine import setting_checks as checks
from impasto.engine.compile.graph_spec import BatchKey
from impasto.engine.events import Event
from impasto.engine.inputs.run_state import RunState
from impasto.engine.jobs.guard import Guard
from impasto.engine.jobs.job import ALONE, BatchLimit, Job, JobState, check_priority
from impasto.engine.jobs.run import Run
from impasto.engine.optimisers.solution import Outcome
from impasto.engine.result import Result
from impasto.models.errors import ImpastoError

REMEMBERED_EVENTS = 10_000
_LATER = "do it after that"


@dataclass(eq=False)
class Stream:
    """Jobs from one call of `Engine.transfer_many`.

    They begin in order. At most as many as share one evaluation run at the same time, all with the same batch key.

    Attributes:
        running: the batch key of each running job.
        unclaimed: number of ended jobs whose results the owner has not taken yet.
    """

    running: list[BatchKey] = field(default_factory=list)
    unclaimed: int = 0


class Handle:
    """A submitted job. All methods may be called from any thread.

    The methods that wait raise ImpastoError if the job cannot end while they wait: in a callback of the engine, and
    where runs of `Engine.steps` that wait for the calling thread leave no room for the job.

    Args:
        job: the submitted job.
        limit: how many jobs may share its evaluations.
        cancelled: called before each evaluation; True cancels the job.
        listener: receives every event and the end of the job.
        stream: the stream that the job belongs to; None for a job outside any stream.
        guard: refuses to wait for the job where that would be for ever.

    Attributes:
        job: as it was submitted.
        priority: the job's priority. It may be set at any time, and counts from the next evaluation.
        state: the job's current state.
        submitted_s: time of the submission, by `time.perf_counter`.
        deadline: by `time.monotonic`; None is no deadline. A stream submits its jobs early, so their deadlines are set
            when they leave the queue.
        begun: whether the job has left the queue for its first evaluation.
    """

    def __init__(
        self,
        job: Job,
        limit: BatchLimit = ALONE,
        *,
        cancelled: Callable[[], bool] | None = None,
        listener: "Following | None" = None,
        stream: Stream | None = None,
        guard: Guard | None = None,
    ) -> None:
        self.job, self.limit, self.stream = job, limit, stream
        self._guard = guard or Guard()
        self._priority = job.priority
        self.state, self.begun = JobState.QUEUED, False
        self.submitted_s = time.perf_counter()
        self.deadline: float | None = None
        if stream is None:
            self.start_clock()
        self._cancelled, self._listener = cancelled, listener
        self._cancel = threading.Event()
        self._changed = threading.Condition()
        self._run: Run | None = None
        self._result: Result | None = None
        self._error: Exception | None = None
        self._events: deque[Event] = deque(maxlen=REMEMBERED_EVENTS)
        self._told = 0

    def result(self, timeout_s: float | None = None) -> Result:
        """Wait for the result. The result of a cancelled job has the latest picture.

        Args:
            timeout_s: how long to wait; None is no limit.

        Raises:
            TimeoutError: the job has not ended within that time.
            ImpastoError: the job failed, or was cancelled before its first evaluation; or the time is no finite number
                of 0 or more.
        """
        if timeout_s is None:
            self.wait()
        else:
            timeout_s = min(checks.not_negative("timeout_s", timeout_s), threading.TIMEOUT_MAX)
        with self._changed:
            if not self._changed.wait_for(lambda: self.state.ended, timeout_s):
                raise TimeoutError(f"the job is {self.state.value} after {timeout_s:g} s; wait longer, or cancel it")
        if self._error is not None:
            raise self._error
        assert self._result is not None  # noqa: S101 - an ended job has a result or an error
        return self._result

    def wait(self) -> None:
        """Wait until the job has ended."""
        with self._changed:
            if not self.state.ended:
                self._guard.check_may_wait(_LATER)
            self._changed.wait_for(lambda: self.state.ended)

    def cancel(self) -> None:
        """End the job before its next evaluation and keep its latest picture. An ended job does not change."""
        self._cancel.set()

    def events(self) -> Iterator[Event]:
        """Yield the job's events until the job has ended. The latest `REMEMBERED_EVENTS` past events come first.

        The engine does not wait for the caller, so a snapshot is the image at the time when the caller takes it.
        """
        seen = 0
        while True:
            with self._changed:
                if self._told == seen and not self.state.ended:
                    self._guard.check_may_wait(_LATER)
                self._changed.wait_for(lambda seen=seen: self._told > seen or self.state.ended)  # type: ignore[misc]
                new = list(self._events)[max(len(self._events) - (self._told - seen), 0) :]
                seen, ended = self._told, self.state.ended
            yield from new
            if ended and seen == self._told:
                return

    @property
    def priority(self) -> int:
        """The job's priority; see `Job`. It may be changed at any time, and counts from the next evaluation.

        Raises:
            ImpastoError: the new value is out of range.
        """
        return self._priority

    @priority.setter
    def priority(self, priority: int) -> None:
        self._priority = check_priority(priority)

    @property
    def evaluations(self) -> int:
        """Runs of loss and gradient so far, counted from the start of the run; 0 while the job waits or has failed."""
        run = self._run  # the engine's thread sets this to None at the end
        if run is not None:
            return run.evaluations
        return 0 if self._result is None else self._result.evaluations

    def run_state(self) -> RunState:
        """Return the state that continues the job elsewhere from its latest step.

        Raises:
            ImpastoError: the job has not made its first evaluation, or has ended.
        """
        run = self._run  # the engine's thread sets this to None at the end
        if run is None:
            raise ImpastoError(f"no state to continue from: the job is {self.state.value}")
        return run.state()

    @property
    def is_late(self) -> bool:
        """Whether the deadline has passed."""
        return self.deadline is not None and time.monotonic() >= self.deadline

    def is_cancelled(self) -> bool:
        """Return whether the job's owner has asked it to end."""
        return self._cancel.is_set() or (self._cancelled is not None and self._cancelled())

    def start_clock(self) -> None:
        """Start the job's time limit now."""
        timeout_s = self.job.settings.timeout_s
        used_s = 0.0 if self.job.state is None else self.job.state.seconds
        self.deadline = None if timeout_s is None else time.monotonic() + timeout_s - used_s

    def begin(self, run: Run) -> None:
        """Change to state running; the engine's thread calls this."""
        with self._changed:
            self._run, self.state, self.begun = run, JobState.RUNNING, True

    def go_on(self, run: Run) -> None:
        """Take over the job's run at its next scale; the engine's thread calls this."""
        self._run = run

    def tell(self, event: Event) -> None:
        """Store an event, and pass it to the listener; the engine's thread calls this."""
        with self._changed:
            self._events.append(event)
            self._told += 1
            self._changed.notify_all()
        if self._listener is not None:
            self._listener.tell(self, event)

    @property
    def is_held_back(self) -> bool:
        """Whether the job has to wait for its listener."""
        return self._listener is not None and self._listener.is_behind(self)

    def leave_listener(self) -> None:
        """Make the listener stop, so that the engine's thread does not wait for a caller who may never return."""
        if self._listener is not None:
            self._listener.leave()

    def end(self, result: Result | None, error: Exception | None, *, cancelled: bool = False) -> None:
        """Change to the final state; the engine's thread calls this."""
        if result is None and error is None:
            error = ImpastoError(f"the run could not start: {Outcome.CANCELLED.message}")
        ended = JobState.FAILED if result is None else JobState.DONE
        with self._changed:
            self._result, self._error, self._run = result, error, None
            self.state = JobState.CANCELLED if cancelled else ended
            self._changed.notify_all()
        if self._listener is not None:
            self._listener.end(self)


class Following:
    """Jobs followed from one thread. Each job waits until the follower has handled the job's latest event.

    So a snapshot taken there is that of the event. Other jobs do not wait, and no job waits while the follower is
    `elsewhere`, where it may itself wait for the engine.

    Args:
        events: whether events are wanted; without, no job waits.
        changed: tells the engine's thread that jobs may continue.

    Attributes:
        left: whether the follower has left, or the engine was closed.
    """

    def __init__(self, *, events: bool, changed: Callable[[], None]) -> None:
        self._messages: SimpleQueue[tuple[Handle | None, Event | None]] = SimpleQueue()
        self._lock = threading.Lock()  # the engine's thread counts up while the follower counts down
        self._behind: Counter[Handle] = Counter()
        self._latest: Handle | None = None
        self._changed = changed
        self._wants_events, self.left, self._elsewhere = events, False, False

    def tell(self, handle: Handle, event: Event) -> None:
        """Pass an event to the follower."""
        if self._wants_events and not self.left:
            with self._lock:
                self._behind[handle] += 1
            self._messages.put((handle, event))

    def end(self, handle: Handle) -> None:
        """Tell the follower of an end."""
        self._messages.put((handle, None))

    def is_behind(self, handle: Handle) -> bool:
        """Return whether a job has events that the follower has not handled, and has to wait for that."""
        with self._lock:
            return self._behind[handle] > 0 and not (self._elsewhere or self.left)

    def wake(self) -> None:
        """Let `next` return (None, None)."""
        self._messages.put((None, None))

    def next(self) -> tuple[Handle | None, Event | None]:
        """Wait for an event, or for the end of a job, which has None for the event. Call `handled` after an event."""
        handle, event = self._messages.get()
        self._latest = None if event is None else handle
        return handle, event

    def handled(self) -> None:
        """Let the job of the latest event continue."""
        handle, self._latest = self._latest, None
        if handle is not None:
            with self._lock:
                self._behind[handle] -= 1
                if not self._behind[handle]:
                    del self._behind[handle]  # no handle is kept for its own sake: it holds the picture
        self._changed()

    @contextmanager
    def elsewhere(self) -> Iterator[None]:
        """Let the jobs continue without waiting; the events of that time are there afterwards."""
        self._elsewhere = True
        self._changed()
        try:
            yield
        finally:
            self._elsewhere = False

    def leave(self) -> None:
        """Stop following; no job waits any longer."""
        self.left = True
        self._changed()
