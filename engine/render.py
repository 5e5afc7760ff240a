"""The pipeline: two pictures and settings in, one picture out. The one place where the parts meet."""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from impasto.engine import images, providers
from impasto.engine.events import Iteration, OnEvent, Started
from impasto.engine.images import Picture, Source
from impasto.engine.network import load_network
from impasto.engine.objective import Objective
from impasto.engine.optimize import Outcome, minimise
from impasto.engine.result import Evaluation, Result
from impasto.engine.session import Session
from impasto.engine.settings import Settings, Tap
from impasto.export.objective import Term, build_objective, build_targets
from impasto.export.tap_graph import SMALLEST_SIDE_PX, find_tap
from impasto.export.weightings import coefficients, conversion
from impasto.models.errors import ImpastoError

NOISE_MEAN, NOISE_DEVIATION = 0.45, 58.0 / 255.0  # of photographs: ImageNet's mean and standard deviation


@dataclass(frozen=True)
class _Plan:
    """What decides an objective session: nothing else makes it another graph."""

    height: int
    width: int
    content_taps: tuple[str, ...]
    style_taps: tuple[str, ...]
    tv: bool
    pool: str


@dataclass(frozen=True)
class _Compiled:
    """An objective session and the terms of its graph."""

    plan: _Plan
    session: Session
    terms: tuple[Term, ...]


class Engine:
    """A network on a provider, ready for one transfer after another.

    A context manager. The compiled objective of the last size is kept, so that a second run of the same form starts
    at once. Not for use from several threads at the same time.

    Args:
        model: as in `impasto.engine.network.load_network`.
        provider: "auto" or a name that `impasto doctor` shows.
        threads: of the CPU; 0 is one per core.

    Raises:
        ImpastoError: no such network or provider.
    """

    def __init__(self, model: str | Path = "auto", *, provider: str = "auto", threads: int = 0) -> None:
        if threads < 0:
            raise ImpastoError(f"bad threads {threads}: allowed are 0 (one per core) or more")
        self.provider = providers.choose(provider)
        self.network = load_network(model)
        self._threads = threads
        self._compiled: _Compiled | None = None

    def transfer(
        self,
        content: Source,
        style: Source,
        settings: Settings | None = None,
        *,
        on_event: OnEvent | None = None,
        cancel: Callable[[], bool] | None = None,
    ) -> Result:
        """Paint a content image in the style of another.

        Args:
            content: path, PIL image, or array: H x W x 3 (or 4, or H x W), uint8 or floats in 0..1.
            style: likewise.
            settings: what to do; None is the defaults.
            on_event: called with `Started` and then with every `Iteration`.
            cancel: asked after every evaluation; True ends the run with what there is.

        Raises:
            ImpastoError: an image cannot be read or is too small, or the network lacks a tap.
        """
        settings = settings or Settings()
        start = time.perf_counter()
        scene = _read(content, "content")
        painting = _read(style, "style")
        size = images.fit_long_side(*scene.pixels.shape[:2], settings.size)
        scene = scene.resized(*size)
        first = self._first_image(settings, scene, painting)
        compiled, objective, factors = self._objective(settings, scene, painting)
        setup_s = time.perf_counter() - start
        if on_event:
            on_event(self._started(compiled, factors, setup_s))
        ...

    def evaluate(
        self, image: Source, content: Source, style: Source, settings: Settings | None = None
    ) -> Evaluation:
        """Score an image under the objective, and return the gradient as well.

        Args:
            image: what to score; `.npy` files are H x W x 3, 0..255.
            content: the content image.
            style: the style image.
            settings: only size, weights, taps and pooling matter; size 0 takes all three as they are.

        Raises:
            ImpastoError: as `transfer`; or image and content differ in size when none is asked for.
        """
        ...
