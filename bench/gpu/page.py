"""The record of `impasto.bench.gpu` as a page of Markdown."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from impasto.bench.table import seconds


def page(record: Mapping[str, Any]) -> str:
    """Return the page: conditions, checks, times, ratios to PyTorch, and what did not run."""
    parts = [
        "# What ran on this machine",
        _conditions(record["conditions"]),
        _table(("step", "outcome"), ((step["step"], _outcome(step)) for step in record["steps"])),
    ]
    if record["series"]:
        columns = ("benchmark", "what", "px", "of", "n", "median", "IQR", "p90", "p99", "evaluations", "loss")
        parts.append(_table(columns, map(_times, record["series"])))
    if record["ratios"]:
        headings = ("rival", "impasto", "px", "per evaluation", "to equal loss", "with set-up")
        parts.append(_table(headings, map(_ratio, record["ratios"])))
    if record["absent"]:
        rows = ((item["name"], str(item["size_px"]), item["why"]) for item in record["absent"])
        parts.append(_table(("did not run", "px", "why"), rows))
    return "\n\n".join(parts) + "\n"


def _conditions(found: Mapping[str, Any]) -> str:
    gpus = "; ".join(" ".join(gpu.values()) for gpu in found["gpus"]) or "no NVIDIA GPU"
    versions = ", ".join(f"{name} {text}" for name, text in found["versions"].items() if text != "not installed")
    return (
        f"{found['date']}, {found['processor']}, {found['cores']} cores, {gpus}; load {found['load_1_min']} before, "
        f"{found['load_1_min_after']} after. {versions}."
    )


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _outcome(step: Mapping[str, Any]) -> str:
    if not step["ok"]:
        return f"failed: {step['why']}"
    found = step.get("found") or {}
    return "ok" + "".join(f"; {name} {_said(value)}" for name, value in found.items())


def _said(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _times(item: Mapping[str, Any]) -> list[str]:
    summary = item["summary_s"]
    times = [seconds(summary[key]) for key in ("median", "iqr", "p90", "p99")]
    first = [item["benchmark"], item["name"], str(item["size_px"]), item["unit"], str(summary["count"])]
    return [*first, *times, str(item["evaluations"]), f"{item['loss']:.5g}"]


def _ratio(item: Mapping[str, Any]) -> list[str]:
    losses = [item[key] for key in ("to_equal_loss", "to_equal_loss_with_set_up")]
    said = ["" if value is None else f"{value:.2f}x" for value in losses]
    return [item["rival"], item["impasto"], str(item["size_px"]), f"{item['per_evaluation']['median']:.2f}x", *said]
