"""How long jobs take: learnt from those that have ended."""

import threading
from collections.abc import Mapping
from typing import Any

_SMALLEST_PIXELS = 4096
_FIRST_GUESS_S = 2.5e-6
"""Seconds for an evaluation and a pixel before any job has ended: vgg19-slim on two cores."""

_WEIGHT = 0.3
_EVALUATIONS_PER_ITERATION = 1.1
_SETUP_S = 0.5


class Predictor:
    """Learns, by network, the seconds that an evaluation takes for each pixel of the result."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seconds: dict[str, float] = {}

    def learn(self, network: str, summary: Mapping[str, Any]) -> None:
        """Take over the summary of a job that has ended."""
        pixels, evaluations = summary["width"] * summary["height"], summary["evaluations"]
        if evaluations < 3 or summary["seconds"] <= 0:
            return
        found_s = (summary["seconds"] - summary["setup_s"]) / evaluations / max(pixels, _SMALLEST_PIXELS)
        with self._lock:
            known_s = self._seconds.get(network)
            self._seconds[network] = found_s if known_s is None else known_s + _WEIGHT * (found_s - known_s)

    def seconds_per_pixel(self, network: str) -> float:
        """Return the seconds that an evaluation takes for each pixel of the result."""
        with self._lock:
            return self._seconds.get(network, _FIRST_GUESS_S)

    def predict(self, network: str, pixels: int, settings: Mapping[str, Any], iterations_done: int = 0) -> float:
        """Return the seconds that a job will probably take."""
        iterations = max(settings["iterations"] - iterations_done, 0)
        evaluations = iterations * _EVALUATIONS_PER_ITERATION
        if settings.get("evaluations"):
            evaluations = min(evaluations, settings["evaluations"])
        seconds: float = _SETUP_S + evaluations * self.seconds_per_pixel(network) * max(pixels, _SMALLEST_PIXELS)
        return min(seconds, float(settings["timeout_s"])) if settings.get("timeout_s") else seconds
