"""The cluster: what a worker takes of a machine, and how many workers there is room for."""

import importlib.util
import logging
import math
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from impasto.engine.runtime import providers
from impasto.models.errors import ImpastoError
from impasto.models.version import VERSION
from impasto.server.config import RayChoice
from impasto.server.work.ray_home import RayHome
from impasto.server.work.ray_worker import RayWorker

log = logging.getLogger("impasto.server")

CPU, GPU = "CPU", "GPU"
_LOCAL, _ANSWER_S = "auto", 5.0
_BUILT_IN = (CPU, GPU, "memory")


def _check_answers(address: str) -> None:
    """Refuse an address where nothing listens: Ray would wait for a minute, and end the process.

    Raises:
        OSError: nothing listens there.
        ValueError: it is no address.
    """
    if address == _LOCAL:
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        raise ValueError(f"expected HOST:PORT or {_LOCAL}")
    socket.create_connection((host.strip("[]"), int(port)), _ANSWER_S).close()


class RayCluster:
    """A connection to a cluster of Ray, as its driver: the actors die with this process.

    Args:
        choice: address and resources.
        engine: arguments of the workers' engines, of which the provider chooses between CPU and GPU.

    Raises:
        ImpastoError: Ray is not installed, there is no such cluster, or the provider or precision is unknown.
    """

    def __init__(self, choice: RayChoice, engine: Mapping[str, Any]) -> None:
        if importlib.util.find_spec("ray") is None:
            raise ImpastoError("--ray needs the package ray: run `pip install 'impasto[ray]'`")
        import ray

        providers.parse(str(engine["provider"]), str(engine["precision"]))
        self._ray, self._engine = ray, dict(engine)
        try:
            _check_answers(choice.address)
            ray.init(
                address=choice.address, namespace="impasto", log_to_driver=False, logging_level=logging.ERROR,
                ignore_reinit_error=True,
            )  # fmt: skip
        except (OverflowError, RuntimeError, ValueError, OSError) as error:
            what = " ".join(str(error).split())[:200]
            raise ImpastoError(
                f"no Ray cluster at {choice.address!r}: {what}; start one with `ray start --head`, and run this "
                "command on a machine of the cluster"
            ) from error
        self._alive = self._nodes()
        self.resources = dict(choice.resources) or self._suitable()
        if self._engine.get("threads") == 0 and GPU not in self.resources:
            self._engine["threads"] = max(1, int(self.resources.get(CPU, 0)))

    @property
    def slots(self) -> int:
        """How many workers the machines that are there now have room for, but 1 at least."""
        nodes = self._nodes()
        for node in self._alive.keys() - nodes.keys():
            log.warning("the machine %s has left the cluster", self._alive[node]["address"])
        for node in nodes.keys() - self._alive.keys():
            log.info("the machine %s has joined the cluster", nodes[node]["address"])
        self._alive = nodes
        return max(1, self._room())

    def check_room(self) -> None:
        """Refuse what no machine of the cluster can run.

        Raises:
            ImpastoError: a worker takes more than each machine has.
        """
        if not self._room():
            machines = "; ".join(
                f"{node['address']} has {_shown(self._countable(node['resources'])) or 'nothing'}"
                for node in self._alive.values()
            )
            raise ImpastoError(
                f"no machine of the Ray cluster has room for a worker of {_shown(self.resources)}: {machines}; give "
                "other --resources, or add a machine"
            )

    def home(self, setup: Mapping[str, Any]) -> RayHome:
        """Return the home of a new worker.

        Args:
            setup: the body of the message `SETUP`.
        """
        given = {**setup, "engine": self._engine}
        return RayHome(self._actor_of(given), Path(setup["folder"]))

    def close(self) -> None:
        """Leave the cluster; its actors end."""
        self._ray.shutdown()

    def describe(self) -> str:
        """Return what a worker takes and how many there are."""
        count = len(self._alive)
        machines = f"{count} machine{'s' * (count != 1)}"
        return f"Ray cluster of {machines}, room for {self._room()} workers of {_shown(self.resources)}"

    def _actor_of(self, setup: Mapping[str, Any]) -> Callable[[], Any]:
        more = {name: value for name, value in self.resources.items() if name not in _BUILT_IN}
        options: dict[str, Any] = {
            "num_cpus": self.resources.get(CPU, 0),
            "num_gpus": self.resources.get(GPU, 0),
            "resources": more,
            "concurrency_groups": {"hear": 1, "say": 1},
            "max_restarts": 0,  # the supervisor makes a new one, after a pause that grows
            "max_task_retries": 0,
        }
        if "memory" in self.resources:
            options["memory"] = self.resources["memory"]
        actor = self._ray.remote(**options)(RayWorker)
        return lambda: actor.remote(dict(setup), VERSION)

    def _suitable(self) -> dict[str, float]:
        """Return a GPU where there are any and the provider may use it, else all cores of the smallest machine."""
        provider = str(self._engine.get("provider", "auto")).partition(":")[0].partition(",")[0]
        found = [node["resources"] for node in self._alive.values()]
        if provider in ("auto", "cuda", "tensorrt") and any(item.get(GPU, 0) >= 1 for item in found):
            return {GPU: 1.0}
        cores = [item[CPU] for item in found if item.get(CPU, 0) >= 1]
        return {CPU: min(cores, default=1.0)}

    def _room(self) -> int:
        """Return for how many workers the machines that were seen latest have room."""
        return sum(self._slots_of(node["resources"]) for node in self._alive.values())

    def _countable(self, resources: Mapping[str, float]) -> dict[str, float]:
        """Return the resources of a machine without its own name, and without memory that nobody asked for."""
        return {
            name: value
            for name, value in resources.items()
            if name in self.resources or not (name.startswith("node:") or name.endswith("memory"))
        }

    def _slots_of(self, resources: Mapping[str, float]) -> int:
        return min(math.floor(resources.get(name, 0) / value + 1e-9) for name, value in self.resources.items())

    def _nodes(self) -> dict[str, dict[str, Any]]:
        return {
            node["NodeID"]: {"resources": node["Resources"], "address": node["NodeManagerAddress"]}
            for node in self._ray.nodes()
            if node["Alive"]
        }


def _shown(resources: Mapping[str, float]) -> str:
    """Return resources as a person reads them."""
    return ", ".join(f"{value:g} {name}" for name, value in resources.items())
