"""The losses of a run: two charts, and their legend with numbers."""

from collections.abc import Mapping, Sequence
from html import escape

from impasto.engine.watch.report.charts import Chart, swatch
from impasto.engine.watch.report.curve import Mark, Point

TOTAL = "loss"

_AXES = (
    ("evaluations", "Loss and its terms over evaluations", "evaluations of loss and gradient"),
    ("seconds", "Loss and its terms over time", "seconds since the run was asked for"),
)


def charts(prefix: str, points: Sequence[Point], marks: Sequence[Mark], terms: Sequence[str]) -> str:
    """Return the loss and its terms over evaluations and over seconds, beside each other.

    Args:
        prefix: the ids of the charts begin with it.
        points: in order.
        marks: what changed between them.
        terms: names, in the order of the legend.
    """
    names = [TOTAL, *terms]
    figures = []
    for axis, title, label in _AXES:
        lines = {name: [(float(getattr(point, axis)), _value(point, name)) for point in points] for name in names}
        chart = Chart(
            f"{prefix}{axis}", title, label, lines, [(float(getattr(mark, axis)), mark.text) for mark in marks]
        )
        figures.append(f"<figure><h3>{escape(title)}</h3>{chart.svg()}</figure>")
    return f'<div class="columns">{"".join(figures)}</div>'


def legend(initial: Mapping[str, float], final: Mapping[str, float], loss: float) -> str:
    """Return the legend of both charts: a table with each line's first and last value.

    Args:
        initial: terms at the start; empty where they are not known.
        final: terms at the end, in the order of the lines.
        loss: at the end.
    """
    first = {TOTAL: sum(initial.values()), **initial} if initial else {}
    last = {TOTAL: loss, **final}
    rows = [
        f'<tr><th scope="row">{swatch(index)}{escape(name)}</th>'
        f'<td class="number">{_number(first.get(name))}</td><td class="number">{_number(value)}</td>'
        f'<td class="number">{_share(value, loss)}</td></tr>'
        for index, (name, value) in enumerate(last.items())
    ]
    heads = "".join(f'<th scope="col" class="number">{text}</th>' for text in ("at the start", "at the end", "share"))
    return "\n".join(
        [
            '<div class="scroll" role="region" aria-label="Losses as numbers" tabindex="0"><table>',
            "<caption>The lines of both charts; the terms are weighted and add up to the loss</caption>",
            f'<thead><tr><th scope="col">line</th>{heads}</tr></thead>',
            "<tbody>",
            *rows,
            "</tbody></table></div>",
        ]
    )


def _value(point: Point, name: str) -> float:
    return point.loss if name == TOTAL else point.terms.get(name, 0.0)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.5g}"


def _share(value: float, loss: float) -> str:
    return f"{100 * value / loss:.1f} %" if loss else "-"
