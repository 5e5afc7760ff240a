"""Transfers from an iterable, which a thread of its own reads. `Engine.transfer_many` uses this module."""

import itertools
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from impasto.engine.events import Event
from impasto.engine.jobs.handle import Following, Handle, Stream
from impasto.engine.jobs.job import BatchLimit, Finished, Job, JobState
from impasto.engine.jobs.queue import LOOK_AHEAD
from impasto.engine.jobs.scheduler import Scheduler
from impasto.models.errors import ImpastoError, one_line

_NO_MORE: Any = object()

OnJobEvent = Callable[[int, Job, Event], None]

_FIRST_JOBS_S = 0.1
"""The jobs that the iterable yields within this time begin together."""


def stream(
    scheduler: Scheduler,
    jobs: Iterable[Job],
    limit: BatchLimit,
    on_event: OnJobEvent | None,
    cancel: Callable[[], bool],
) -> Iterator[Finished]:
    """Run jobs as `Engine.transfer_many` describes. Jobs that were cancelled in the queue are left out."""
    scheduler.guard.check_may_wait()
    following = Following(events=on_event is not None, changed=scheduler.wake)
    feeder = _Feeder(jobs, scheduler, following, limit, cancel)
    try:
        while not feeder.exhausted or feeder.numbers:
            handle, event = following.next()
            if handle is None:
                feeder.check()
            elif event is not None:
                if on_event is not None:
                    on_event(feeder.numbers[handle], handle.job, event)
                following.handled()
            else:
                number = feeder.claim(handle)
                if handle.begun or handle.state is not JobState.CANCELLED:
                    with following.elsewhere():
                        yield _finished(number, handle)
                del handle  # frees the picture
    finally:
        following.leave()
        feeder.leave()


def _finished(number: int, handle: Handle) -> Finished:
    try:
        return Finished(number, handle.job, handle.result())
    except ImpastoError as error:
        return Finished(number, handle.job, None, error)
    except Exception as error:  # a bug, or a file that changed while it was read: the other jobs are not affected
        return Finished(number, handle.job, None, ImpastoError(f"{type(error).__name__}: {one_line(error)}"))


class _Feeder:
    """Reads jobs from an iterable in a thread of its own, and submits them, the first ones together.

    Attributes:
        numbers: by handle, the numbers of the submitted jobs whose results have not been taken. Jobs are numbered from
            0 in the order of the iterable.
        exhausted: whether the iterable has ended or no more jobs are wanted.
    """

    def __init__(
        self,
        jobs: Iterable[Job],
        scheduler: Scheduler,
        following: Following,
        limit: BatchLimit,
        cancel: Callable[[], bool],
    ) -> None:
        self.numbers: dict[Handle, int] = {}
        self._count = itertools.count()
        self.exhausted = False
        self._jobs, self._scheduler, self._following, self._cancel = iter(jobs), scheduler, following, cancel
        self._limit, self._stream = limit, Stream()
        self._room = threading.Semaphore(LOOK_AHEAD)
        self._lock = threading.Lock()
        self._first: list[Handle] | None = []
        self._ready = threading.Event()
        self._left = False
        self._error: BaseException | None = None
        threading.Thread(target=self._take_all, name="impasto jobs", daemon=True).start()
        self._ready.wait(_FIRST_JOBS_S)
        with self._lock:
            first, self._first = self._first or [], None
            try:
                scheduler.submit(first)
            except ImpastoError:  # the engine is closed
                self._left = True
                self._room.release()
                raise

    def check(self) -> None:
        """Record that the iterable has ended.

        Raises:
            BaseException: the iterable raised it.
        """
        self.exhausted = True
        if self._error is not None:
            raise self._error

    def claim(self, handle: Handle) -> int:
        """Record that the caller has taken a job's result, which makes room for another job. Return its number."""
        with self._lock:
            number = self.numbers.pop(handle)
        self._room.release()
        self._scheduler.claim(self._stream)
        return number

    def leave(self) -> None:
        """Read no more jobs, cancel the submitted jobs, and wait until they have ended."""
        self._left = True
        self._room.release()
        with self._lock:
            handles = list(self.numbers)
        for handle in handles:
            handle.cancel()
        self._scheduler.wake()
        self._scheduler.wait_for_end_of(handles)

    def _take_all(self) -> None:
        try:
            while self._has_room() and (job := next(self._jobs, _NO_MORE)) is not _NO_MORE:
                self._take(job)
        except BaseException as error:
            self._error = error
        self._ready.set()
        self._following.wake()

    def _has_room(self) -> bool:
        """Wait for room for another job; return False if no more jobs are wanted."""
        if not self._room.acquire(blocking=False):
            self._ready.set()
            self._room.acquire()
        return not (self._left or self._following.left or self._scheduler.guard.closed or self._cancel())

    def _take(self, job: Job) -> None:
        handle = Handle(
            job,
            self._limit,
            cancelled=self._cancel,
            listener=self._following,
            stream=self._stream,
            guard=self._scheduler.guard,
        )
        with self._lock:
            self.numbers[handle] = next(self._count)
            if self._left:
                handle.cancel()
            if self._first is not None:
                self._first.append(handle)
                return
            try:
                self._scheduler.submit([handle])
            except ImpastoError:  # the engine is closed
                del self.numbers[handle]
                raise
