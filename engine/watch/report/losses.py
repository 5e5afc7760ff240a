"""The losses of a run for a page: two charts, and their legend with numbers."""

from collections.abc import Mapping, Sequence
from typing import Any

from impasto.engine.watch.report.charts import Chart, stroke
from impasto.engine.watch.report.curve import Mark, Point

TOTAL = "loss"

_AXES = (
    ("evaluations", "Loss and its terms over evaluations", "evaluations of loss and gradient"),
    ("seconds", "Loss and its terms over time", "seconds since the run was asked for"),
)


def charts(prefix: str, points: Sequence[Point], marks: Sequence[Mark], terms: Sequence[str]) -> list[Chart]:
    """Return the loss and its terms over evaluations and over seconds.

    Args:
        prefix: the ids of the charts begin with it.
        points: in order.
        marks: what changed between them.
        terms: names, in the order of the legend.
    """
    found = []
    for axis, title, label in _AXES:
        places = [float(getattr(point, axis)) for point in points]
        values = {TOTAL: [point.loss for point in points]}
        values |= {name: [point.terms.get(name, 0.0) for point in points] for name in terms}
        lines = {name: list(zip(places, line, strict=True)) for name, line in values.items()}
        changes = [(float(getattr(mark, axis)), mark.text) for mark in marks]
        found.append(Chart(f"{prefix}{axis}", title, label, lines, changes))
    return found


def legend(initial: Mapping[str, float], final: Mapping[str, float], loss: float) -> list[dict[str, Any]]:
    """Return the stroke, the name and the numbers of each line of the charts: its start, its end, and its share.

    Args:
        initial: terms at the start; empty where they are not known.
        final: terms at the end, in the order of the lines.
        loss: at the end.
    """
    first = {TOTAL: sum(initial.values()), **initial} if initial else {}
    lines = []
    for index, (name, value) in enumerate({TOTAL: loss, **final}.items()):
        start = f"{first[name]:.5g}" if name in first else "-"
        share = f"{100 * value / loss:.1f} %" if loss else "-"
        lines.append({"stroke": stroke(index), "name": name, "numbers": (start, f"{value:.5g}", share)})
    return lines
