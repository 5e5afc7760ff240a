"""A submitted job as its owner sees it, from any thread."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Protocol

from impasto.engine.compile.graph_spec import BatchKey
from impasto.engine.events import Event
from impasto.engine.inputs.run_state import RunState
from impasto.engine.jobs.job import Job, JobState
from impasto.engine.jobs.run import Run
from impasto.engine.optimisers.solution import Outcome
from impasto.engine.result import Result
from impasto.models.errors import ImpastoError

REMEMBERED_EVENTS = 10_000


class Listener(Protocol):
    """Somebody who follows a job more closely than `Handle.events` allows; called by the engine's thread."""

    def tell(self, handle: "Handle", event: Event) -> None:
        """Take one event over."""

    def end(self, handle: "Handle") -> None:
        """Take note that the job has ended."""

    def leave(self) -> None:
        """Follow no more, so that the engine waits no more."""


@dataclass(eq=False)
class Stream:
    """Jobs that belong together: they begin in order, as many at a time as fit into one evaluation, one key at a time.

    Attributes:
        running: the keys of those under way.
        unclaimed: jobs that have ended, and whose results nobody has taken yet.
    """

    running: list[BatchKey] = field(default_factory=list)
    unclaimed: int = 0


class Handle:
    """A submitted job. All methods may be called from any thread.

    Attributes:
        job: as it was submitted.
        stream: that the job belongs to; None is none.
        submitted_s: when, by `time.perf_counter`.
        deadline: by `time.monotonic`; None is none. For a job of a stream, which is submitted ahead, it is set when the
            job leaves the queue.
        begun: whether the job has left the queue for its first evaluation.
    """

    def __init__(
        self,
        job: Job,
        *,
        cancelled: Callable[[], bool] | None = None,
        listener: Listener | None = None,
        stream: Stream | None = None,
    ) -> None:
        """Begin in state queued.

        Args:
            job: what was submitted.
            cancelled: called before each evaluation; True cancels.
            listener: told of everything.
            stream: that the job belongs to; None is none.
        """
        self.job, self.stream = job, stream
        self.submitted_s = time.perf_counter()
        self.deadline: float | None = None
        if stream is None:
            self.start_clock()
        self._cancelled, self._listener = cancelled, listener
        self.begun = False
        self._cancel = threading.Event()
        self._changed = threading.Condition()
        self._state = JobState.QUEUED
        self._run: Run | None = None
        self._result: Result | None = None
        self._error: Exception | None = None
        self._events: deque[Event] = deque(maxlen=REMEMBERED_EVENTS)
        self._told = 0

    @property
    def state(self) -> JobState:
        """Where the job is."""
        return self._state

    def result(self, timeout_s: float | None = None) -> Result:
        """Wait for the result. That of a cancelled job has the picture so far.

        Args:
            timeout_s: how long to wait; None is without end.

        Raises:
            TimeoutError: the job has not ended by then.
            ImpastoError: the job failed, or was cancelled before its first evaluation.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._state.ended, timeout_s):
                raise TimeoutError(f"the job is {self._state.value} after {timeout_s:g} s; wait longer, or cancel it")
        if self._error is not None:
            raise self._error
        assert self._result is not None  # noqa: S101 - one of both is there at the end
        return self._result

    def wait(self) -> None:
        """Wait until the job has ended."""
        with self._changed:
            self._changed.wait_for(lambda: self._state.ended)

    def cancel(self) -> None:
        """End the job before its next evaluation; it keeps the picture so far. An ended job stays as it is."""
        self._cancel.set()

    def events(self) -> Iterator[Event]:
        """Yield the job's events, from the first one that is remembered, until the job has ended.

        The engine does not wait for who iterates: a snapshot is the image at the time of the call.
        """
        seen = 0
        while True:
            with self._changed:
                self._changed.wait_for(lambda seen=seen: self._told > seen or self._state.ended)  # type: ignore[misc]
                new = list(self._events)[max(len(self._events) - (self._told - seen), 0) :]
                seen, ended = self._told, self._state.ended
            yield from new
            if ended and seen == self._told:
                return

    def run_state(self) -> RunState:
        """Return all that is needed to continue the job elsewhere from its latest step.

        Raises:
            ImpastoError: the job has not made its first evaluation, or has ended.
        """
        if self._run is None:
            raise ImpastoError(f"no state to continue from: the job is {self._state.value}")
        return self._run.state()

    @property
    def was_cancelled(self) -> bool:
        """Whether the job ended because it was cancelled."""
        return self._state is JobState.CANCELLED

    def is_cancelled(self) -> bool:
        """Return whether the job is to end."""
        return self._cancel.is_set() or (self._cancelled is not None and self._cancelled())

    def start_clock(self) -> None:
        """Let the job's time limit begin now."""
        timeout_s = self.job.settings.timeout_s
        used_s = 0.0 if self.job.state is None else self.job.state.seconds
        self.deadline = None if timeout_s is None else time.monotonic() + timeout_s - used_s

    def begin(self, run: Run) -> None:
        """Go to state running; the engine's thread calls this."""
        with self._changed:
            self._run, self._state, self.begun = run, JobState.RUNNING, True

    def tell(self, event: Event) -> None:
        """Take over an event; the engine's thread calls this."""
        with self._changed:
            self._events.append(event)
            self._told += 1
            self._changed.notify_all()
        if self._listener is not None:
            self._listener.tell(self, event)

    def leave_listener(self) -> None:
        """Wait no more for the listener, which may be where nobody calls it again."""
        if self._listener is not None:
            self._listener.leave()

    def end(self, result: Result | None, error: Exception | None, *, cancelled: bool = False) -> None:
        """Go to the last state; the engine's thread calls this."""
        if result is None and error is None:
            error = ImpastoError(f"the run could not start: {Outcome.CANCELLED.message}")
        ended = JobState.FAILED if result is None else JobState.DONE
        with self._changed:
            self._result, self._error, self._run = result, error, None
            self._state = JobState.CANCELLED if cancelled else ended
            self._changed.notify_all()
        if self._listener is not None:
            self._listener.end(self)


class Following:
    """Jobs followed from one thread, which is told of each event while the engine waits for it.

    So a snapshot taken there is that of the event.

    Attributes:
        left: whether the follower has left, or the engine was closed.
    """

    def __init__(self, *, events: bool) -> None:
        """Follow nobody yet.

        Args:
            events: whether events are wanted; without, the engine waits for nobody.
        """
        self._messages: SimpleQueue[tuple[Handle | None, Event | None]] = SimpleQueue()
        self._handled = threading.Semaphore(0)
        self._wants_events, self.left = events, False

    def tell(self, handle: Handle, event: Event) -> None:
        """Wait until the follower has handled an event."""
        if self._wants_events and not self.left:
            self._messages.put((handle, event))
            self._handled.acquire()

    def end(self, handle: Handle) -> None:
        """Tell the follower of an end."""
        self._messages.put((handle, None))

    def wake(self) -> None:
        """Let `next` return (None, None)."""
        self._messages.put((None, None))

    def next(self) -> tuple[Handle | None, Event | None]:
        """Wait for an event, or for the end of a job, which has None for the event. Call `handled` after an event."""
        return self._messages.get()

    def handled(self) -> None:
        """Let the engine continue."""
        self._handled.release()

    def leave(self) -> None:
        """Follow no more, so that the engine waits no more."""
        self.left = True
        self._handled.release()
