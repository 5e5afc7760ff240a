"""One thing measured, many times."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from impasto.bench.summary import summarise


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
