"""Who reaches a loss first: optimisers in turn, step by step, each with a clock of its own.

What counts is the loss in float32 by the baseline's own formula, whatever a contender's precision says of itself. A
contender's images are kept at intervals, and the first one that is good enough is found by bisection afterwards, off
the clock.
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from impasto.bench.contenders.contender import Contender
from impasto.bench.sampling import WALL_CLOCK, Clock, Watch, timed
from impasto.bench.series import Point
from impasto.engine.optimisers.solution import Vector

SNAPSHOTS = 40  # in a run as long as the baseline's, which sets the resolution of the time to a loss
LONGEST = 1.5  # times the baseline's evaluations, for a contender that is not there yet
EQUAL = 1.001  # rounding alone leads equal optimisers this far apart
_NEAR = 1.05  # a loss in low precision may be off by this much, so only those above are not worth judging


@dataclass
class Course:
    """How one contender fares.

    Attributes:
        contender: whose it is.
        seconds: in its steps, without its set-up.
        curve: a point per step, the loss in its own precision.
        snapshots: an image every so many steps.
        samples_s: seconds of each step.
    """

    contender: Contender
    seconds: float = 0.0
    curve: list[Point] = field(default_factory=list)
    snapshots: list[tuple[Point, Vector]] = field(default_factory=list)
    samples_s: list[float] = field(default_factory=list)

    def step(self, clock: Clock, every: int) -> None:
        """Take one step, and keep the image where it is time to."""
        taken_s = timed(self.contender.step, clock)
        if self.contender.finished:
            return
        self.seconds += taken_s
        self.samples_s.append(taken_s)
        self.curve.append(Point(self.contender.evaluations, self.seconds, self.contender.loss))
        if len(self.curve) % every == 0:
            self.snapshots.append((self.curve[-1], self.contender.image()))


@dataclass(frozen=True)
class Finish:
    """What came of a course.

    Attributes:
        reached: where the loss was first seen to be low enough; None if it was not.
        loss: of the last image, in float32.
    """

    reached: Point | None
    loss: float


def race(
    contenders: Sequence[Contender],
    judge: Callable[[Vector], float],
    evaluations: int,
    *,
    rest_s: float,
    watch: Watch,
    clock: Clock = WALL_CLOCK,
) -> tuple[list[Course], list[Finish], float]:
    """Run all of them, and say when each reached the lowest loss of the first, which is the baseline.

    The judge returns the loss of an image in float32. An optimiser that has not reached the baseline's loss after so
    many evaluations continues, up to `LONGEST` times as many. ``rest_s`` is slept before each step.

    Returns:
        Courses, finishes, and the loss that was to be reached.
    """
    every = max(1, evaluations // SNAPSHOTS)
    courses = [Course(contender) for contender in contenders]

    def take_turns(limit: int, racing: Sequence[Course]) -> None:
        """Let each take a step in turn until all have made so many evaluations or have ended."""
        while not watch.stopped():
            left = (course for course in racing if not course.contender.finished)
            behind = [course for course in left if course.contender.evaluations < limit]
            if not behind:
                return
            for course in behind:
                clock.sleep_until(clock.now() + rest_s)
                course.step(clock, every)
            watch.done(min(course.contender.evaluations for course in behind))

    take_turns(evaluations, courses)
    if not all(course.curve for course in courses) or watch.stopped():
        return courses, [], 0.0
    best = min(courses[0].curve, key=lambda point: point.loss)
    bar = best.loss * EQUAL
    waiting = courses[1:]
    for limit in range(evaluations + every, int(LONGEST * evaluations) + 1, every):
        waiting = [course for course in waiting if not _there(course, bar, judge)]
        if not waiting or watch.stopped():
            break
        take_turns(limit, waiting)
    finishes = [Finish(best, judge(courses[0].contender.image()))]
    finishes += [Finish(first_below(course, bar, judge), judge(course.contender.image())) for course in courses[1:]]
    return courses, finishes, best.loss


def first_below(course: Course, loss: float, judge: Callable[[Vector], float]) -> Point | None:
    """Return the first snapshot whose image has at most that loss, taking losses to fall; None without one."""
    points = [*course.snapshots, (course.curve[-1], course.contender.image())]
    if not judge(points[-1][1]) <= loss:
        return None
    return points[bisect_left(points, True, key=lambda point: judge(point[1]) <= loss)][0]


def _there(course: Course, bar: float, judge: Callable[[Vector], float]) -> bool:
    """Return whether a contender needs no more steps: it ended, or its image is good enough."""
    if course.contender.finished:
        return True
    return course.contender.loss <= bar * _NEAR and judge(course.contender.image()) <= bar
