"""One loop on the device for several jobs, each of which asks for its steps as if the loop were its own."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from impasto.engine.lbfgs import LbfgsSettings
from impasto.engine.objective import OnDevice
from impasto.engine.outcome import Vector
from impasto.models.errors import ImpastoError

if TYPE_CHECKING:
    from impasto.engine.device_loop import DeviceLoop

Rows = NDArray[np.float32]


@dataclass(frozen=True)
class Steps:
    """A job's request: to evaluate and step, at least once and at most so often."""

    most: int


class SharedLoop:
    """A loop with a place for each sample of a session.

    Attributes:
        failed: whether it is of no more use; jobs that may then go on on the host.
    """

    def __init__(self, on_device: OnDevice, settings: LbfgsSettings, image_shape: tuple[int, int, int]) -> None:
        """Compile the step; all places are empty.

        Args:
            on_device: of all samples.
            settings: of the optimiser; likewise.
            image_shape: channels, height and width.

        Raises:
            ImpastoError: the step does not run on the provider, or its history does not fit there.
        """
        from impasto.engine.device_lbfgs import device_loop  # builds a graph, which most runs do without

        self.failed = False
        self._on_device = on_device
        self._loop: DeviceLoop = device_loop(on_device, settings, image_shape)

    def enter(self, sample: int, x: Vector, limit: float, coefficients: Rows) -> None:
        """Begin with an image in one place; see `DeviceLoop.enter`."""
        self._loop.enter(sample, x, limit, coefficients)

    def place(self, sample: int, ask: Callable[[Steps], Any]) -> OnDevice:
        """Return what a job needs to run in a place.

        Args:
            sample: the place, where its image has begun.
            ask: how it asks for steps; returns what `run` has for the place.
        """
        return dataclasses.replace(self._on_device, place=_Shared(self._loop, sample, ask))

    def run(self, asked: Mapping[int, Steps]) -> dict[int, Rows | ImpastoError]:
        """Evaluate and step all images, as often as suits all that ask.

        Args:
            asked: by place.

        Returns:
            For each of those, rows as `Place.run` returns them; or why there are none.
        """
        try:
            rows = self._loop.run(min(steps.most for steps in asked.values()))
        except ImpastoError as error:
            self.failed = not self._on_device.demanded
            return dict.fromkeys(asked, error)
        return {sample: rows[:, sample] for sample in asked}


class _Shared:
    """A place in the loop of several jobs."""

    def __init__(self, loop: "DeviceLoop", sample: int, ask: Callable[[Steps], Any]) -> None:
        self._loop, self._sample, self._ask = loop, sample, ask

    def run(self, most: int) -> Rows:
        reply: Rows | ImpastoError = self._ask(Steps(most))
        if isinstance(reply, ImpastoError):
            raise ImpastoError(*reply.args)
        return reply

    def x(self) -> Vector:
        return self._loop.x(self._sample)
