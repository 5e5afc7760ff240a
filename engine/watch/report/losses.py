"""The losses of a run for a page: two charts, and their legend with numbers."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from impasto.engine.watch.report.charts import Chart, stroke
from impasto.engine.watch.report.curve import Mark, Point

TOTAL = "loss"

_AXES = (
    ("evaluations", "Loss and its terms over evaluations", "evaluations of loss and gradient"),
    ("seconds", "Loss and its terms over time", "seconds since the run was asked for"),
)


class LegendLine(NamedTuple):
    """A line of the charts: colour and dashes, name, and its value at the start, at the end, and its share."""

    stroke: tuple[int, str]
    name: str
    numbers: tuple[str, str, str]


def charts(prefix: str, points: Sequence[Point], marks: Sequence[Mark], terms: Sequence[str]) -> list[Chart]:
    """Return the loss and its terms over evaluations and over seconds.

    Args:
        prefix: the ids of the charts begin with it.
        points: in order.
        marks: what changed between them.
        terms: names, in the order of the legend.
    """
    names = [TOTAL, *terms]
    found = []
    for axis, title, label in _AXES:
        lines = {name: [(float(getattr(point, axis)), _value(point, name)) for point in points] for name in names}
        changes = [(float(getattr(mark, axis)), mark.text) for mark in marks]
        found.append(Chart(f"{prefix}{axis}", title, label, lines, changes))
    return found


def legend(initial: Mapping[str, float], final: Mapping[str, float], loss: float) -> list[LegendLine]:
    """Return the lines of both charts with their first and last values.

    Args:
        initial: terms at the start; empty where they are not known.
        final: terms at the end, in the order of the lines.
        loss: at the end.
    """
    first = {TOTAL: sum(initial.values()), **initial} if initial else {}
    return [
        LegendLine(stroke(index), name, (_number(first.get(name)), _number(value), _share(value, loss)))
        for index, (name, value) in enumerate({TOTAL: loss, **final}.items())
    ]


def _value(point: Point, name: str) -> float:
    return point.loss if name == TOTAL else point.terms.get(name, 0.0)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.5g}"


def _share(value: float, loss: float) -> str:
    return f"{100 * value / loss:.1f} %" if loss else "-"
