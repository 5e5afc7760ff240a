"""The events of a run: one typed record at the start, one per scale and one per iteration."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from impasto.models.errors import ImpastoError

if TYPE_CHECKING:
    from impasto.engine.inputs.run_state import RunState


@dataclass(frozen=True)
class Started:
    """The preparation is complete, and the first iteration begins. A refinement reports a second start.

    Attributes:
        height: height of the result, px.
        width: width of the result, px.
        model: the network's name.
        provider: the execution provider in use.
        precision: precision of the convolutions.
        conversion: a sentence that gives the weights in the paper's terms.
        setup_s: seconds from the request of the run to this event.
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


@dataclass(frozen=True)
class ScaleStarted:
    """The first iteration at another size begins, in a run with several scales; the first scale has this event, too.

    Attributes:
        scale: number of the scale, from 1, the coarsest.
        scales: how many there are.
        height: height of the image at this scale, px.
        width: width of the image at this scale, px.
        iteration: iterations of the run so far.
        last_iteration: the iteration of the run at which the scale ends, if it does not end early.
        evaluations: runs of loss and gradient so far.
        seconds: seconds since the run was requested.
        conversion: a sentence that gives the weights of this scale in the paper's terms.
    """

    scale: int
    scales: int
    height: int
    width: int
    iteration: int
    last_iteration: int
    evaluations: int
    seconds: float
    conversion: str

    @property
    def message(self) -> str:
        """The event in a few words."""
        return f"scale {self.scale} of {self.scales}, {self.width}x{self.height} px"


def _no_state() -> "RunState":
    raise ImpastoError("no state to continue from: this event does not come from a run")


@dataclass(frozen=True)
class Iteration:
    """One accepted step.

    Attributes:
        iteration: from 1.
        evaluations: runs of loss and gradient so far.
        loss: the total.
        terms: every weighted term by name; they add up to the loss.
        seconds: seconds since the run was requested.
        snapshot: returns a copy of the current image, float32 H x W x 3, RGB, 0..1, not clipped, at the size of the
            scale. Call it inside `on_event`. With the loop on the device it returns the latest image, up to
            `report_every` - 1 iterations newer than the event.
        state: returns a copy of the state that continues the run from here. Call it inside `on_event`. With the loop
            on the device it is the state of the latest image, as for the snapshot.
        scale: number of the scale, from 1, the coarsest.
        scales: how many there are.
        height: height of the image at this scale, px.
        width: width of the image at this scale, px.
    """

    iteration: int
    evaluations: int
    loss: float
    terms: Mapping[str, float]
    seconds: float
    snapshot: Callable[[], np.ndarray]
    state: "Callable[[], RunState]" = _no_state
    scale: int = 1
    scales: int = 1
    height: int = 0
    width: int = 0


@dataclass(frozen=True)
class PrecisionChanged:
    """A value was not finite. The run continues from its last good image in a safer precision.

    Attributes:
        before: the precision before the change.
        after: the precision after the change.
        iteration: iteration of the last good image; 0 is the start.
    """

    before: str
    after: str
    iteration: int

    @property
    def message(self) -> str:
        """The event as a sentence."""
        return f"values in {self.before} are not finite; continuing from iteration {self.iteration} in {self.after}"


Event = Started | ScaleStarted | Iteration | PrecisionChanged
OnEvent = Callable[[Event], None]
