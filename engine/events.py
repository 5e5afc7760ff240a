"""What a run tells while it goes on: one typed record when it starts and one per iteration."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from impasto.models.errors import ImpastoError

if TYPE_CHECKING:
    from impasto.engine.inputs.run_state import RunState


@dataclass(frozen=True)
class Started:
    """Everything is ready and the first iteration begins; a refinement has a second one, on another network.

    Attributes:
        height: of the result, px.
        width: of the result, px.
        model: the network's name.
        provider: the execution provider in use.
        precision: of the convolutions.
        conversion: the weights in the paper's own terms.
        setup_s: seconds that it took to get here, since the run was asked for.
        loop: "host" or "device": where the optimiser begins.
    """

    height: int
    width: int
    model: str
    provider: str
    precision: str
    conversion: str
    setup_s: float
    loop: str = "host"


def _no_state() -> "RunState":
    raise ImpastoError("no state to continue from: this event was not told by a run")


@dataclass(frozen=True)
class Iteration:
    """One accepted step.

    Attributes:
        iteration: from 1.
        evaluations: runs of loss and gradient so far.
        loss: the total.
        terms: every weighted term by name; they add up to the loss.
        seconds: since the run was asked for.
        snapshot: makes a copy of the image as it is now, float32 H x W x 3, RGB, 0..1, not clipped; to be called while
            the event is told of. With the loop on the device that is the latest image, up to `report_every` - 1
            iterations newer.
        state: makes a copy of all that is needed to continue from here; to be called while the event is told. With the
            loop on the device it is that of the latest image, as the snapshot.
    """

    iteration: int
    evaluations: int
    loss: float
    terms: Mapping[str, float]
    seconds: float
    snapshot: Callable[[], np.ndarray]
    state: "Callable[[], RunState]" = _no_state


@dataclass(frozen=True)
class PrecisionChanged:
    """A value was not finite; the run goes on from its last good image in a safer precision.

    Attributes:
        before: the precision so far.
        after: the precision from here on.
        iteration: of the last good image; 0 is the start.
    """

    before: str
    after: str
    iteration: int

    @property
    def message(self) -> str:
        """The same as a sentence."""
        return f"values in {self.before} are not finite; going on from iteration {self.iteration} in {self.after}"


Event = Started | Iteration | PrecisionChanged
OnEvent = Callable[[Event], None]
