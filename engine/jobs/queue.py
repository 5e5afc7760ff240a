"""Jobs that have not begun, in the order in which they are to begin."""

import itertools
from dataclasses import dataclass, field

from impasto.engine.compile.graph_spec import BatchKey
from impasto.engine.inputs.pictures import Painting
from impasto.engine.inputs.prepared import Prepared
from impasto.engine.jobs.handle import Handle
from impasto.engine.settings import Settings

LOOK_AHEAD = 64
"""Jobs that are read ahead at most, to find out which can begin. Only their keys are kept, and no pixels."""

AGEING = 8
"""A job that this many later ones overtook counts as one priority higher, so that none waits for ever."""


MOST_OVERTAKEN = 64
"""Where a job that does not fit next to others was overtaken this often, no other begins before it."""

MOST_UNCLAIMED = 8
"""Results of a stream that may wait for their owner: they hold memory. Twice as many as its batch has are allowed."""


@dataclass(eq=False)
class Queued:
    """A job that has not begun.

    Attributes:
        handle: whom to tell.
        most: jobs in one evaluation at most.
        batch_is_given: whether the caller named that number, so that a batch that does not fit is an error.
        number: of the submission.
        key: of the job, once its images have been read.
        painting: the style image without its pixels, or the saved style, to weigh the job with.
        prepared: the images, while the job is about to begin.
        overtaken: later jobs that began before it.
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
        """Whether the job's stream has no room for it now."""
        stream = self.handle.stream
        if stream is None:
            return False
        running = len(stream.running)
        return running >= self.most or running + stream.unclaimed >= max(MOST_UNCLAIMED, 2 * self.most)

    @property
    def settings(self) -> Settings:
        """Of the job."""
        return self.handle.job.settings

    @property
    def weighed(self) -> Painting:
        """The style image without its pixels, or the saved style; the job has been read."""
        assert self.painting is not None  # noqa: S101
        return self.painting

    @property
    def rank(self) -> tuple[int, int]:
        """The least begins first."""
        return -(self.handle.job.priority + self.overtaken // AGEING), self.number


class JobQueue:
    """The jobs that wait, by priority and then by age."""

    def __init__(self) -> None:
        self._waiting: list[Queued] = []
        self._numbers = itertools.count()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, handle: Handle, most: int, *, batch_is_given: bool) -> None:
        """Take a job in."""
        self._waiting.append(Queued(handle, most, batch_is_given, next(self._numbers)))

    def in_order(self) -> list[Queued]:
        """Return the jobs, the next one first."""
        return sorted(self._waiting, key=lambda item: item.rank)

    def remove(self, item: Queued) -> None:
        """Take a job out that ends without having begun."""
        self._waiting.remove(item)

    def begin(self, item: Queued) -> None:
        """Take a job out that begins; those that came before it were overtaken."""
        self._waiting.remove(item)
        for other in self._waiting:
            other.overtaken += other.number < item.number
