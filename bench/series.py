"""One thing measured, many times."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

PERCENTILES = (50, 90, 95, 99)


def summarise(samples: Sequence[float]) -> dict[str, float]:
    """Return count, mean, extremes, median, interquartile range and percentiles.

    Percentiles are interpolated linearly between order statistics (Hyndman and Fan, American Statistician 50, 1996,
    definition 7), which is NumPy's default. With few samples the high ones are hardly more than the maximum; the count
    is there to tell.

    Raises:
        ValueError: there are no samples, or one is not finite.
    """
    values = np.asarray(samples, np.float64)
    if not values.size or not np.isfinite(values).all():
        raise ValueError(f"{values.size} samples, of which {int(np.isfinite(values).sum())} are finite")
    low, median, high = np.percentile(values, (25, 50, 75)).tolist()
    return {
        "count": values.size,
        "mean": float(values.mean()),
        "min": float(values.min()),
        "max": float(values.max()),
        "median": median,
        "iqr": high - low,
        **{f"p{rank}": float(np.percentile(values, rank)) for rank in PERCENTILES},
    }


def spread(ratios: Sequence[float]) -> dict[str, float]:
    """Return median and extremes."""
    return {"median": statistics.median(ratios), "min": min(ratios), "max": max(ratios)}


class Point(NamedTuple):
    """Where a run stands: evaluations so far, seconds since it was asked for, loss."""

    evaluations: int
    seconds: float
    loss: float


@dataclass(frozen=True)
class Series:
    """The samples of one thing.

    Attributes:
        name: of whom or what was measured.
        unit: of what a sample is the time: "evaluation", "transfer", "query", "start".
        size_px: side of the square pictures.
        samples_s: every sample that counts, in the order taken.
        evaluations: of loss and gradient within one sample.
        loss: at the end of the last sample.
        curve: of one run, where a sample is a run.
        facts: more, as plain values; times end in "_s".
    """

    name: str
    unit: str
    size_px: int
    samples_s: Sequence[float]
    evaluations: int
    loss: float
    curve: Sequence[Point] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, with a summary of the samples."""
        return {
            "name": self.name,
            "unit": self.unit,
            "size_px": self.size_px,
            "summary_s": summarise(self.samples_s),
            "evaluations": self.evaluations,
            "loss": self.loss,
            **self.facts,
            "samples_s": list(self.samples_s),
            "curve": [list(point) for point in self.curve],
        }
