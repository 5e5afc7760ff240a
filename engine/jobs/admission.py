"""Admission: the queued jobs, and which of them begins next, together with which others."""

import itertools
import threading
import time
from collections.abc import Callable
from typing import ParamSpec

from impasto.engine.compile.graph_spec import BatchKey
from impasto.engine.inputs.prepared import Prepared, prepare, prepare_again
from impasto.engine.jobs.groups import Groups
from impasto.engine.jobs.handle import Handle, Stream
from impasto.engine.jobs.job import measure_job
from impasto.engine.jobs.queue import LOOK_AHEAD, MOST_OVERTAKEN, Queued
from impasto.engine.jobs.workshop import Workshop
from impasto.models.errors import ImpastoError

P = ParamSpec("P")


class Admission:
    """The jobs that wait, ordered by priority and then by age. All methods but `add` belong to the engine's thread.

    Args:
        workshop: reads the jobs' batch keys and checks their memory.
        groups: the groups that jobs can join.
        finish: ends a job that does not begin with its error; None is that the job was cancelled.
    """

    def __init__(self, workshop: Workshop, groups: Groups, finish: Callable[[Handle, Exception | None], None]) -> None:
        self._workshop, self._groups, self._finish = workshop, groups, finish
        self._lock = threading.Lock()
        self._waiting: list[Queued] = []
        self._numbers = itertools.count()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, handle: Handle) -> None:
        """Add a job; any thread may call this."""
        with self._lock:
            self._waiting.append(Queued(handle, handle.limit, next(self._numbers)))

    def in_order(self) -> list[Queued]:
        """Return the jobs in the order in which they will begin."""
        with self._lock:
            return sorted(self._waiting, key=lambda item: item.rank)

    def end(self, item: Queued, error: Exception | None) -> None:
        """End a job that has not begun with its error; None is that the job was cancelled."""
        with self._lock:
            self._waiting.remove(item)
        self._finish(item.handle, error)

    def take(self) -> Queued | None:
        """Remove and return the first job that can begin, which overtakes the earlier ones; None if no job can."""
        item = self._next()
        if item is not None:
            with self._lock:
                self._waiting.remove(item)
                for other in self._waiting:
                    other.overtaken += other.number < item.number
        return item

    def prepared(self, item: Queued) -> Prepared:
        """Return the images of a job, which are read unless the job has them.

        Raises:
            ImpastoError: an image cannot be read.
        """
        if item.prepared is not None:
            return item.prepared
        job, called_s = item.handle.job, item.handle.submitted_s
        if item.handle.stream is not None:  # the stream submitted it early, so its time counts from here
            called_s = time.perf_counter()
        if job.state is not None:
            return prepare_again(job.state, job.settings, self._workshop.provider.precision, called_s=called_s)
        return prepare(job.content, job.style, job.settings, job.start, called_s=called_s)

    def together(self, item: Queued, key: BatchKey) -> list[Queued]:
        """Return a job and the queued jobs that begin with it in a new group.

        Memory is checked before an image is decoded. Jobs that cannot fit into memory, or whose images do not decode,
        are ended.

        Raises:
            ImpastoError: the job itself is such a job. It has left the queue, so the caller has to end it.
        """
        self._groups.close_empty()
        others, compiler = self._companions(item, key), self._workshop.compiler
        if self._groups.are_empty:
            places = 1 + len(others) if item.limit.is_given else 1
            check = compiler.check_memory
            others = [
                other
                for other in others
                if self._passes(other, check, other.needs(places), other.settings, other.weighed)
            ]
            compiler.check_memory(item.needs(places), item.settings, item.weighed)
        item.prepared = self.prepared(item)
        return [item, *(other for other in others if self._passes(other, self._read, other))]

    def _next(self) -> Queued | None:
        if self._groups.admit_nobody:
            return None
        unread, held_back = LOOK_AHEAD, set[Stream | None]()
        for item in self.in_order():
            stream = item.handle.stream
            if item.must_wait or stream in held_back or (item.key is None and not unread):
                continue
            unread -= item.key is None
            key = self._key_of(item)
            if key is not None and self._can_begin(item, key):
                return item
            item.prepared = None
            if item.overtaken >= MOST_OVERTAKEN:
                if stream is None or not stream.running:
                    return None
                held_back.add(stream)
        return None

    def _key_of(self, item: Queued) -> BatchKey | None:
        """Return the batch key of a job, whose images are measured the first time. End the job if that fails."""
        if item.key is None:
            self._passes(item, self._measure, item)
        return item.key

    def _measure(self, item: Queued) -> None:
        measured, compiler = measure_job(item.handle.job), self._workshop.compiler
        item.painting = measured.painting
        item.largest = compiler.spec(item.settings, measured.scene)
        item.key = compiler.batch_key(item.settings, measured.first, from_noise=measured.from_noise)

    def _read(self, item: Queued) -> None:
        item.prepared = self.prepared(item)

    def _passes(self, item: Queued, check: Callable[P, None], *given: P.args, **named: P.kwargs) -> bool:
        """Return whether a check of a queued job raises no error. End the job if it does."""
        try:
            check(*given, **named)
        except Exception as error:
            self.end(item, error)
            return False
        return True

    def _can_begin(self, item: Queued, key: BatchKey) -> bool:
        """Return whether a job can begin now, in an existing group or in a new one. End it if it can never begin."""
        running = item.handle.stream.running if item.handle.stream is not None else []
        if running and (running[0] != key or (item.has_scales and not self._groups.expect(item.handle))):
            return False  # jobs with several scales begin together, so that they share the evaluations of each scale
        try:
            if self._groups.place_for(item, key) is not None:
                return True
            return not running and self._groups.have_room_for_another(item, key)
        except ImpastoError as error:  # the image is too small for the network
            self.end(item, error)
            return False

    def _companions(self, item: Queued, key: BatchKey) -> list[Queued]:
        """Return the queued jobs that can share a job's evaluations from the start."""
        found: list[Queued] = []
        for other in self.in_order()[:LOOK_AHEAD] if item.limit.most > 1 else ():
            alike = (other.limit.most, other.handle.stream) == (item.limit.most, item.handle.stream)
            if len(found) < item.limit.most - 1 and alike and self._key_of(other) == key:
                found.append(other)
        return found
