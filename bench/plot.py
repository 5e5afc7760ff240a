"""Records as a picture: time against size, how latencies spread, loss against seconds."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from impasto.models.atomic import atomic_file, check_extension, check_place
from impasto.models.errors import ImpastoError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

# Okabe and Ito's colours, told apart by colour-blind readers as well; black is the first.
COLOURS = ("#000000", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#f0e442")
DASHES = ("solid", "dashed", "dotted", "dashdot")
PANEL_IN = (6.4, 6.0)
DPI = 150

Items = Sequence[Mapping[str, Any]]


def draw(records: Mapping[str, Mapping[str, Any]], output: Path) -> list[str]:
    """Draw every panel for which the records have something, and return their titles.

    Args:
        records: from `impasto.bench.record.read`, by a name that tells them apart.
        output: a .png.

    Raises:
        ImpastoError: matplotlib is missing, there is nothing to draw, or the file cannot be written.
    """
    check_extension(output, (".png",))
    check_place(output)
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ImpastoError("drawing needs matplotlib, which is not installed: pip install 'impasto[bench]'") from None
    series = [
        {**item, "label": f"{name}: {item['name']}" if len(records) > 1 else item["name"]}
        for name, record in records.items()
        for item in record["series"]
    ]
    panels = [(title, paint, found) for title, choose, paint in PANELS if (found := choose(series))]
    if not panels:
        raise ImpastoError("nothing to draw: the files hold no series; measure for longer")
    figure = Figure(figsize=(PANEL_IN[0] * len(panels), PANEL_IN[1]), dpi=DPI, layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    colours = {label: COLOURS[number % len(COLOURS)] for number, label in enumerate(_labels(series))}
    for axis, (title, paint, found) in zip(axes, panels, strict=True):
        axis.set_title(title)
        axis.grid(visible=True, which="both", alpha=0.25)
        paint(axis, found, colours)
        axis.legend(fontsize="small", loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=2)
    with atomic_file(output) as part:
        figure.savefig(part, format="png")
    return [title for title, _, _ in panels]


def _labels(series: Items) -> list[str]:
    return list(dict.fromkeys(item["label"] for item in series))


def _with_sizes(series: Items) -> list[Mapping[str, Any]]:
    """Return what was measured at more than one size, single steps of descents apart."""
    whole = [item for item in series if item["unit"] != "step"]
    sizes = {label: {item["size_px"] for item in whole if item["label"] == label} for label in _labels(whole)}
    return [item for item in whole if len(sizes[item["label"]]) > 1]


def _with_spread(series: Items) -> list[Mapping[str, Any]]:
    return [item for item in series if len(item["samples_s"]) > 1 and item["unit"] != "step"]


def _with_curve(series: Items) -> list[Mapping[str, Any]]:
    return [item for item in series if len(item["curve"]) > 1]


def _times(axis: "Axes", series: Items, colours: Mapping[str, str]) -> None:
    """Draw medians with their quartiles over the number of pixels on a side."""
    for label in _labels(series):
        items = sorted((item for item in series if item["label"] == label), key=lambda item: int(item["size_px"]))
        sides = [item["size_px"] for item in items]
        low, median, high = np.array([np.percentile(item["samples_s"], (25, 50, 75)) for item in items]).T
        axis.plot(sides, median, marker="o", color=colours[label], label=label)
        axis.fill_between(sides, low, high, color=colours[label], alpha=0.2)
    axis.set_xscale("log", base=2)
    axis.set_yscale("log")
    _plain_numbers(axis.yaxis)
    sides = sorted({item["size_px"] for item in series})
    axis.set_xticks(sides, [str(side) for side in sides])
    axis.set_xlabel("side of the picture, px")
    axis.set_ylabel(f"seconds for one {' or '.join(sorted({item['unit'] for item in series}))}")


def _spreads(axis: "Axes", series: Items, colours: Mapping[str, str]) -> None:
    """Draw which share of the samples took at most so long."""
    for item in series:
        values = np.sort(item["samples_s"])
        shares = np.arange(1, values.size + 1) / values.size
        axis.step(values, shares, where="post", **_look(item, series, colours))
    axis.set_xscale("log")
    _plain_numbers(axis.xaxis)
    axis.set_ylim(0, 1.02)
    axis.set_xlabel("seconds")
    axis.set_ylabel("share of the samples")


def _losses(axis: "Axes", series: Items, colours: Mapping[str, str]) -> None:
    """Draw the lowest loss so far over the seconds of a run."""
    for item in series:
        points = np.array([point for point in item["curve"] if None not in point], float).reshape(-1, 3)
        lowest = np.minimum.accumulate(points[:, 2])
        axis.step(points[:, 1], lowest, where="post", **_look(item, series, colours))
    axis.set_yscale("log")
    axis.set_xlabel("seconds")
    axis.set_ylabel("lowest loss so far")


def _look(item: Mapping[str, Any], series: Items, colours: Mapping[str, str]) -> dict[str, Any]:
    """Return colour, dashes and label of a line: a colour per name, a kind of dashes per size."""
    sizes = sorted({other["size_px"] for other in series})
    dashes = DASHES[sizes.index(item["size_px"]) % len(DASHES)]
    label = f"{item['label']}, {item['size_px']} px"
    return {"color": colours[item["label"]], "linestyle": dashes, "label": label}


def _plain_numbers(axis: "Axis") -> None:
    """Mark 1, 2 and 5 of every power of ten of a logarithmic axis, as 0.2 and not as a power."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_formatter(NullFormatter())


_Paint = Callable[["Axes", Items, Mapping[str, str]], None]
PANELS: Sequence[tuple[str, Callable[[Items], list[Mapping[str, Any]]], _Paint]] = (
    ("Time against size", _with_sizes, _times),
    ("Latencies", _with_spread, _spreads),
    ("Loss against seconds", _with_curve, _losses),
)
