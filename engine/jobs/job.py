"""A transfer that an engine is to run, and its end."""

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
    """The state of a job: queued, then running, then done, cancelled or failed."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    CANCELLED = "cancelled"
    FAILED = "failed"

    @property
    def ended(self) -> bool:
        """Whether the job has ended, with a result or an error."""
        return self not in (JobState.QUEUED, JobState.RUNNING)


@dataclass(frozen=True, eq=False)
class Job:
    """One transfer.

    Attributes:
        content: as for `Engine.transfer`.
        style: as for `Engine.transfer`.
        settings: the settings of the transfer. ``timeout_s`` counts from the submission of the job. For a job of
            `Engine.transfer_many`, which submits jobs early, it counts from the beginning of the job.
        start: the image to start from in place of ``settings.init``.
        priority: -8 to 8. Each step up doubles the job's share of the evaluations, and jobs of a higher priority begin
            first.
        state: the state of an earlier run to continue; content, style and start are then ignored.
        keep_state: whether the result holds the final state of the run.

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
        if not isinstance(self.settings, Settings):
            raise ImpastoError(f"bad settings of a job: {type(self.settings).__name__}; give a Settings object")
        if not isinstance(self.priority, int):
            raise ImpastoError(f"bad priority {self.priority!r}: allowed are whole numbers")
        if not -HIGHEST_PRIORITY <= self.priority <= HIGHEST_PRIORITY:
            raise ImpastoError(
                f"bad priority {self.priority}: allowed are whole numbers from {-HIGHEST_PRIORITY} "
                f"to {HIGHEST_PRIORITY}"
            )


def check_job(job: object) -> None:
    """Refuse what is no job.

    Raises:
        ImpastoError: it is something else.
    """
    if not isinstance(job, Job):
        raise ImpastoError(f"not a job: {type(job).__name__}; give impasto.engine.Job(content, style, settings)")


@dataclass(frozen=True)
class Finished:
    """A job that has ended.

    Attributes:
        index: number of the job in the order of the iterable, from 0.
        job: the job.
        result: its result; None if it failed.
        error: why it failed; None if it did not fail.
    """

    index: int
    job: Job
    result: Result | None
    error: ImpastoError | None = None
