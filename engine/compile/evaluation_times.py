"""The time of an iteration, as earlier runs on this machine took it."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

from impasto.engine.cache.store import key_of
from impasto.engine.cache.stores import EVALUATION_TIMES
from impasto.engine.compile.graph_spec import GraphSpec
from impasto.engine.compile.network import Network
from impasto.engine.runtime.providers import Provider

_LEAST_ITERATIONS = 5  # of a run: fewer say little
_MOST_SIZES = 16  # per entry


class EvaluationTimes:
    """Keeps the seconds per iteration of runs, and predicts those of runs that differ in their size.

    Args:
        network: the network of the runs.
        provider: evaluates them.
        threads: number of CPU threads; 0 is one per core.
    """

    def __init__(self, network: Network, provider: Provider, threads: int) -> None:
        known = (provider.name, provider.precision, provider.device_index, provider.operators)
        self._machine = (network.sha256, known, threads or os.cpu_count(), os.cpu_count())

    def remember(self, spec: GraphSpec, optimizer: str, iterations: int, seconds: float) -> None:
        """Keep the time of a run that was alone on the provider.

        Args:
            spec: specification of the run's graph.
            optimizer: as in `Settings`.
            iterations: of the run.
            seconds: of all its evaluations.
        """
        if spec.batch != 1 or iterations < _LEAST_ITERATIONS:
            return
        key, pixels = self._key(spec, optimizer), spec.height * spec.width
        times = {**(EVALUATION_TIMES.find(key, _read) or {}), pixels: seconds / iterations}
        nearest = sorted(times, key=lambda size: _distance(size, pixels))[:_MOST_SIZES]
        EVALUATION_TIMES.put_json(key, {str(size): times[size] for size in nearest})

    def expected_s(self, spec: GraphSpec, optimizer: str) -> float | None:
        """Return the seconds of an iteration; None if no run of this kind was timed on this machine.

        The time of the nearest size is scaled by the number of pixels.
        """
        times = EVALUATION_TIMES.find(self._key(spec, optimizer), _read)
        if not times:
            return None
        pixels = spec.height * spec.width
        nearest = min(times, key=lambda size: _distance(size, pixels))
        return times[nearest] * pixels / nearest

    def _key(self, spec: GraphSpec, optimizer: str) -> str:
        sizeless = replace(spec, height=0, width=0, batch=1)
        return key_of("seconds per iteration", self._machine, asdict(sizeless), optimizer)


def _distance(size: int, pixels: int) -> float:
    """Return how far apart two numbers of pixels are, as the larger one over the smaller one."""
    return max(size / pixels, pixels / size)


def _read(entry: Path) -> Mapping[int, float]:
    times = {int(size): float(seconds) for size, seconds in json.loads(entry.read_bytes()).items()}
    if not all(size > 0 and 0 < seconds < float("inf") for size, seconds in times.items()):
        raise ValueError("no times")
    return times
