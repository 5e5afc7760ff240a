"""Jobs that have not begun, handed out by what they need to run beside each other."""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from impasto.engine.images import Picture, Source
from impasto.engine.inputs.pictures import Style
from impasto.engine.jobs.batch_key import Kind
from impasto.engine.jobs.one_run import Prepared
from impasto.engine.settings import Settings
from impasto.models.errors import ImpastoError

LOOK_AHEAD = 64
"""Jobs put aside at most; of these, only what the caller gave is held, and no pixels that were read."""


@dataclass(frozen=True, eq=False)
class Job:
    """One of many transfers.

    Attributes:
        content: as for `Engine.transfer`, as are the others.
        style: the style image.
        settings: what to do.
        start: what to start from in place of ``settings.init``.
    """

    content: Source | None
    style: Style | None
    settings: Settings = field(default_factory=Settings)
    start: Picture | None = None


@dataclass(frozen=True)
class Ready:
    """A job whose images have been read.

    Attributes:
        index: the job's place in the order of all, from 0.
        job: as it was given.
        kind: what it needs.
        prepared: its images.
    """

    index: int
    job: Job
    kind: Kind
    prepared: Prepared


@dataclass(frozen=True)
class Unusable:
    """A job whose images cannot be read, or for which there is no graph.

    Attributes:
        index: the job's place in the order of all, from 0.
        job: as it was given.
        error: why.
    """

    index: int
    job: Job
    error: ImpastoError


class Waiting:
    """Takes jobs as they are asked for, and puts those aside whose turn has not come."""

    def __init__(self, jobs: Iterable[Job], prepare: Callable[[Job], tuple[Kind, Prepared]]) -> None:
        """Take over the jobs; none is looked at yet.

        Args:
            jobs: in order.
            prepare: reads a job's images; an ImpastoError makes the job unusable.
        """
        self._jobs = enumerate(jobs)
        self._prepare = prepare
        self._aside: deque[tuple[Kind, int, Job]] = deque()

    def take(self, kind: Kind | None = None) -> Ready | Unusable | None:
        """Return the next job of a kind, or one that is unusable; None where there is none as far as can be seen.

        Args:
            kind: None is any.
        """
        for item in self._aside:
            if kind is None or item[0] == kind:
                self._aside.remove(item)
                return self._read(item[1], item[2])
        while len(self._aside) < LOOK_AHEAD:
            index, job = next(self._jobs, (-1, None))
            if job is None:
                return None
            found = self._read(index, job)
            if isinstance(found, Unusable) or kind is None or found.kind == kind:
                return found
            self._aside.append((found.kind, index, job))
        return None

    def _read(self, index: int, job: Job) -> Ready | Unusable:
        try:
            kind, prepared = self._prepare(job)
        except ImpastoError as error:
            return Unusable(index, job, error)
        return Ready(index, job, kind, prepared)
