"""The place where a run is evaluated, and the requests by which a run talks to its driver."""

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any

from impasto.engine.device.places import LoopPlaces, Rows, Steps
from impasto.engine.optimisers.solution import Outcome, Score, StateError, Vector
from impasto.models.errors import ImpastoError

HOST, DEVICE = "host", "device"


@dataclass(frozen=True)
class SaferPrecision:
    """A request for an evaluator in a safer precision, because a value was not finite."""


@dataclass(frozen=True)
class Surroundings:
    """The place where a run is evaluated.

    Attributes:
        loss_noise: relative rounding error of the loss.
        provenance: the origin that the result records.
        sample: index of the sample of the evaluator, if the run is in a loop on the device.
        places: the loop on the device that holds the run's image; None if the optimiser runs on the host.
    """

    loss_noise: float
    provenance: Mapping[str, Any]
    sample: int = 0
    places: LoopPlaces | None = None


Request = Vector | Steps | SaferPrecision | None
Reply = Score | Rows | Surroundings | None
Work = Generator[Request, Reply, Outcome]


def unfit_state(error: StateError) -> ImpastoError:
    """Return the error for a state that no run can continue from."""
    return ImpastoError(f"no run can continue from this state: {error}; begin the run again")
