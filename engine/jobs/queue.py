"""A job in the queue."""

from dataclasses import dataclass, field, replace

from impasto.engine.compile.graph_spec import BatchKey, GraphSpec
from impasto.engine.inputs.prepared import Prepared
from impasto.engine.inputs.sizes import Weighed
from impasto.engine.jobs.handle import Handle
from impasto.engine.jobs.job import BatchLimit
from impasto.engine.settings import Settings

LOOK_AHEAD = 64
"""Maximum number of queued jobs whose images are measured to find one that can begin."""

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
        limit: how many jobs may share its evaluations.
        number: counts the submissions.
        key: the job's batch key at its first scale; None until its images have been measured.
        largest: specification of the job's graph at its last scale, which decides the memory; None as for the key.
        painting: the style image without its pixels, or the saved style, for estimates of memory.
        prepared: the images, once the job is certain to begin soon.
        overtaken: number of later jobs that began before this one.
    """

    handle: Handle
    limit: BatchLimit
    number: int
    key: BatchKey | None = None
    largest: GraphSpec | None = None
    painting: Weighed | None = field(default=None, repr=False)
    prepared: Prepared | None = field(default=None, repr=False)
    overtaken: int = 0

    @property
    def must_wait(self) -> bool:
        """Whether the job has to wait because its stream already has enough running jobs or unclaimed results."""
        stream = self.handle.stream
        if stream is None:
            return False
        running, most = len(stream.running), self.limit.most
        return running >= most or running + stream.unclaimed >= max(MOST_UNCLAIMED, 2 * most)

    @property
    def has_scales(self) -> bool:
        """Whether the job goes on at other sizes than its first one."""
        return self.key is not None and self.largest != self.key.spec

    def needs(self, places: int = 1) -> GraphSpec:
        """Return the specification of the job's largest graph, with so many samples. It must have been measured."""
        assert self.largest is not None  # noqa: S101
        return replace(self.largest, batch=places)

    @property
    def settings(self) -> Settings:
        """The job's settings."""
        return self.handle.job.settings

    @property
    def weighed(self) -> Weighed:
        """The style image without its pixels, or the saved style. The job's images must have been measured."""
        assert self.painting is not None  # noqa: S101
        return self.painting

    @property
    def rank(self) -> tuple[int, int]:
        """The sort key; the job with the lowest rank begins first."""
        return -(self.handle.priority + self.overtaken // AGEING), self.number
