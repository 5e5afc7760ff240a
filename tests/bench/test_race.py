"""Who reaches a loss first: contenders whose curves are known, on a clock that is told to pass."""

import pytest

from impasto.bench.race import EQUAL, LONGEST, SNAPSHOTS, Course, first_below, race
from impasto.bench.series import Point
from tests.bench.doubles import CountingWatch, KnownContender, ToldClock, judge

FALLING = [100.0 / (step + 1) for step in range(120)]


def test_equal_curves_meet_at_the_same_evaluation_and_the_faster_one_sooner() -> None:
    clock = ToldClock()
    slow, fast = KnownContender("slow", FALLING, clock, step_s=3.0), KnownContender("fast", FALLING, clock, step_s=1.0)
    courses, finishes, target = race([slow, fast], judge, 20, rest_s=0.0, clock=clock, watch=CountingWatch())
    assert target == FALLING[19]
    assert [course.samples_s for course in courses] == [[3.0] * 20, [1.0] * 20]
    assert [finish.reached for finish in finishes] == [Point(20, 60.0, FALLING[19]), Point(20, 20.0, FALLING[19])]
    assert [finish.loss for finish in finishes] == pytest.approx([FALLING[19]] * 2)


def test_one_that_is_there_after_half_the_steps() -> None:
    clock = ToldClock()
    baseline, better = (
        KnownContender("baseline", FALLING, clock),
        KnownContender("better", [loss / 2 for loss in FALLING], clock, step_s=2.0),
    )
    _, finishes, target = race([baseline, better], judge, 20, rest_s=0.0, clock=clock, watch=CountingWatch())
    # 100 / (2 n) <= 5 from n = 10 on: ten steps of 2 s.
    assert target == 5.0
    assert finishes[1].reached == Point(10, 20.0, 5.0)


def test_the_best_of_the_baseline_is_the_bar_even_where_it_rises_afterwards() -> None:
    clock = ToldClock()
    baseline = KnownContender("baseline", [9.0, 4.0, 6.0, 7.0], clock)
    other = KnownContender("other", [8.0, 5.0, 4.0, 3.0], clock)
    _, finishes, target = race([baseline, other], judge, 4, rest_s=0.0, clock=clock, watch=CountingWatch())
    assert target == 4.0
    assert finishes[0].reached == Point(2, 2.0, 4.0)
    assert finishes[1].reached == Point(3, 3.0, 4.0)


def test_a_slower_optimiser_goes_on_for_half_as_long_again_and_no_longer() -> None:
    clock = ToldClock()
    late = [100.0 / max(1, step - 3) for step in range(120)]
    baseline, other = KnownContender("baseline", FALLING, clock), KnownContender("late", late, clock)
    courses, finishes, _ = race([baseline, other], judge, 20, rest_s=0.0, clock=clock, watch=CountingWatch())
    assert finishes[1].reached is not None
    assert finishes[1].reached.evaluations == 24  # 100 / (23 - 3) = 5 at step 23, which is evaluation 24
    assert len(courses[0].curve) == 20
    never = KnownContender("never", [1000.0] * 120, clock)
    courses, finishes, _ = race(
        [KnownContender("baseline", FALLING, clock), never], judge, 20, rest_s=0.0, clock=clock, watch=CountingWatch()
    )
    assert finishes[1].reached is None
    assert len(courses[1].curve) == LONGEST * 20


def test_what_it_says_of_itself_does_not_count() -> None:
    clock = ToldClock()
    boastful = KnownContender("boastful", FALLING, clock)
    baseline = KnownContender("baseline", FALLING, clock)
    _, finishes, _ = race(
        [baseline, boastful],
        lambda image: judge(image) * 1.01,
        20,
        rest_s=0.0,
        clock=clock,
        watch=CountingWatch(),
    )
    # Judged 1 % above what it says it needs 21 evaluations: 101 / 21 = 4.81 <= 5.
    assert finishes[1].reached is not None
    assert finishes[1].reached.evaluations == 21


def test_one_that_ends_early_is_judged_where_it_ended() -> None:
    clock = ToldClock()
    short = KnownContender("short", [10.0, 4.0], clock)
    courses, finishes, _ = race(
        [KnownContender("baseline", FALLING, clock), short], judge, 20, rest_s=0.0, clock=clock, watch=CountingWatch()
    )
    assert len(courses[1].curve) == 2
    assert finishes[1].reached == Point(2, 2.0, 4.0)


def test_resolution_is_that_of_the_snapshots_and_the_last_image_counts_as_one() -> None:
    clock = ToldClock()
    course = Course(KnownContender("a", FALLING, clock))
    for _ in range(10):
        course.step(clock, every=3)
    assert [point.evaluations for point, _ in course.snapshots] == [3, 6, 9]
    for loss, expected in ((100.0, 3), (25.0, 6), (12.0, 9), (10.01, 10), (9.0, None)):
        found = first_below(course, loss, judge)
        assert (found.evaluations if found else None) == expected


@pytest.mark.parametrize("bar", [3.0, 5.5, 17.0, 60.0, 100.0])
def test_bisection_finds_what_a_search_one_by_one_finds(bar: float) -> None:
    clock, asked = ToldClock(), list[float]()
    course = Course(KnownContender("a", FALLING, clock))
    for _ in range(64):
        course.step(clock, every=1)

    def counting(image: object) -> float:
        asked.append(judge(image))  # type: ignore[arg-type]
        return asked[-1]

    expected = next(point for point, image in course.snapshots if judge(image) <= bar)
    assert first_below(course, bar, counting) == expected
    assert len(asked) <= 8  # log2 of 65, and the last one first


def test_rests_are_before_each_step_and_off_the_clock() -> None:
    clock = ToldClock()
    contenders = [KnownContender(name, FALLING, clock) for name in "ab"]
    courses, _, _ = race(contenders, judge, 4, rest_s=10.0, clock=clock, watch=CountingWatch())
    assert clock.slept_s == 8 * 10.0
    assert [course.seconds for course in courses] == [4.0, 4.0]


def test_a_stop_leaves_the_steps_so_far_without_finishes() -> None:
    clock = ToldClock()
    contenders = [KnownContender(name, FALLING, clock) for name in "ab"]
    courses, finishes, _ = race(contenders, judge, 20, rest_s=0.0, clock=clock, watch=CountingWatch(stop_after=3))
    assert [len(course.curve) for course in courses] == [3, 3]
    assert finishes == []


def test_long_runs_keep_few_images() -> None:
    clock = ToldClock()
    contenders = [KnownContender(name, FALLING, clock) for name in "ab"]
    courses, _, _ = race(contenders, judge, 80, rest_s=0.0, clock=clock, watch=CountingWatch())
    assert [len(course.snapshots) for course in courses] == [SNAPSHOTS, SNAPSHOTS]


def test_equal_is_nearly_one() -> None:
    assert 1.0 < EQUAL < 1.01
