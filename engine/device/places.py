"""The places of a loop on the device, one for each sample of a session. Jobs enter and leave them one by one."""

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from impasto.engine.device.placement import OnDevice
from impasto.engine.optimisers.lbfgs import LbfgsSettings
from impasto.engine.optimisers.solution import State, Vector
from impasto.models.errors import ImpastoError

if TYPE_CHECKING:
    from impasto.engine.device.loop import DeviceLoop


Rows = NDArray[np.float32]
"""The device's log, a row per evaluation: [count, columns], with `impasto.export.optimiser.REPORTED`, then terms."""


@dataclass(frozen=True)
class Steps:
    """A request to evaluate and step on the device, at least once and at most `most` times."""

    most: int


class LoopPlaces:
    """The places of one loop.

    When the loop fails or is stopped, it frees its memory on the device and keeps its latest images. From then on its
    methods raise the reason. Any thread may read an image or a state. All places are empty at first.

    Args:
        on_device: inputs of the loop, for all samples.
        settings: settings of L-BFGS, the same for all samples.
        image_shape: channels, height and width.

    Attributes:
        demanded: whether the user demanded the device, so that jobs must not continue on the host.
        every: number of evaluations after which the host reads the log.
        terms: names of the terms.
        provider: name of the provider.
        lock: held while images change.

    Raises:
        ImpastoError: the step does not run on the provider, or its history does not fit there.
    """

    def __init__(self, on_device: OnDevice, settings: LbfgsSettings, image_shape: tuple[int, int, int]) -> None:
        from impasto.engine.device.step_form import device_loop  # builds a graph, which most runs do without

        self.demanded, self.every, self.terms = on_device.demanded, on_device.every, on_device.terms
        self.provider = on_device.provider.name
        self._loop: DeviceLoop | None = device_loop(on_device, settings, image_shape)
        self._reason = ""
        self.lock = threading.RLock()
        self._entered: set[int] = set()
        self._last: dict[int, Vector] = {}

    @property
    def stopped(self) -> bool:
        """Whether the loop has failed or was stopped or closed."""
        return self._loop is None

    def enter(
        self, sample: int, x: Vector, limit: float, coefficients: NDArray[np.float32], state: State | None = None
    ) -> None:
        """Put an image into one place; see `impasto.engine.device.loop.DeviceLoop.enter`."""
        with self._changing() as loop:
            loop.enter(sample, x, limit, coefficients, state)
            self._entered.add(sample)

    def run(self, samples: Iterable[int], most: int) -> dict[int, Rows]:
        """Evaluate and step all images, at least once.

        Args:
            samples: the occupied places.
            most: maximum number of evaluations.

        Returns:
            The rows of each of those places.

        Raises:
            ImpastoError: the provider fails, or has failed.
        """
        with self._changing() as loop:
            rows = loop.run(most)
        return {sample: rows[:, sample] for sample in samples}

    def x(self, sample: int) -> Vector:
        """Return a copy of a place's last accepted image, flat.

        Raises:
            ImpastoError: the provider fails, or failed before the image could be fetched.
        """
        with self.lock:
            return self._last[sample] if sample in self._last else self._running().x(sample)

    def state(self, sample: int) -> State:
        """Return the state with which a place can continue in another loop of the same form.

        Raises:
            ImpastoError: the provider fails, or has failed.
        """
        with self.lock:
            return self._running().state(sample)

    def stop(self, reason: str) -> None:
        """Keep the images and free the memory. From now on the methods raise the reason."""
        with self.lock:
            if self._loop is None:
                return
            self._reason = reason
            try:
                self._last = {sample: self._loop.x(sample) for sample in self._entered}
            except ImpastoError:
                self._last = {}  # whoever asks for one is told the reason
            self._loop = None

    def close(self) -> None:
        """Free the memory, including that of the images."""
        with self.lock:
            self._reason = self._reason or "the loop on the device was closed"
            self._loop = None

    @contextmanager
    def _changing(self) -> Iterator["DeviceLoop"]:
        """Lend the loop for a change of its images; a change that fails may be half done, and stops the loop."""
        with self.lock:
            try:
                yield self._running()
            except ImpastoError as error:
                self.stop(str(error))
                raise

    def _running(self) -> "DeviceLoop":
        if self._loop is None:
            raise ImpastoError(self._reason)
        return self._loop
