"""Two revisions take turns, and what is kept of their samples."""

from collections.abc import Callable

import pytest

from impasto.bench.studies.same_speed import Samples, in_turn, summary


def test_the_sides_take_turns_and_the_first_round_does_not_count() -> None:
    calls: list[str] = []

    def processes(side: str) -> list[Callable[[], Samples]]:
        def process(kind: str) -> Samples:
            calls.append(f"{side} {kind}")
            return {kind: float(len(calls))}

        return [lambda: process("x"), lambda: process("y")]

    found = in_turn({"a": processes("a"), "b": processes("b")}, rounds=2)
    warm_up, counted = calls[:4], calls[4:]
    assert warm_up == ["b x", "a x", "b y", "a y"]
    assert counted == ["a x", "b x", "a y", "b y", "b x", "a x", "b y", "a y"]
    assert found == {"a": [{"x": 5, "y": 7}, {"x": 10, "y": 12}], "b": [{"x": 6, "y": 8}, {"x": 9, "y": 11}]}


def test_a_ratio_is_new_by_base_round_by_round() -> None:
    found = summary([{"x": 1.0}, {"x": 2.0}, {"x": 4.0}], [{"x": 2.0}, {"x": 2.0}, {"x": 2.0}])["x"]
    assert found["samples_s"] == {"base": [1.0, 2.0, 4.0], "new": [2.0, 2.0, 2.0]}
    assert found["median_s"] == {"base": 2.0, "new": 2.0}
    assert found["least_s"] == {"base": 1.0, "new": 2.0}
    assert found["ratio"] == {"median": pytest.approx(1), "min": pytest.approx(0.5), "max": pytest.approx(2)}
