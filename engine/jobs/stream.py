"""Many transfers from an iterable, without waiting for it: what `Engine.transfer_many` stands on."""

import threading
from collections.abc import Callable, Iterable, Iterator

from impasto.engine.events import Event
from impasto.engine.jobs.handle import Following, Handle, Stream
from impasto.engine.jobs.job import Finished, Job
from impasto.engine.jobs.queue import LOOK_AHEAD
from impasto.engine.jobs.scheduler import Scheduler
from impasto.models.errors import ImpastoError

OnJobEvent = Callable[[int, Job, Event], None]

_FIRST_JOBS_S = 0.1
"""The jobs that an iterable gives within this time begin together."""


def stream(
    scheduler: Scheduler,
    jobs: Iterable[Job],
    *,
    most: int,
    batch_is_given: bool,
    on_event: OnJobEvent | None,
    cancel: Callable[[], bool],
) -> Iterator[Finished]:
    """Run jobs, and yield each as soon as it has ended; those that were cancelled in the queue are left out.

    Args:
        scheduler: runs them.
        jobs: taken one by one, `LOOK_AHEAD` ahead at most; each may take its time, and those under way continue.
        most: jobs in one evaluation at most.
        batch_is_given: whether the caller named that number.
        on_event: called with a job's number from 0, the job, and its event; in the thread that iterates.
        cancel: called before every evaluation; True ends those that run with the image so far, and begins no other.
    """
    following = Following(events=on_event is not None)
    feeder = _Feeder(jobs, scheduler, following, most=most, batch_is_given=batch_is_given, cancel=cancel)
    ended = 0
    try:
        while not feeder.exhausted or ended < len(feeder.numbers):
            handle, event = following.next()
            if handle is None:
                feeder.check()
            elif event is not None:
                if on_event is not None:
                    on_event(feeder.numbers[handle], handle.job, event)
                following.handled()
            else:
                ended += 1
                feeder.claim()
                if handle.begun or not handle.was_cancelled:
                    yield _finished(feeder.numbers[handle], handle)
    finally:
        following.leave()
        feeder.leave()


def _finished(number: int, handle: Handle) -> Finished:
    try:
        return Finished(number, handle.job, handle.result())
    except ImpastoError as error:
        return Finished(number, handle.job, None, error)


class _Feeder:
    """Takes jobs from an iterable in a thread of its own, and submits them.

    Attributes:
        numbers: of the jobs submitted, from 0 in the order of the iterable, by handle.
        exhausted: whether the iterable has ended, or no more jobs are wanted.
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
        """Begin; see `stream`."""
        self.numbers: dict[Handle, int] = {}
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
        """Note that the iterable has ended.

        Raises:
            BaseException: that of the iterable.
        """
        self.exhausted = True
        if self._error is not None:
            raise self._error

    def claim(self) -> None:
        """Note that the caller has taken a result: another job may be taken, and begin."""
        self._room.release()
        self._scheduler.claim(self._stream)

    def leave(self) -> None:
        """Take no more jobs, cancel those that were taken, and wait for their end."""
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
            while self._has_room() and (job := next(self._jobs, None)) is not None:
                self._take(job)
        except BaseException as error:
            self._error = error
        self._ready.set()
        self._following.wake()

    def _has_room(self) -> bool:
        """Wait for room for another job; return False where no more are wanted."""
        if not self._room.acquire(blocking=False):
            self._ready.set()
            self._room.acquire()
        return not (self._left or self._following.left or self._cancel())

    def _take(self, job: Job) -> None:
        handle = Handle(job, cancelled=self._cancel, listener=self._following, stream=self._stream)
        with self._lock:
            self.numbers[handle] = len(self.numbers)
            if self._left:
                handle.cancel()
            if self._first is not None:
                self._first.append(handle)
            else:
                self._submit([handle])

    def _submit(self, handles: list[Handle]) -> None:
        self._scheduler.submit(handles, self._most, batch_is_given=self._batch_is_given)
