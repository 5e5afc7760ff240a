"""A transfer that an engine is to run, and its end."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum

from impasto.engine import setting_checks as checks
from impasto.engine.images import Picture, Source
from impasto.engine.inputs.pictures import Style
from impasto.engine.inputs.prepared import measure
from impasto.engine.inputs.run_state import RunState
from impasto.engine.inputs.saved_style import SavedStyle
from impasto.engine.inputs.scales import Scale, scales_of
from impasto.engine.inputs.sizes import Outline, outline_of
from impasto.engine.result import Result
from impasto.engine.settings import Settings
from impasto.models.errors import ImpastoError

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
        ImpastoError: a value has the wrong type, or the priority is out of range.
    """

    content: Source | None = None
    style: Style | None = None
    settings: Settings = field(default_factory=Settings)
    start: Picture | None = None
    priority: int = 0
    state: RunState | None = None
    keep_state: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.settings, Settings):
            raise ImpastoError(f"bad settings of a job: {type(self.settings).__name__}; give a Settings object")
        if self.start is not None and not isinstance(self.start, Picture):
            raise ImpastoError(f"bad start {checks.shown(self.start)}: give a Picture, as result.picture")
        if self.state is not None:
            check_state(self.state)
        object.__setattr__(self, "priority", check_priority(self.priority))
        object.__setattr__(self, "keep_state", checks.switch("keep_state", self.keep_state))


def check_priority(priority: object) -> int:
    """Return a priority.

    Raises:
        ImpastoError: it is no whole number from -8 to 8.
    """
    found = checks.whole("priority", priority)
    if abs(found) > HIGHEST_PRIORITY:
        allowed = f"whole numbers from {-HIGHEST_PRIORITY} to {HIGHEST_PRIORITY}"
        raise ImpastoError(f"bad priority {found}: allowed are {allowed}")
    return found


@dataclass(frozen=True)
class BatchLimit:
    """How many jobs may share an evaluation.

    Attributes:
        most: maximum number of jobs, 1 or more.
        is_given: whether the caller chose that number. If so, a batch that does not fit into memory is an error;
            otherwise it has fewer jobs.
    """

    most: int
    is_given: bool


ALONE = BatchLimit(1, is_given=False)


def check_job(job: object, where: str = "") -> None:
    """Refuse what is no job.

    Args:
        job: to be checked.
        where: its place in a series, for the message.

    Raises:
        ImpastoError: it is something else.
    """
    if not isinstance(job, Job):
        raise ImpastoError(f"not a job: {type(job).__name__}; give impasto.engine.Job(content, style, settings){where}")


def each_job(jobs: Iterable[Job]) -> Iterator[Job]:
    """Return an iterator over jobs, which raises ImpastoError where it meets something else.

    Raises:
        ImpastoError: the jobs are no iterable.
    """
    try:
        found = iter(jobs)
    except TypeError:
        raise ImpastoError(f"bad jobs {checks.shown(jobs)}: give an iterable of jobs, as [Job(...), ...]") from None
    return (_checked(job, number) for number, job in enumerate(found))


def _checked(job: Job, number: int) -> Job:
    check_job(job, f" at place {number} of the jobs")
    return job


@dataclass(frozen=True)
class Measured:
    """The sizes of a job.

    Attributes:
        scene: the content image, at the size of the result.
        painting: the style image at its final size, or a saved style.
        from_noise: whether the job starts from noise.
        scales: its scales, from coarse to fine.
        first: the content image, at the size of the scale that the job begins with.
    """

    scene: Outline
    painting: Outline | SavedStyle
    from_noise: bool
    scales: tuple[Scale, ...]
    first: Outline


def measure_job(job: Job) -> Measured:
    """Return the sizes of the images that a job begins with. No pixel is decoded.

    Raises:
        ImpastoError: as for `measure`.
    """
    state, settings = job.state, job.settings
    if state is None:
        scene, painting = measure(job.content, job.style, settings, job.start)
        from_noise, scales = (
            job.start is None and settings.init == "noise",
            scales_of(settings, scene.height, scene.width),
        )
        first = scales[0]
    else:
        scene, painting, from_noise = outline_of(state.scene), outline_of(state.painting), state.from_noise
        scales = scales_of(settings, scene.height, scene.width, resumed=state.scale)
        first = next(scale for scale in scales if scale.step == state.scale)
    return Measured(scene, painting, from_noise, scales, Outline(first.height, first.width, scene.name))


def check_state(state: object) -> None:
    """Refuse what is no state of a run.

    Raises:
        ImpastoError: it is something else.
    """
    if not isinstance(state, RunState):
        raise ImpastoError(f"bad state {checks.shown(state)}: give a RunState, as result.state")


def given_settings(settings: Settings | None) -> Settings:
    """Return the settings; None is the defaults.

    Raises:
        ImpastoError: they are something else.
    """
    if settings is not None and not isinstance(settings, Settings):
        raise ImpastoError(f"bad settings {checks.shown(settings)}: give a Settings object")
    return Settings() if settings is None else settings


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
