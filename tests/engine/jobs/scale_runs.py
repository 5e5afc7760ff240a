"""Runs with several scales that are small: the coarsest scale may be far below 128 px."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from impasto.engine import Engine, Event, Iteration, Job, Result, ScaleStarted, Settings
from impasto.engine.inputs import scales
from impasto.engine.inputs.run_state import RunState
from tests.engine.conftest import Files

SCALED = Settings(
    size=96,
    scales=0,
    iterations=14,
    content_taps=("relu2_1",),
    style_taps=("relu1_1", "relu3_1=0.5"),
    content_weight=1e-5,
)
SIZES = [(36, 48), (51, 68), (72, 96)]
ENDS = [5, 10, 14]


@pytest.fixture
def three(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Let a result of 96 px have three scales, and keep their graphs, of which there are many, for the next test."""
    monkeypatch.setattr(scales, "COARSEST_PX", 34)
    monkeypatch.setenv("IMPASTO_CACHE", str(tmp_path_factory.getbasetemp() / "graphs"))
    monkeypatch.setenv("IMPASTO_NO_CACHE", "")


def changed(**values: Any) -> Settings:
    return dataclasses.replace(SCALED, **values)


def opened(files: Files, loop: str = "host", **more: Any) -> Engine:
    return Engine(files.model, provider="cpu", threads=1, loop=loop, **more)


@pytest.fixture
def engine(files: Files) -> Iterator[Engine]:
    with opened(files) as engine:
        yield engine


def job(files: Files, **values: Any) -> Job:
    return Job(files.content, files.style, changed(**values))


class Followed:
    """The events of a run.

    Attributes:
        events: in order.
        states: of every iteration, by its number.
        seen: evaluations and loss of every iteration.
    """

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.states: dict[int, RunState] = {}
        self.seen: dict[int, tuple[int, float]] = {}

    def __call__(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, Iteration):
            assert event.snapshot().shape == (event.height, event.width, 3)
            self.states[event.iteration] = event.state()
            self.seen[event.iteration] = (event.evaluations, event.loss)

    @property
    def scales(self) -> list[ScaleStarted]:
        """The beginnings of scales."""
        return [event for event in self.events if isinstance(event, ScaleStarted)]


def assert_same(one: Result, other: Result) -> None:
    """Check that two results have the same bits, apart from times."""
    np.testing.assert_array_equal(one.picture.pixels, other.picture.pixels, strict=True)
    assert (one.loss, one.terms, one.initial_terms) == (other.loss, other.terms, other.initial_terms)
    assert (one.iterations, one.evaluations, one.outcome) == (other.iterations, other.evaluations, other.outcome)
    assert (one.loop, one.message, one.settings) == (other.loop, other.message, other.settings)
    assert {**one.provenance} == {**other.provenance}
    assert [counts(scale) for scale in one.scales] == [counts(scale) for scale in other.scales]


def counts(scale: scales.ScaleDone) -> tuple[int, ...]:
    return scale.height, scale.width, scale.iterations, scale.evaluations
