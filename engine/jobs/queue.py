"""The queue of jobs that have not begun, in the order in which they will begin."""

import itertools
from dataclasses import dataclass, field

from impasto.engine.compile.graph_spec import BatchKey
from impasto.engine.inputs.pictures import Painting
from impasto.engine.inputs.prepared import Prepared
from impasto.engine.jobs.handle import Handle
from impasto.engine.settings import Settings

LOOK_AHEAD = 64
"""Maximum number of queued jobs whose images are read to find one that can begin. No pixels are kept."""

AGEING = 8
"""A job gains one priority each time this many later jobs have overtaken it, so that no job waits for ever."""

MOST_OVERTAKEN = 64
"""After a job was overtaken this often because it does not fit next to others, no other job begins before it."""

MOST_UNCLAIMED = 8
"""Maximum number of results of a stream that wait for their owner, because they hold memory.

If twice the batch is more, that number is the maximum.
"""


@dataclass(eq=False)
class Queued:
    """A job that has not begun.

    Attributes:
        handle: receives the job's end.
        most: maximum number of jobs in one evaluation.
        batch_is_given: whether the caller chose that number. If so, a batch that does not fit is an error.
        number: counts the submissions.
        key: the job's batch key; None until its images have been read.
        painting: the style image without its pixels, or the saved style, for estimates of memory.
        prepared: the images, while the job is about to begin.
        overtaken: number of later jobs that began before this one.
    """

    handle: Handle
    most: int
    batch_is_given: bool
    number: int
    key: BatchKey | None = None
    painting: Painting | None = field(default=None, repr=False)
    prepared: Prepared | None = field(default=None, repr=False)
    overtaken: int = 0

    @property
    def must_wait(self) -> bool:
        """Whether the job has to wait because its stream already has enough running jobs or unclaimed results."""
        stream = self.handle.stream
        if stream is None:
            return False
        running = len(stream.running)
        return running >= self.most or running + stream.unclaimed >= max(MOST_UNCLAIMED, 2 * self.most)

    @property
    def settings(self) -> Settings:
        """The job's settings."""
        return self.handle.job.settings

    @property
    def weighed(self) -> Painting:
        """The style image without its pixels, or the saved style. The job's images must have been read."""
        assert self.painting is not None  # noqa: S101
        return self.painting

    @property
    def rank(self) -> tuple[int, int]:
        """The sort key; the job with the lowest rank begins first."""
        return -(self.handle.job.priority + self.overtaken // AGEING), self.number


class JobQueue:
    """The waiting jobs, ordered by priority and then by age."""

    def __init__(self) -> None:
        self._waiting: list[Queued] = []
        self._numbers = itertools.count()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, handle: Handle, most: int, *, batch_is_given: bool) -> None:
        """Add a job."""
        self._waiting.append(Queued(handle, most, batch_is_given, next(self._numbers)))

    def in_order(self) -> list[Queued]:
        """Return the jobs in the order in which they will begin."""
        return sorted(self._waiting, key=lambda item: item.rank)

    def remove(self, item: Queued) -> None:
        """Remove a job that ends before it begins."""
        self._waiting.remove(item)

    def begin(self, item: Queued) -> None:
        """Remove a job that begins, and count it as overtaking the earlier jobs that still wait."""
        self._waiting.remove(item)
        for other in self._waiting:
            other.overtaken += other.number < item.number
