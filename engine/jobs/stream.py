"""Transfers from an iterable, which a thread of its own reads. `Engine.transfer_many` uses this module."""

import itertools
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from impasto.engine.events import Event
from impasto.engine.jobs.handle import Following, Handle, Stream
from impasto.engine.jobs.job import Finished, Job, check_job
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
    *,
    most: int,
    batch_is_given: bool,
    on_event: OnJobEvent | None,
    cancel: Callable[[], bool],
) -> Iterator[Finished]:
    """Run jobs, and yield each as soon as it has ended. Jobs that were cancelled in the queue are left out.

    Args:
        scheduler: runs the jobs.
        jobs: read one by one, at most `LOOK_AHEAD` ahead. Running jobs continue while the iterable waits.
        most: maximum number of jobs in one evaluation.
        batch_is_given: whether the caller chose that number.
        on_event: called in the iterating thread, with the job's number from 0, the job, and the event.
        cancel: called before every evaluation. True ends the running jobs with their latest images, and no other job
            begins.
    """
    following = Following(events=on_event is not None, changed=scheduler.wake)
    feeder = _Feeder(jobs, scheduler, following, most=most, batch_is_given=batch_is_given, cancel=cancel)
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
                if handle.begun or not handle.was_cancelled:
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
    """Reads jobs from an iterable in a thread of its own, and submits them.

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
        *,
        most: int,
        batch_is_given: bool,
        cancel: Callable[[], bool],
    ) -> None:
        """Start the thread, and submit the first jobs together; see `stream` for the arguments."""
        self.numbers: dict[Handle, int] = {}
        self._count = itertools.count()
        self.exhausted = False
        self._jobs, self._scheduler, self._following, self._cancel = iter(jobs), scheduler, following, cancel
        self._most, self._batch_is_given = most, batch_is_given
        self._stream = Stream()
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
            self._submit(first)

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
        return not (self._left or self._following.left or self._cancel())

    def _take(self, job: Job) -> None:
        check_job(job)
        handle = Handle(job, cancelled=self._cancel, listener=self._following, stream=self._stream)
        with self._lock:
            self.numbers[handle] = next(self._count)
            if self._left:
                handle.cancel()
            if self._first is not None:
                self._first.append(handle)
            else:
                self._submit([handle])

    def _submit(self, handles: list[Handle]) -> None:
        self._scheduler.submit(handles, self._most, batch_is_given=self._batch_is_given)
