"""The pipeline: two pictures and settings in, one picture out. The one place where the parts meet."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from impasto.engine.compile import memory
from impasto.engine.compile.compiler import Compiler
from impasto.engine.compile.network import load_network
from impasto.engine.device import placement
from impasto.engine.device.objective import Objective
from impasto.engine.events import OnEvent, PrecisionChanged
from impasto.engine.images import Picture, Source
from impasto.engine.inputs.pictures import (
    Painting,
    Style,
    as_pixels,
    as_vector,
    initial_image,
    read_pictures,
    read_scored,
    read_style,
)
from impasto.engine.inputs.saved_style import SavedStyle, check_style_output
from impasto.engine.jobs.descent import GREY_LEVEL
from impasto.engine.jobs.many import Finished, Job, OnJobEvent, transfers
from impasto.engine.jobs.one_run import Prepared, descend, prepare, started
from impasto.engine.jobs.plan import Plan
from impasto.engine.optimisers.outcome import Vector
from impasto.engine.result import Evaluation, Result
from impasto.engine.runtime import cpu_info, providers
from impasto.engine.settings import Settings
from impasto.models.checksum import sha256_of
from impasto.models.errors import ImpastoError
from impasto.models.version import VERSION

GPU_BATCH, LARGEST_BATCH = 4, 64


class Engine:
    """A network on a provider, ready for one transfer after another.

    A context manager. The compiled objective of the latest run is kept, so that another run of the same size, taps and
    pooling starts sooner. Not for use from several threads at the same time.

    Args:
        model: as `impasto.engine.compile.network.load_network` takes it.
        provider: "auto", a name that `impasto doctor` shows, with options as in "cuda:1,nhwc,memory=8000"; or one of
            one's own.
        precision: of the convolutions: "auto" (the fastest that keeps float32's range), or as
            `impasto.engine.runtime.precision.NAMES` says.
        threads: of the CPU; 0 is one per core.
        build_engines: TensorRT may build engines that its cache lacks, which takes minutes.
        loop: where L-BFGS runs: "host", "device" (in the memory of what evaluates), or "auto", which is the device on
            GPUs. There the host looks at the run only every few evaluations: `report_every`.
        report_every: evaluations between two looks at a loop on the device; None is 10 on GPUs, else 1. With 1 each
            event's snapshot is that very iteration's.
        checks_memory: runs that take more memory than is free are refused, with what would fit; False lets them try.

    Attributes:
        provider: in use.
        network: likewise.
        compiler: what makes its objectives.

    Raises:
        ImpastoError: no such network or provider, a precision that the provider does not have here, or a loop on the
            device of a provider that copies its inputs.
    """

    def __init__(
        self,
        model: str | Path = "auto",
        *,
        provider: str | providers.Provider = "auto",
        precision: str = "auto",
        threads: int = 0,
        build_engines: bool = False,
        loop: str = "auto",
        report_every: int | None = None,
        checks_memory: bool = True,
    ) -> None:
        cpu_info.check_threads(threads)
        if isinstance(provider, providers.Provider):
            self.provider = provider
        else:
            self.provider = providers.choose(provider, precision, build_engines=build_engines)
        self.network = load_network(model)
        self._threads = threads
        self._looping = placement.Looping(loop, report_every)
        self._looping.check(self.provider)
        self._checks_memory = checks_memory
        self.compiler = self._new_compiler()

    def transfer(
        self,
        content: Source | None,
        style: Style | None,
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
            style: likewise; or the path of a saved style (.safetensors), or one itself; or None where the style_weight
                is 0.
            settings: what to do; None is the defaults.
            start: what to start from in place of ``settings.init``, such as the picture of an earlier result.
            on_event: called with `Started`, then with every `Iteration`, and with `PrecisionChanged` where a value was
                not finite; the engine then stays with the safer precision.
            cancel: asked before every evaluation; True ends the run with what there is.

        Raises:
            ImpastoError: an image cannot be read or is too small, the network lacks a tap, or the objective is not
                finite at the start.
        """
        tell = on_event or _ignore
        prepared = prepare(content, style, settings or Settings(), start)
        objective, conversion = self._objective(prepared)
        tell(started(prepared, self.network.name, self.provider, conversion))

        return descend(
            prepared,
            objective,
            self.provider.numbers.loss_noise,
            tell=tell,
            cancel=cancel,
            safer=lambda iteration: self.safer(prepared, self.provider, iteration, tell),
            provenance=self.provenance,
        )

    def plan(self, content: Source | None, style: Style | None, settings: Settings | None = None) -> Plan:
        """Say what `transfer` would do, and what memory it would take; nothing is computed.

        Args:
            content: as for `transfer`.
            style: likewise.
            settings: likewise.

        Raises:
            ImpastoError: an image cannot be read or is too small, or the network lacks a tap.
        """
        settings = settings or Settings()
        scene, painting = read_pictures(content, style, settings)
        needed = self.compiler.memory(self.compiler.form(settings, scene), settings, painting)
        free = self.compiler.free_memory()
        return Plan(scene, painting, self.network.name, self.provider, settings, needed, free)

    def transfer_many(
        self,
        jobs: Iterable[Job],
        *,
        batch: int | None = None,
        on_event: OnJobEvent | None = None,
        cancel: Callable[[], bool] | None = None,
    ) -> Iterator[Finished]:
        """Run many transfers, several of one size in each evaluation, and yield each as soon as it has finished.

        Every job keeps its own targets, weights, seed, budget and stopping, and its result is that of a single run
        within the precision's rounding. A job that ends makes room for the next of its form (size, taps, pooling,
        seamlessness, with or without total variation); those of other forms have their turn afterwards. So have, with
        the loop on the device, those whose L-BFGS works in another way (history, bounds, initial inverse). A job that
        fails does not disturb the others; one whose values are not finite waits for those of its form, and goes on
        alone in a safer precision.

        Args:
            jobs: taken as they are needed, `impasto.engine.jobs.many.LOOK_AHEAD` ahead at most.
            batch: jobs per evaluation at most; None is 1 on processors, which gain nothing from more, and `GPU_BATCH`
                elsewhere, or as many as fit into its memory. All places cost the same, whether they are taken or not.
            on_event: called with a job's number from 0, the job, and what `transfer` would tell of it.
            cancel: asked before every evaluation, or every look at a loop on the device; True ends those that run with
                what there is, and begins no other.

        Raises:
            ImpastoError: the batch is out of range.
        """
        self.places(batch)
        return transfers(self, jobs, batch, on_event or _ignore, cancel or _never)

    def places(self, batch: int | None = None) -> int:
        """Return how many jobs `transfer_many` puts into an evaluation at most.

        Args:
            batch: as for `transfer_many`.

        Raises:
            ImpastoError: it is out of range.
        """
        if batch is None:
            batch = 1 if self.provider.device == "cpu" else GPU_BATCH
        if not 1 <= batch <= LARGEST_BATCH:
            raise ImpastoError(f"bad batch {batch}: allowed are 1 to {LARGEST_BATCH} jobs per evaluation")
        return batch

    def evaluate(
        self, image: Source, content: Source | None, style: Style | None, settings: Settings | None = None
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
        objective, _ = self.compiler.objective(settings, scene, painting)
        loss, gradient = objective(as_vector(scored.pixels))
        per_pixel = as_pixels(gradient, scene.height, scene.width) * GREY_LEVEL
        return Evaluation(loss, objective.terms_of(loss), per_pixel, objective.seconds)

    def objective(
        self, content: Source | None, style: Style | None, settings: Settings | None = None
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
        objective, _ = self.compiler.objective(settings, scene, painting)
        return objective, initial_image(settings, scene, painting)

    def save_style(self, style: Source, output: str | Path, settings: Settings | None = None) -> SavedStyle:
        """Keep what runs need of a style image in a file that can be given in its place, with the same result.

        `plan_style` says what memory that takes.

        Args:
            style: the image.
            output: .safetensors.
            settings: of these, style taps, pooling, seamlessness, and the long side: style_size, or else size.

        Returns:
            The same as the file holds.

        Raises:
            ImpastoError: the image cannot be read or is too small, the network lacks a tap, or the file cannot be
                written.
        """
        settings = settings or Settings()
        check_style_output(output)
        painting = read_style(style, settings)
        digest = sha256_of(Path(style)) if isinstance(style, str | os.PathLike) else None
        saved = self.compiler.saved_style(settings, painting, digest)
        saved.save(output)
        return saved

    def plan_style(self, style: Source, settings: Settings | None = None) -> tuple[Picture, memory.MemoryEstimate]:
        """Return the image that `save_style` would take, at its size, and the memory; nothing is computed.

        Args:
            style: as for `save_style`.
            settings: likewise.

        Raises:
            ImpastoError: the image cannot be read or is too small, or the network lacks a tap.
        """
        settings = settings or Settings()
        painting = read_style(style, settings)
        return painting, self.compiler.style_memory(settings, painting)

    def close(self) -> None:
        """Give the sessions' memory back."""
        self.compiler.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _objective(self, prepared: Prepared) -> tuple[Objective, str]:
        return self.compiler.objective(prepared.settings, prepared.scene, prepared.painting)

    def safer(
        self, prepared: Prepared, used: providers.Provider, iteration: int, tell: OnEvent
    ) -> tuple[Objective, float] | None:
        """Return a run's objective in a safer precision and its loss noise; None where there is no safer one.

        The engine stays with that precision.

        Args:
            prepared: the run.
            used: by the run so far; where the engine has left that since, the run follows it.
            iteration: of the last good image.
            tell: called with `PrecisionChanged`.

        Raises:
            ImpastoError: as `transfer`.
        """
        if self.provider == used and not self._make_safer():
            return None
        tell(PrecisionChanged(used.precision, self.provider.precision, iteration))
        return self._objective(prepared)[0], self.provider.numbers.loss_noise

    def _make_safer(self) -> bool:
        """Go over to the next safer precision that the provider has; return whether there is one."""
        safer = providers.safer(self.provider)
        if safer is None:
            return False
        self.compiler.close()
        self.provider = safer
        self.compiler = self._new_compiler(after=self.compiler.precisions)
        return True

    def _new_compiler(self, after: Sequence[str] = ()) -> Compiler:
        return Compiler(
            self.network,
            self.provider,
            self._threads,
            after=after,
            looping=self._looping,
            checks_memory=self._checks_memory,
        )

    def provenance(self, scene: Picture, painting: Painting) -> dict[str, Any]:
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


def _ignore(*_: object) -> None:
    """Take no notice of an event."""


def _never() -> bool:
    """Go on."""
    return False
