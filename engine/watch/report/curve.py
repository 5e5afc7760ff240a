"""The course of a run, from its events."""

from collections.abc import Mapping
from dataclasses import dataclass

from impasto.engine.events import Event, Iteration, PrecisionChanged, Started
from impasto.engine.watch.thinning import Thinned

MOST_POINTS = 1000  # about 20 kB of page a term and chart


@dataclass(frozen=True)
class Point:
    """The run after one iteration, 0 being its start; the names are those of `impasto.engine.events.Iteration`."""

    iteration: int
    evaluations: int
    seconds: float
    loss: float
    terms: Mapping[str, float]


@dataclass(frozen=True)
class Mark:
    """Something that changed between two points.

    Attributes:
        evaluations: done before it.
        seconds: passed before it.
        text: what it was.
    """

    evaluations: int
    seconds: float
    text: str


def starting_point(setup_s: float, terms: Mapping[str, float]) -> Point:
    """Return the point before the first iteration, at the first evaluation.

    Args:
        setup_s: seconds that it took to get there.
        terms: of the image that the run started from.
    """
    return Point(0, 1, setup_s, sum(terms.values()), dict(terms))


class Curve:
    """Collects losses: `curve.take` is an `on_event` callback, and no more than `MOST_POINTS` points are kept.

    Attributes:
        begun: the run's first beginning; None before it.
        started: its latest one (a refinement begins twice).
        marks: where the network or the precision changed.
    """

    def __init__(self) -> None:
        self.begun: Started | None = None
        self.started: Started | None = None
        self.marks: list[Mark] = []
        self._thinned: Thinned[Point] = Thinned(MOST_POINTS - 1)
        self._last: Point | None = None

    def take(self, event: Event) -> None:
        """Take over one event."""
        if isinstance(event, Iteration):
            terms = dict(event.terms)
            self._last = Point(event.iteration, event.evaluations, event.seconds, event.loss, terms)
            self._thinned.add(event.iteration, self._last)
        elif isinstance(event, PrecisionChanged):
            self._mark(event.after)
        elif isinstance(event, Started):
            if self.started is not None:
                self._mark(event.model)
            self.begun = self.begun or event
            self.started = event

    def start(self, terms: Mapping[str, float]) -> list[Point]:
        """Return the point before the first iteration, at the first evaluation; none where no run has begun.

        Args:
            terms: of the image that the run started from.
        """
        return [starting_point(self.begun.setup_s, terms)] if self.begun is not None and terms else []

    def points(self) -> list[Point]:
        """Return the iterations in order, the last one in any case."""
        points = self._thinned.items()
        if self._last is not None and (not points or points[-1] is not self._last):
            points.append(self._last)
        return points

    def _mark(self, text: str) -> None:
        evaluations, seconds = (self._last.evaluations, self._last.seconds) if self._last else (0, 0.0)
        self.marks.append(Mark(evaluations, seconds, text))
