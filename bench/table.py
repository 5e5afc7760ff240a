"""What a person sees at the end."""

import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from impasto.bench.series import Series, summarise

WIDE = 1000  # where the output is no terminal, nothing needs to be cut off or folded


def show_series(series: Sequence[Series]) -> None:
    """Print a line per series: spread, percentiles, evaluations and loss beside the time."""
    columns = ("px", "of", "n", "median", "IQR", "p50", "p90", "p95", "p99", "evaluations", "loss")
    show(("what", *columns), ([item.name, *_cells(item)] for item in series), left=1)
    for item in series:
        for note in _notes(item.facts):
            print(f"{item.size_px} px, {item.name}: {note}")


def show_ratios(ratios: Sequence[Mapping[str, Any]], absent: Sequence[Mapping[str, Any]]) -> None:
    """Print how many times as fast the project is, and who did not take part."""
    columns = ("rival", "impasto", "px", "per evaluation", "min", "max", "to equal loss", "with set-up")
    show(columns, (_ratio_cells(ratio) for ratio in ratios), left=2)
    sizes: dict[tuple[str, str], list[str]] = {}
    for item in absent:
        sizes.setdefault((item["name"], item["why"]), []).append(str(item["size_px"]))
    for (name, why), found in sizes.items():
        print(f"{', '.join(found)} px: {name} did not run: {why}")


def show_loads(series: Sequence[Series]) -> None:
    """Print for each load the pictures an hour, and the times in the queue and of the work apart."""
    columns = ("what", "px", "offered/h", "made/h", "refused", "queue p50", "p90", "p99", "work p50", "p90", "p99",
               "submit p99")  # fmt: skip

    def cells(item: Series) -> list[str]:
        facts = item.facts
        parts = [facts[f"{name}_summary_s"] for name in ("queueing", "service")]
        times = [seconds(part[rank]) for part in parts for rank in ("p50", "p90", "p99")]
        counts = [f"{facts['offered_per_hour']:.0f}", f"{facts['pictures_per_hour']:.0f}", str(facts["refused"])]
        return [item.name, str(item.size_px), *counts, *times, seconds(facts["submit_summary_s"]["p99"])]

    show(columns, map(cells, series), left=1)


def show_descents(series: Sequence[Series]) -> None:
    """Print when each descent had the baseline's lowest loss: evaluations and seconds, without and with its set-up."""
    descents = [item for item in series if "target_loss" in item.facts]
    if descents:
        columns = ("descent", "px", "loss to reach", "evaluations", "seconds", "with set-up", "in all", "ended at")
        show(columns, map(_descent_cells, descents), left=1)


def show(columns: Sequence[str], rows: Iterable[Sequence[str]], *, left: int) -> None:
    """Print a table on stdout: so many columns are aligned to the left, the others to the right."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=WIDE)
    table = Table(box=None, pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number < left else "right", no_wrap=number >= left)
    for row in rows:
        table.add_row(*row)
    console.print(table)


def seconds(value: float) -> str:
    """Say a time with three digits, in s or ms."""
    return f"{value:.3g} s" if value >= 0.9995 else f"{value * 1e3:.3g} ms"


def _notes(facts: Mapping[str, Any]) -> Iterator[str]:
    """Yield what a series has besides its samples."""
    if "throughput_per_s" in facts:
        times = [seconds(facts["queueing_summary_s"][rank]) for rank in ("p50", "p99")]
        yield f"{facts['throughput_per_s']:.4g} queries/s; in the queue {times[0]} (p50), {times[1]} (p99)"
    if "per_picture" in facts:
        share = facts["per_picture"]
        low, median, high = (f"{share[name]:.2f}" for name in ("min", "median", "max"))
        yield f"{median} ({low} to {high}) of the time per picture of {share['to']}"
    if "process_s" in facts:
        yield f"the whole process takes {seconds(statistics.median(facts['process_s']))} (median)"


def _cells(item: Series) -> list[str]:
    summary = summarise(item.samples_s)
    times = [seconds(summary[key]) for key in ("median", "iqr", "p50", "p90", "p95", "p99")]
    return [str(item.size_px), item.unit, str(summary["count"]), *times, str(item.evaluations), f"{item.loss:.5g}"]


def _ratio_cells(ratio: Mapping[str, Any]) -> list[str]:
    each = ratio["per_evaluation"]
    times = [f"{each[key]:.2f}x" for key in ("median", "min", "max")]
    losses = [ratio[key] for key in ("to_equal_loss", "to_equal_loss_with_set_up")]
    said = ["-" if value is None else f"{value:.2f}x" for value in losses]
    return [ratio["rival"], ratio["impasto"], str(ratio["size_px"]), *times, *said]


def _descent_cells(item: Series) -> list[str]:
    facts = item.facts
    taken_s = facts["seconds_to_target"]
    with_setup_s = None if taken_s is None else taken_s + facts["setup_s"]
    reached = (facts["target_loss"], facts["evaluations_to_target"], taken_s, with_setup_s)
    says: tuple[Callable[[float], str], ...] = ("{:.5g}".format, str, seconds, seconds)
    cells = ["-" if value is None else say(value) for value, say in zip(reached, says, strict=True)]
    return [item.name, str(item.size_px), *cells, str(facts["evaluations_in_all"]), f"{item.loss:.5g}"]
