"""A transfer to be done, and what became of it."""

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from impasto.engine.images import Picture, Source
from impasto.engine.inputs.pictures import Style
from impasto.engine.result import Result
from impasto.engine.settings import Settings
from impasto.models.errors import ImpastoError

if TYPE_CHECKING:
    from impasto.engine.inputs.run_state import RunState

HIGHEST_PRIORITY = 8


class JobState(Enum):
    """Where a job is: from queued to running, and from there to one of the other three."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    CANCELLED = "cancelled"
    FAILED = "failed"

    @property
    def ended(self) -> bool:
        """Whether the job has its result or its error."""
        return self not in (JobState.QUEUED, JobState.RUNNING)


@dataclass(frozen=True, eq=False)
class Job:
    """One transfer.

    Attributes:
        content: as for `Engine.transfer`.
        style: as for `Engine.transfer`.
        settings: what to do. ``timeout_s`` counts from when the job is submitted; for one of `Engine.transfer_many`,
            which submits ahead, from when it begins.
        start: the image to start from in place of ``settings.init``.
        priority: -8 to 8. Each step up doubles the job's share of the evaluations, and jobs of a higher priority begin
            first.
        state: of an earlier run, to continue it; content, style and start do not count then.
        keep_state: whether the result holds the state of the run at its end.

    Raises:
        ImpastoError: the priority is out of range.
    """

    content: Source | None
    style: Style | None
    settings: Settings = field(default_factory=Settings)
    start: Picture | None = None
    priority: int = 0
    state: "RunState | None" = None
    keep_state: bool = False

    def __post_init__(self) -> None:
        if not -HIGHEST_PRIORITY <= self.priority <= HIGHEST_PRIORITY:
            raise ImpastoError(
                f"bad priority {self.priority}: allowed are whole numbers from {-HIGHEST_PRIORITY} "
                f"to {HIGHEST_PRIORITY}"
            )


@dataclass(frozen=True)
class Finished:
    """A job that has ended.

    Attributes:
        index: the job's place in the order of all, from 0.
        job: as it was given.
        result: what came out; None where it failed.
        error: why it failed; None where it did not.
    """

    index: int
    job: Job
    result: Result | None
    error: ImpastoError | None = None
