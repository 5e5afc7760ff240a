"""How long to measure, and what does not count."""

import math
from dataclasses import dataclass

from impasto.models.errors import ImpastoError


@dataclass(frozen=True)
class Effort:
    """How much is measured.

    Attributes:
        duration_s: for each thing that is measured; the samples begun within it count.
        warm_up: evaluations before anything counts.
        least: samples at least, however long they take.
    """

    duration_s: float = 10.0
    warm_up: int = 3
    least: int = 5

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ImpastoError: a value is out of range.
        """
        if not (math.isfinite(self.duration_s) and self.duration_s > 0):
            raise ImpastoError(f"bad --duration {self.duration_s:g}: allowed are seconds above 0")
        if self.warm_up < 1:
            raise ImpastoError(f"bad --warm-up {self.warm_up}: allowed are whole numbers of 1 or more")
