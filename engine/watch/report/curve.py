"""The course of a run, from its events."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from impasto.engine.events import Event, Iteration, PrecisionChanged, ScaleStarted, Started
from impasto.engine.watch.thinning import EvenlySpaced

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


def with_start(points: Sequence[Point], setup_s: float, terms: Mapping[str, float]) -> list[Point]:
    """Return iterations after the start, which is at the first evaluation; nothing where there was no iteration.

    Args:
        points: of the iterations.
        setup_s: seconds that it took to get to the start.
        terms: of the image that the run started from; empty where they are not known.
    """
    start = [Point(0, 1, setup_s, sum(terms.values()), dict(terms))] if points and terms else []
    return [*start, *points]


class Curve:
    """Collects losses: `curve.take` is an `on_event` callback, and no more than `MOST_POINTS` points are kept.

    Attributes:
        begun: the run's first beginning; None before it.
        started: its latest one (a refinement begins twice).
        conversion: the weights in the paper's terms, at the latest scale; empty before the run has begun.
        marks: where the network, the scale or the precision changed.
    """

    def __init__(self) -> None:
        self.begun: Started | None = None
        self.started: Started | None = None
        self.conversion = ""
        self.marks: list[Mark] = []
        self._points: EvenlySpaced[Point] = EvenlySpaced(MOST_POINTS - 1)
        self._last: Point | None = None

    def take(self, event: Event) -> None:
        """Take over one event."""
        if isinstance(event, Iteration):
            terms = dict(event.terms)
            self._last = Point(event.iteration, event.evaluations, event.seconds, event.loss, terms)
            self._points.add(event.iteration, self._last)
        elif isinstance(event, PrecisionChanged):
            self._mark(event.after)
        elif isinstance(event, ScaleStarted):
            self.conversion = event.conversion
            if event.iteration:  # the first scale begins with the run
                self._mark(f"{event.width} × {event.height} px")
        elif isinstance(event, Started):
            self.conversion = event.conversion
            if self.started is not None:
                self._mark(event.model)
            self.begun = self.begun or event
            self.started = event

    @property
    def setup_s(self) -> float:
        """Seconds before the first evaluation; 0 if no run has begun."""
        return self.begun.setup_s if self.begun is not None else 0.0

    def points(self) -> list[Point]:
        """Return the iterations in order, the last one in any case."""
        points = self._points.items()
        if self._last is not None and self._last not in points[-1:]:
            points.append(self._last)
        return points

    def _mark(self, text: str) -> None:
        self.marks.append(Mark(self._last.evaluations, self._last.seconds, text) if self._last else Mark(0, 0.0, text))
