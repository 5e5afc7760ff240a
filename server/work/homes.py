"""Which homes the workers of a server have: processes of this machine, or actors of a Ray cluster."""

from collections.abc import Callable
from typing import Any

from impasto.server.config import ServerConfig
from impasto.server.work.process import LocalProcess
from impasto.server.work.protocol import Home
from impasto.server.work.ray_cluster import RayCluster


class Homes:
    """Makes homes.

    Args:
        config: of the server.
        make: makes a home in another way; None is what the configuration says.

    Attributes:
        cluster: the Ray cluster; None without one.

    Raises:
        ImpastoError: the Ray cluster cannot be used.
    """

    def __init__(self, config: ServerConfig, make: Callable[[dict[str, Any]], Home] | None = None) -> None:
        self._workers = config.workers
        self.cluster: RayCluster | None = None
        if make is None and config.ray is not None:
            self.cluster = RayCluster(config.ray, config.engine.arguments())
            make = self.cluster.home
        self.make: Callable[[dict[str, Any]], Home] = LocalProcess if make is None else make

    @property
    def count(self) -> int:
        """How many workers there is room for now."""
        return self._workers or (1 if self.cluster is None else self.cluster.slots)

    def close(self) -> None:
        """Leave the cluster."""
        if self.cluster is not None:
            self.cluster.close()
