"""The engines of a worker."""

import threading
from collections.abc import Mapping
from typing import Any

from impasto.engine import Engine
from impasto.models.errors import ImpastoError

_GPU_SLOTS = 8


class Engines:
    """The engines of a worker, opened at their first use: for each network one for jobs and one for short work.

    Args:
        models: for each network's name, what `Engine` takes as the model.
        hashes: for each network's name, the SHA-256 that it has on the server.
        arguments: of `Engine`.
        slots: jobs of one priority that run at once; 0 is what suits the provider.

    Raises:
        ImpastoError: as `Engine`, or a network is another one on this machine.
    """

    def __init__(
        self, models: Mapping[str, str], hashes: Mapping[str, str], arguments: Mapping[str, Any], slots: int
    ) -> None:
        self._models, self._hashes, self._arguments = models, hashes, arguments
        self._lock = threading.Lock()
        self._open: dict[tuple[str, bool], Engine] = {}
        default = self._make(next(iter(models)), 4)
        self.slots = slots or (1 if default.provider.on_host else _GPU_SLOTS)
        self.provider = f"{default.provider.name}, {default.provider.precision}"
        self._open[next(iter(models)), True] = default

    def get(self, network: str, *, for_jobs: bool) -> Engine:
        """Return the engine of a network.

        Raises:
            ImpastoError: there is no such network, or as the class.
        """
        with self._lock:
            if network not in self._models:
                raise ImpastoError(f"unknown network {network!r}: allowed are {', '.join(self._models)}")
            if (network, for_jobs) not in self._open:
                self._open[network, for_jobs] = self._make(network, max(4, self.slots))
            return self._open[network, for_jobs]

    def _make(self, network: str, concurrency: int) -> Engine:
        engine = Engine(self._models[network], concurrency=concurrency, **self._arguments)
        found = engine.network
        if found.sha256 != self._hashes[network]:
            engine.close()
            raise ImpastoError(
                f"the network {network} of the server is {found.name} with other weights on this machine; install the "
                "same weights on both"
            )
        return engine
