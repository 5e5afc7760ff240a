"""What becomes of jobs: the rules of the queue and of the turns, one evaluation after another, without threads.

The rules, in words:

- Between two evaluations, jobs in the queue that were cancelled or whose time is over end; then others begin; then jobs
  under way that were cancelled or whose limits are reached end. Where one of those ended, all of this is done again.
- Jobs begin by priority, and then by age. Each job counts one priority more for every 8 younger jobs that began first.
- A job joins a batch of its key if there is a place, or if the batch may double: it has not reached its largest size,
  and a member has more than 20 iterations left. Else it begins on its own, where fewer than ``concurrency`` single jobs
  or batches are under way; a batch then has a place for each job in the queue that can share it.
- Jobs of batch 1 on the host take turns, evaluation by evaluation; members of a batch are evaluated together.
- The job whose next evaluation is due first has the turn: that is due 2**-priority after its latest one.
- An evaluation that fails ends all jobs in it, and a loop on the device that failed is not used again.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal

AGEING, LONG_ENOUGH, MOST_OVERTAKEN = 8, 20, 64


@dataclass(frozen=True)
class Work:
    """A job as the queue sees it.

    Attributes:
        key: jobs of the same key can share evaluations.
        batch: jobs in one evaluation at most.
        iterations: at most.
        progress: iterations that its single run has made after each of its evaluations.
        outcome: of the single run; None where it fails with its last evaluation.
        priority: of the job.
        evaluations: at most; None is no limit.
        timeout_s: from the submission on; None is none. An evaluation takes a second.
        fails_at: the evaluation of its own that fails; None is none.
        on_device: whether the optimiser's loop is there.
        missing: whether its image cannot be read.
    """

    key: Hashable
    batch: int
    iterations: int
    progress: Sequence[int]
    outcome: str | None
    priority: int = 0
    evaluations: int | None = None
    timeout_s: float | None = None
    fails_at: int | None = None
    on_device: bool = False
    missing: bool = False


@dataclass(frozen=True)
class Step:
    """What happens to a job, or to the clock, during an evaluation.

    Attributes:
        at: the number of the evaluation, counted over all jobs; 0 is before the first one. Where all jobs end earlier,
            the numbers up to this one are left out.
        action: what happens.
        job: its number.
        seconds: that pass.
    """

    at: int
    action: Literal["submit", "cancel", "wait"]
    job: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Ending:
    """How a job ends.

    Attributes:
        state: done, cancelled or failed.
        evaluations: of its own; with a picture, those that count.
        outcome: why it ended; None where there is no picture.
        iterations: of the picture; None where there is none.
    """

    state: str
    evaluations: int
    outcome: str | None = None
    iterations: int | None = None


@dataclass(eq=False)
class _Job:
    work: Work
    number: int
    submission: int
    deadline: float | None
    overtaken: int = 0
    evaluations: int = 0
    due: Fraction = Fraction(0)
    cancelled: bool = False
    group: "_Group | None" = None

    @property
    def rank(self) -> tuple[int, int]:
        return -(self.work.priority + self.overtaken // AGEING), self.submission

    @property
    def iterations(self) -> int:
        return self.work.progress[self.evaluations - 1] if self.evaluations else 0


@dataclass(eq=False)
class _Group:
    key: Hashable
    batch: int
    on_device: bool
    places: int
    members: list[_Job] = field(default_factory=list)

    @property
    def takes_turns(self) -> bool:
        return self.batch == 1 and not self.on_device

    @property
    def has_place(self) -> bool:
        return self.takes_turns or len(self.members) < self.places

    @property
    def may_grow(self) -> bool:
        left = [job.work.iterations - job.iterations for job in self.members]
        return self.places < self.batch and any(count > LONG_ENOUGH for count in left)

    @property
    def units(self) -> int:
        return len(self.members) if self.takes_turns else min(len(self.members), 1)


@dataclass(frozen=True)
class Prediction:
    """What happens.

    Attributes:
        endings: of the jobs, by number.
        turns: the jobs in each evaluation, or look at a loop on the device, in ascending order.
    """

    endings: Mapping[int, Ending]
    turns: Sequence[tuple[int, ...]]


def predict(works: Sequence[Work], steps: Sequence[Step], *, concurrency: int, every: int = 1) -> Prediction:
    """Return what happens.

    Args:
        works: the jobs, by number.
        steps: in order.
        concurrency: single jobs or batches under way at the same time at most.
        every: evaluations between two looks at a loop on the device.
    """
    queue = _Queue(works, steps, concurrency, every)
    while queue.steps:
        queue.evaluations = max(queue.evaluations, queue.steps[0].at)
        queue.groups = []  # nothing is kept where all have ended
        queue.take_steps()
        while queue.waiting or queue.running:
            queue.end_waiting()
            queue.begin_jobs()
            if not queue.end_running() and queue.running:
                queue.take_turn()
    return Prediction(queue.endings, queue.turns)


class _Queue:
    def __init__(self, works: Sequence[Work], steps: Sequence[Step], concurrency: int, every: int) -> None:
        self.works, self.steps, self.concurrency, self.every = works, list(steps), concurrency, every
        self.evaluations, self.waited_s, self.submissions, self.due = 0, 0.0, 0, Fraction(0)
        self.waiting: list[_Job] = []
        self.running: list[_Job] = []
        self.groups: list[_Group] = []
        self.endings: dict[int, Ending] = {}
        self.turns: list[tuple[int, ...]] = []

    @property
    def now_s(self) -> float:
        return self.evaluations + self.waited_s

    def take_steps(self) -> None:
        while self.steps and self.steps[0].at <= self.evaluations:
            step = self.steps.pop(0)
            if step.action == "wait":
                self.waited_s += step.seconds
            elif step.action == "submit":
                self.submit(step.job)
            for job in [*self.waiting, *self.running] if step.action == "cancel" else ():
                job.cancelled |= job.number == step.job

    def submit(self, number: int) -> None:
        work = self.works[number]
        deadline = None if work.timeout_s is None else self.now_s + work.timeout_s
        self.waiting.append(_Job(work, number, self.submissions, deadline))
        self.submissions += 1

    def is_late(self, job: _Job) -> bool:
        return job.deadline is not None and self.now_s >= job.deadline

    def end_waiting(self) -> None:
        for job in list(self.waiting):
            if job.cancelled or self.is_late(job):
                self.end(job, "cancelled" if job.cancelled else "failed")

    def begin_jobs(self) -> None:
        while (job := self.next_to_begin()) is not None:
            self.waiting.remove(job)
            for other in self.waiting:
                other.overtaken += other.submission < job.submission
            job.group, job.due = self.place_for(job) or self.new_group(job), self.due
            if not job.group.has_place:
                job.group.places = min(2 * job.group.places, job.group.batch)
            job.group.members.append(job)
            self.running.append(job)
        self.groups = [group for group in self.groups if group.members]

    @property
    def is_full(self) -> bool:
        return sum(group.units for group in self.groups) >= self.concurrency

    def next_to_begin(self) -> _Job | None:
        for job in sorted(self.waiting, key=lambda job: job.rank):
            if job.work.missing:
                self.end(job, "failed")
            elif not self.is_full or self.place_for(job) is not None:
                return job
            elif job.overtaken >= MOST_OVERTAKEN:
                return None
        return None

    def place_for(self, job: _Job) -> _Group | None:
        for group in self.groups:
            alike = (group.key, group.batch) == (job.work.key, job.work.batch)
            adds_to_units = group.takes_turns or not group.members
            if alike and (group.has_place or group.may_grow) and not (self.is_full and adds_to_units):
                return group
        return None

    def new_group(self, job: _Job) -> _Group:
        work = job.work
        others = [other.work for other in self.waiting if not other.work.missing]
        alike = sum((other.key, other.batch) == (work.key, work.batch) for other in others)
        group = _Group(work.key, work.batch, work.on_device, min(1 + alike, work.batch))
        self.groups = [*(group for group in self.groups if group.members), group]
        return group

    def end_running(self) -> bool:
        ended = False
        for job in list(self.running):
            outcome = self.limit_reached(job)
            if outcome is not None:
                self.stop(job, outcome)
                ended = True
        return ended

    def limit_reached(self, job: _Job) -> str | None:
        if job.evaluations == job.work.evaluations:
            return "evaluations_done"
        if job.cancelled:
            return "cancelled"
        return "deadline" if self.is_late(job) else None

    def stop(self, job: _Job, outcome: str) -> None:
        without = "cancelled" if outcome == "cancelled" else "failed"
        with_picture = "cancelled" if outcome == "cancelled" else "done"
        self.end(job, with_picture if job.evaluations else without, outcome if job.evaluations else None)

    def take_turn(self) -> None:
        chosen = min(self.running, key=lambda job: (job.due, job.evaluations))
        group, self.due = chosen.group, chosen.due
        assert group is not None
        together = [chosen] if group.takes_turns else list(group.members)
        left = [job.work.evaluations - job.evaluations for job in together if job.work.evaluations is not None]
        count = min([self.every, *left]) if group.on_device else 1
        failed = any(job.evaluations < (job.work.fails_at or 0) <= job.evaluations + count for job in together)
        self.turns.append(tuple(sorted(job.number for job in together)))
        self.evaluations += count
        self.take_steps()
        for job in together:
            job.due = self.due + Fraction(2) ** -job.work.priority
            self.advance(job, count, failed=failed)
        if failed and group.on_device:
            self.groups.remove(group)

    def advance(self, job: _Job, count: int, *, failed: bool) -> None:
        last = len(job.work.progress)
        job.evaluations += count
        if failed or (job.evaluations >= last and job.work.outcome is None):
            self.end(job, "failed")
            return
        job.evaluations = min(job.evaluations, last)  # a loop on the device stays where it has ended
        if job.evaluations == last and job.work.outcome != "evaluations_done":
            self.end(job, "done", job.work.outcome)

    def end(self, job: _Job, state: str, outcome: str | None = None) -> None:
        iterations = None if outcome is None else job.iterations
        self.endings[job.number] = Ending(state, job.evaluations, outcome, iterations)
        if job in self.waiting:
            self.waiting.remove(job)
        else:
            self.running.remove(job)
            assert job.group is not None
            job.group.members.remove(job)
