"""One loop on the device for several jobs, each of which asks for its steps as if the loop were its own."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from impasto.engine.device.objective import OnDevice
from impasto.engine.optimisers.lbfgs import LbfgsSettings
from impasto.engine.optimisers.outcome import Vector
from impasto.models.errors import ImpastoError

if TYPE_CHECKING:
    from impasto.engine.device.loop import DeviceLoop

Rows = NDArray[np.float32]


@dataclass(frozen=True)
class Steps:
    """A job's request: to evaluate and step, at least once and at most so often."""

    most: int


class SharedLoop:
    """A loop with a place for each sample of a session.

    Once it has failed, or was stopped, its memory on the device is free and it does nothing but raise the reason;
    the images that it came to remain.

    Attributes:
        demanded: whether it was asked for by name, so that jobs may not go on on the host.
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
        from impasto.engine.device.lbfgs import device_loop  # builds a graph, which most runs do without

        self.demanded = on_device.demanded
        self._on_device = on_device
        self._loop: DeviceLoop | None = device_loop(on_device, settings, image_shape)
        self._reason = ""
        self._entered: set[int] = set()
        self._last: dict[int, Vector] = {}

    @property
    def stopped(self) -> bool:
        """Whether it is of no more use."""
        return self._loop is None

    def enter(self, sample: int, x: Vector, limit: float, coefficients: Rows) -> None:
        """Begin with an image in one place; see `impasto.engine.device.loop.DeviceLoop.enter`."""
        try:
            self._running().enter(sample, x, limit, coefficients)
        except ImpastoError as error:
            self.stop(str(error))  # it may be half done
            raise
        self._entered.add(sample)

    def place(self, sample: int, ask: Callable[[Steps], Any]) -> OnDevice:
        """Return what a job needs to run in a place.

        Args:
            sample: the place, where its image has begun.
            ask: how it asks for steps; returns the place's part of what `run` does.
        """
        return dataclasses.replace(self._on_device, place=_Shared(self, sample, ask))

    def run(self, asked: Mapping[int, Steps]) -> dict[int, Rows]:
        """Evaluate and step all images, as often as suits all that ask.

        Args:
            asked: by place.

        Returns:
            For each of those, rows as `impasto.engine.device.objective.Place.run` returns them.

        Raises:
            ImpastoError: the provider fails, or has failed.
        """
        try:
            rows = self._running().run(min(steps.most for steps in asked.values()))
        except ImpastoError as error:
            self.stop(str(error))
            raise
        return {sample: rows[:, sample] for sample in asked}

    def x(self, sample: int) -> Vector:
        """Return a copy of a place's last accepted image, flat.

        Raises:
            ImpastoError: the provider fails, or failed before the image could be had.
        """
        if sample in self._last:
            return self._last[sample]
        return self._running().x(sample)

    def stop(self, reason: str) -> None:
        """Keep the images and give the memory back; from here on the reason is raised."""
        if self._loop is None:
            return
        self._reason = reason
        try:
            self._last = {sample: self._loop.x(sample) for sample in self._entered}
        except ImpastoError:
            self._last = {}  # whoever asks for one is told the reason
        self._loop = None  # last: a job that has just ended may be asking for its image

    def close(self) -> None:
        """Give the memory back, images and all."""
        self._reason = self._reason or "the loop on the device was closed"
        self._loop = None

    def _running(self) -> "DeviceLoop":
        if self._loop is None:
            raise ImpastoError(self._reason)
        return self._loop


class _Shared:
    """A place in the loop of several jobs."""

    def __init__(self, loop: SharedLoop, sample: int, ask: Callable[[Steps], Any]) -> None:
        self._loop, self._sample, self._ask = loop, sample, ask

    def run(self, most: int) -> Rows:
        rows: Rows = self._ask(Steps(most))
        return rows

    def x(self) -> Vector:
        return self._loop.x(self._sample)
