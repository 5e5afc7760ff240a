"""The pipeline: two pictures and settings in, one picture out. The one place where the parts meet."""

import os
import time
from collections.abc import Callable, Mapping
from functools import partial
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from impasto.engine import providers
from impasto.engine.compiler import Compiler
from impasto.engine.descent import GREY_LEVEL, Descent
from impasto.engine.events import Iteration, OnEvent, PrecisionChanged, Started
from impasto.engine.images import Picture, Source
from impasto.engine.network import load_network
from impasto.engine.objective import Objective
from impasto.engine.outcome import Vector
from impasto.engine.preparation import as_pixels, as_vector, initial_image, read_pictures, read_scored
from impasto.engine.result import Evaluation, Result
from impasto.engine.settings import Settings
from impasto.models.errors import ImpastoError
from impasto.models.version import VERSION

THREADS_PER_CORE = 8  # the runtime starts as many as it is told, and they all wait for the few that have a core


class Engine:
    """A network on a provider, ready for one transfer after another.

    A context manager. The compiled objective of the latest run is kept, so that another run of the same size, taps and
    pooling starts sooner. Not for use from several threads at the same time.

    Args:
        model: as `impasto.engine.network.load_network` takes it.
        provider: "auto", a name that `impasto doctor` shows, or a provider with options of its own.
        precision: of the convolutions: "auto" (the fastest that keeps float32's range), or as
            `impasto.engine.precision.NAMES` says.
        threads: of the CPU; 0 is one per core.
        build_engines: TensorRT may build engines that its cache lacks, which takes minutes.

    Raises:
        ImpastoError: no such network or provider, or a precision that the provider does not have here.
    """

    def __init__(
        self,
        model: str | Path = "auto",
        *,
        provider: str | providers.Provider = "auto",
        precision: str = "auto",
        threads: int = 0,
        build_engines: bool = False,
    ) -> None:
        most = THREADS_PER_CORE * (os.cpu_count() or 1)
        if not 0 <= threads <= most:
            raise ImpastoError(f"bad threads {threads}: allowed on this machine are 0 (one per core) to {most}")
        if isinstance(provider, providers.Provider):
            self.provider = provider
        else:
            self.provider = providers.choose(provider, precision, build_engines=build_engines)
        self.network = load_network(model)
        self._threads = threads
        self._compiler = Compiler(self.network, self.provider, threads)

    def transfer(
        self,
        content: Source | None,
        style: Source | None,
        settings: Settings | None = None,
        *,
        start: Picture | None = None,
        on_event: OnEvent | None = None,
        cancel: Callable[[], bool] | None = None,
    ) -> Result:
        """Paint a content image in the style of another; or reconstruct one of them from its features alone.

        With a style_weight of 0 only content terms are left, with a content_weight of 0 only style terms: the graph
        holds no others and ends at the deepest tap in use (`impasto.engine.reconstruction` has such settings).

        Args:
            content: a path, a PIL image or an array, as `impasto.engine.images.read_image` takes them; or None where
                the content_weight is 0.
            style: likewise; or None where the style_weight is 0.
            settings: what to do; None is the defaults.
            start: what to start from in place of ``settings.init``, such as the picture of an earlier result.
            on_event: called with `Started`, then with every `Iteration`, and with `PrecisionChanged` where a value was
                not finite; the engine then stays with the safer precision.
            cancel: asked before every evaluation; True ends the run with what there is.

        Raises:
            ImpastoError: an image cannot be read or is too small, the network lacks a tap, or the objective is not
                finite at the start.
        """
        called_s = time.perf_counter()
        settings = settings or Settings()
        tell = on_event or _ignore
        scene, painting = read_pictures(content, style, settings)
        x = initial_image(settings, scene, painting, start)
        objective, weights = self._compiler.objective(settings, scene, painting)
        setup_s = time.perf_counter() - called_s
        tell(
            Started(
                height=scene.height,
                width=scene.width,
                model=self.network.name,
                provider=self.provider.name,
                precision=self.provider.precision,
                conversion=weights,
                setup_s=setup_s,
            )
        )

        def safer(iteration: int) -> tuple[Objective, float] | None:
            before = self.provider
            if not self._make_safer():
                return None
            tell(PrecisionChanged(before.precision, self.provider.precision, iteration))
            return self._compiler.objective(settings, scene, painting)[0], self.provider.numbers.loss_noise

        loss_noise = self.provider.numbers.loss_noise
        run = Descent(objective, loss_noise, x, settings, cancel=cancel, safer=safer)
        initial_terms: Mapping[str, float] = {}
        for step in run:
            if not step.iteration:
                initial_terms = run.terms
            else:
                snapshot = partial(as_pixels, step.x, scene.height, scene.width)
                seconds = time.perf_counter() - called_s
                tell(Iteration(step.iteration, step.evaluations, step.loss, run.terms, seconds, snapshot))
        seconds = time.perf_counter() - called_s
        outcome = run.outcome
        if run.last is None or outcome is None:
            raise ImpastoError(f"the run could not start: {outcome.message if outcome else 'it was left'}")
        return Result(
            picture=Picture(as_pixels(run.last.x, scene.height, scene.width), scene.alpha, scene.name),
            loss=run.last.loss,
            terms=run.terms,
            initial_terms=initial_terms,
            iterations=run.last.iteration,
            evaluations=run.evaluations,
            outcome=outcome.value,
            message=outcome.message,
            seconds=seconds,
            setup_s=setup_s,
            evaluations_s=run.evaluations_s,
            settings=settings,
            provenance=self._provenance(scene, painting),
        )

    def evaluate(
        self, image: Source, content: Source | None, style: Source | None, settings: Settings | None = None
    ) -> Evaluation:
        """Score an image under the objective, and return the gradient as well.

        Args:
            image: what to score; a `.npy` file is H x W x 3, 0..255.
            content: the content image.
            style: the style image.
            settings: of these, size, weights, taps and pooling; size 0 takes all three images as they are.

        Raises:
            ImpastoError: as `transfer`; or the image and the content differ in size when they are taken as they are.
        """
        settings = settings or Settings()
        scene, painting = read_pictures(content, style, settings)
        scored = read_scored(image, scene, settings)
        objective, _ = self._compiler.objective(settings, scene, painting)
        loss, gradient = objective(as_vector(scored.pixels))
        per_pixel = as_pixels(gradient, scene.height, scene.width) * GREY_LEVEL
        return Evaluation(loss, objective.terms_of(loss), per_pixel, objective.seconds)

    def objective(
        self, content: Source | None, style: Source | None, settings: Settings | None = None
    ) -> tuple[Objective, Vector]:
        """Return the function that `transfer` minimises and the image that it starts from, for other optimisers.

        The function belongs to the engine: it is valid until the next call of any of these methods.

        Args:
            content: as for `transfer`.
            style: likewise.
            settings: likewise.

        Returns:
            A function from a flat float32 vector (planes of R, G and B, 0..1) to loss and gradient, and such a vector.

        Raises:
            ImpastoError: as `transfer`.
        """
        settings = settings or Settings()
        scene, painting = read_pictures(content, style, settings)
        objective, _ = self._compiler.objective(settings, scene, painting)
        return objective, initial_image(settings, scene, painting)

    def close(self) -> None:
        """Give the sessions' memory back."""
        self._compiler.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _make_safer(self) -> bool:
        """Go over to the next safer precision that the provider has; return whether there is one."""
        safer = providers.safer(self.provider)
        if safer is None:
            return False
        self._compiler.close()
        self.provider = safer
        self._compiler = Compiler(self.network, safer, self._threads)
        return True

    def _provenance(self, scene: Picture, painting: Picture) -> dict[str, Any]:
        """Return what a result says of its origin: nothing of time or place, so that equal runs give equal files."""
        return {
            "impasto": VERSION,
            "model": self.network.name,
            "model_sha256": self.network.sha256,
            "content": scene.name or None,
            "style": painting.name or None,
            "provider": self.provider.name,
            "precision": self.provider.precision,
            "versions": {"onnxruntime": self.provider.runtime_version(), "numpy": metadata.version("numpy")},
        }


def _ignore(event: object) -> None:
    """Take no notice of an event."""
