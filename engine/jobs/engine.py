"""The public engine. It takes two pictures and settings, and returns one picture."""

import dataclasses
import os
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from impasto.engine.compile.memory import MemoryEstimate
from impasto.engine.compile.network import Network, load_network
from impasto.engine.compile.objective import Objective
from impasto.engine.compile.optimiser_settings import GREY_LEVEL
from impasto.engine.device.placement import LoopPlacement
from impasto.engine.events import Event, OnEvent
from impasto.engine.images import Picture, Source
from impasto.engine.inputs.pictures import (
    Style,
    as_pixels,
    as_vector,
    initial_image,
    read_pictures,
    read_scored,
    read_style,
)
from impasto.engine.inputs.run_state import RunState, check_only_limits_differ
from impasto.engine.inputs.saved_style import SavedStyle, check_style_output
from impasto.engine.jobs.handle import Following, Handle
from impasto.engine.jobs.job import Finished, Job, check_job
from impasto.engine.jobs.plan import Plan, plan_jobs
from impasto.engine.jobs.scheduler import Scheduler
from impasto.engine.jobs.stream import OnJobEvent, stream
from impasto.engine.jobs.workshop import Workshop
from impasto.engine.optimisers.solution import Score, Vector
from impasto.engine.result import Evaluation, Result
from impasto.engine.runtime import cpu_info, providers
from impasto.engine.settings import Settings
from impasto.models.checksum import sha256_of
from impasto.models.errors import ImpastoError

GPU_BATCH, LARGEST_BATCH = 4, 64


class Engine:
    """A network on a provider. It runs transfers, one after another or many at the same time.

    The engine is a context manager. `submit`, `transfer`, `transfer_many` and `resume` may be called from several
    threads. One thread of the engine evaluates all jobs. The engine keeps the compiled objective of the latest run, so
    another run of the same size, taps and pooling starts sooner.

    Args:
        model: as `impasto.engine.compile.network.load_network` takes it.
        provider: "auto"; a name that `impasto doctor` shows, with options as in "cuda:1,nhwc,memory=8000"; or a
            `Provider`.
        precision: of the convolutions: "auto" (the fastest that keeps float32's range), or a name in
            `impasto.engine.runtime.precision.NAMES`.
        threads: number of CPU threads; 0 is one per core.
        build_engines: whether TensorRT may build engines that its cache lacks, which takes minutes.
        loop: where L-BFGS runs: "host", "device" (in the provider's memory), or "auto", which is the device on GPUs
            and the host elsewhere. From a loop on the device, the host reads the progress only every `report_every`
            evaluations.
        report_every: number of evaluations after which the host reads the progress of a loop on the device; None is 10
            on GPUs, otherwise 1. With 1, the snapshot of an event is always the image of that iteration.
        concurrency: maximum number of single jobs or batches that run at the same time, 1 or more; they take turns,
            evaluation by evaluation.
        checks_memory: whether the engine refuses runs that need more memory than is free. The message of such a
            refusal names a size that would fit.

    Attributes:
        provider: the provider in use; it changes when the engine changes to a safer precision.
        network: the network in use.

    Raises:
        ImpastoError: the network or provider does not exist, the provider does not have the precision on this machine,
            a loop on the device was requested on a provider that copies its inputs, or the concurrency is out of range.
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
        concurrency: int = 4,
        checks_memory: bool = True,
    ) -> None:
        cpu_info.check_threads(threads)
        if concurrency < 1:
            raise ImpastoError(f"bad concurrency {concurrency}: allowed are whole numbers of 1 or more")
        if not isinstance(provider, providers.Provider):
            provider = providers.choose(provider, precision, build_engines=build_engines)
        network = load_network(model)
        placement = LoopPlacement(loop, report_every)
        placement.check(provider)
        self._workshop = Workshop(network, provider, threads, placement, checks_memory=checks_memory)
        self._scheduler = Scheduler(self._workshop, concurrency)
        self._threads_in_callbacks: set[int] = set()

    @property
    def provider(self) -> providers.Provider:
        """The provider in use; it changes when the engine changes to a safer precision."""
        return self._workshop.provider

    @property
    def network(self) -> Network:
        """The network in use."""
        return self._workshop.network

    def transfer(
        self,
        content: Source | None,
        style: Style | None,
        settings: Settings | None = None,
        *,
        start: Picture | None = None,
        on_event: OnEvent | None = None,
        cancel: Callable[[], bool] | None = None,
        keep_state: bool = False,
    ) -> Result:
        """Paint a content image in the style of another image, or reconstruct one of the two from its features.

        With a style_weight of 0 only content terms are left; with a content_weight of 0 only style terms are left. The
        graph then holds only those terms and ends at the deepest tap in use. `impasto.engine.jobs.reconstruction` has
        such settings.

        Args:
            content: a path, a PIL image or an array, as `impasto.engine.images.read_image` takes them; None is allowed
                if the content_weight is 0.
            style: an image as for `content`, the path of a saved style (.safetensors), or a `SavedStyle`; None is
                allowed if the style_weight is 0.
            settings: the settings of the transfer; None is the defaults.
            start: the image to start from in place of ``settings.init``, such as the picture of an earlier result.
            on_event: called in this thread with `Started`, then with every `Iteration`. If a value was not finite, it
                is called with `PrecisionChanged`, and the engine keeps the safer precision. The run waits until the
                function returns; other jobs do not.
            cancel: called before every evaluation; True ends the run with the latest image.
            keep_state: whether the result holds the final state, for `resume`; it takes the optimiser's memory.

        Raises:
            ImpastoError: an image cannot be read or is too small, the network lacks a tap, or the loss is not finite at
                the start.
        """
        job = Job(content, style, settings or Settings(), start, keep_state=keep_state)
        return self._finish(self._events(job, cancel, wanted=on_event is not None), on_event)

    def steps(
        self,
        content: Source | None,
        style: Style | None,
        settings: Settings | None = None,
        *,
        start: Picture | None = None,
        cancel: Callable[[], bool] | None = None,
        keep_state: bool = False,
    ) -> Generator[Event, None, Result]:
        """Run a transfer as a generator. After each event the run waits until the caller requests the next one.

        Closing the generator cancels the run.

        Args:
            content: as for `transfer`.
            style: as for `transfer`.
            settings: as for `transfer`.
            start: as for `transfer`.
            cancel: as for `transfer`.
            keep_state: as for `transfer`.

        Yields:
            The events that `transfer` passes to `on_event`.

        Returns:
            The result.

        Raises:
            ImpastoError: as for `transfer`.
        """
        return self._events(Job(content, style, settings or Settings(), start, keep_state=keep_state), cancel)

    def resume(
        self,
        state: RunState,
        settings: Settings | None = None,
        *,
        on_event: OnEvent | None = None,
        cancel: Callable[[], bool] | None = None,
        keep_state: bool = False,
    ) -> Result:
        """Continue a run from a saved state, on this or another machine.

        Args:
            state: from `Iteration.state`, `Result.state`, `Handle.run_state` or a checkpoint file.
            settings: the settings of the run; only the limits may differ, and they count from the start of the run.
                None is the same settings.
            on_event: as for `transfer`; iterations, evaluations and seconds count from the start of the run.
            cancel: as for `transfer`.
            keep_state: as for `transfer`.

        Raises:
            ImpastoError: the state belongs to another network or is damaged, the settings differ in more than the
                limits, or as for `transfer`.
        """
        job = dataclasses.replace(self.continued(state, settings), keep_state=keep_state)
        return self._finish(self._events(job, cancel, wanted=on_event is not None), on_event)

    def continued(self, state: RunState, settings: Settings | None = None) -> Job:
        """Return the job that continues a run; see `resume`.

        Raises:
            ImpastoError: the state belongs to another network, or the settings differ in more than the limits.
        """
        check_only_limits_differ(state.settings, settings or state.settings)
        if state.model_sha256 != self.network.sha256:
            raise ImpastoError(
                f"this run is on network {state.model} ({state.model_sha256[:8]}), and the engine has "
                f"{self.network.name} ({self.network.sha256[:8]}); open it with the same network"
            )
        return Job(None, None, settings or state.settings, state=state)

    def submit(self, job: Job, *, batch: int | None = None, cancel: Callable[[], bool] | None = None) -> Handle:
        """Add a job to the queue and return at once. The job runs as soon as there is room.

        Args:
            job: the job to run.
            batch: maximum number of jobs per evaluation, as for `transfer_many`. A batch that starts with one job
                grows to 2, 4, 8 ... places while other jobs arrive. An evaluation costs the same whether its places
                are in use or not, so growth keeps at least half of them in use. A batch grows only if one of its jobs
                has more than 20 iterations left, because a larger session has to be compiled.
            cancel: called before every evaluation; True cancels the job.

        Raises:
            ImpastoError: the batch is out of range.
        """
        most = self._places(batch)
        check_job(job)
        handle = Handle(job, cancelled=cancel)
        self._scheduler.submit([handle], most, batch_is_given=batch is not None)
        return handle

    def transfer_many(
        self,
        jobs: Iterable[Job],
        *,
        batch: int | None = None,
        on_event: OnJobEvent | None = None,
        cancel: Callable[[], bool] | None = None,
    ) -> Iterator[Finished]:
        """Run many transfers, several of one size in each evaluation, and yield each as soon as it has ended.

        Every job keeps its own targets, weights, seed and limits. Its result equals that of a single run within the
        rounding of the precision. When a job ends, the next job that can share evaluations with the running jobs takes
        its place. Such a job has the same size, taps, pooling and seamlessness, and has a total variation term if the
        others have one. With the loop on the device it also has the same history, bounds and initial inverse. The
        remaining jobs run afterwards. A failing job does not affect the others. A job whose values are not finite waits
        until the other running jobs have ended, and continues in a safer precision.

        Args:
            jobs: a thread of its own reads the iterable as jobs are needed, at most
                `impasto.engine.jobs.queue.LOOK_AHEAD` ahead. Running jobs continue while the iterable waits.
            batch: maximum number of jobs per evaluation. None is 1 on CPUs, where larger batches are not faster, and on
                GPUs `GPU_BATCH` or as many as fit into memory. An evaluation costs the same whether its places are in
                use or not.
            on_event: called in the iterating thread with the job's number from 0, the job, and an event as for
                `transfer`. The engine waits until the function returns. The engine does not wait while the iterating
                thread processes a result. That thread receives the events of that time when it requests the next
                result, and their snapshots are of the latest image.
            cancel: called before every evaluation; with a loop on the device, every `report_every` evaluations. True
                ends the running jobs with their latest images, and no other job begins.

        Raises:
            ImpastoError: the batch is out of range.
        """
        most = self._places(batch)
        self._check_not_in_callback()
        told = None if on_event is None else self._guarded(on_event)
        return stream(
            self._scheduler,
            jobs,
            most=most,
            batch_is_given=batch is not None,
            on_event=told,
            cancel=cancel or _never,
        )

    def plan(self, content: Source | None, style: Style | None, settings: Settings | None = None) -> Plan:
        """Return the plan of a transfer and an estimate of its memory, without running it.

        Args:
            content: as for `transfer`.
            style: as for `transfer`.
            settings: as for `transfer`.

        Raises:
            ImpastoError: an image cannot be read or is too small, the network lacks a tap, or jobs are running.
        """
        (found,) = self.plan_many([Job(content, style, settings or Settings())])
        if isinstance(found, ImpastoError):
            raise found
        return found

    def plan_many(self, jobs: Sequence[Job], *, batch: int | None = None) -> list[Plan | ImpastoError]:
        """Return the plan of each job of a `transfer_many`, or the error that keeps the job from starting.

        Args:
            jobs: in order.
            batch: as for `transfer_many`.

        Raises:
            ImpastoError: the batch is out of range, or jobs are running.
        """
        most = self._places(batch)
        with self._exclusive() as workshop:
            return plan_jobs(workshop, jobs, most, batch_is_given=batch is not None)

    def check(self, content: Source | None, style: Style | None, settings: Settings | None = None) -> None:
        """Check the arguments of a transfer as `transfer` does before it computes.

        Args:
            content: as for `transfer`.
            style: as for `transfer`.
            settings: as for `transfer`.

        Raises:
            ImpastoError: an image cannot be read or is too small, the network lacks a tap, the run does not fit into
                memory, or jobs are running.
        """
        settings = settings or Settings()
        scene, painting = read_pictures(content, style, settings)
        with self._exclusive() as workshop:
            workshop.compiler.check_memory(workshop.compiler.spec(settings, scene), settings, painting)

    def warm_up(
        self, content: Source | None, style: Style | None, settings: Settings | None = None, *, batch: int = 1
    ) -> Score:
        """Compile the graphs for runs of this size, and evaluate the content image once.

        Args:
            content: as for `transfer`.
            style: as for `transfer`.
            settings: as for `transfer`.
            batch: jobs in one evaluation.

        Raises:
            ImpastoError: as for `transfer`, the batch is out of range, or jobs are running.
        """
        settings = settings or Settings()
        scene, painting = read_pictures(content, style, settings)
        with self._exclusive() as workshop:
            compiler = workshop.compiler
            spec = dataclasses.replace(compiler.spec(settings, scene), batch=self._places(batch))
            evaluator = compiler.open(spec)
            compiler.load(evaluator, 0, settings, compiler.targets(settings, scene, painting))
            score = evaluator({0: as_vector(scene.pixels)})[0]
            compiler.put_back(spec, evaluator)
            return score

    def evaluate(
        self, image: Source, content: Source | None, style: Style | None, settings: Settings | None = None
    ) -> Evaluation:
        """Compute the loss of an image and its gradient.

        Args:
            image: the image to evaluate; a `.npy` file is H x W x 3, 0..255.
            content: the content image.
            style: the style image.
            settings: size, weights, taps and pooling are used; size 0 keeps the sizes of all three images.

        Raises:
            ImpastoError: as for `transfer`; with size 0, the image and the content image differ in size; or jobs are
                running.
        """
        settings = settings or Settings()
        scene, painting = read_pictures(content, style, settings)
        scored = read_scored(image, scene, settings)
        with self._exclusive() as workshop:
            objective = workshop.compiler.objective(settings, scene, painting)
            score = objective(as_vector(scored.pixels))
            per_pixel = as_pixels(score.gradient, scene.height, scene.width) * GREY_LEVEL
            return Evaluation(score.loss, score.terms, per_pixel, objective.seconds)

    def objective(
        self, content: Source | None, style: Style | None, settings: Settings | None = None
    ) -> tuple[Objective, Vector]:
        """Return the function that `transfer` minimises and its start image, for use with other optimisers.

        The function belongs to the engine. It is valid until the next call of a method of the engine.

        Args:
            content: as for `transfer`.
            style: as for `transfer`.
            settings: as for `transfer`.

        Returns:
            The function, from a flat float32 vector (planes of R, G and B, 0..1) to its `Score`; and the start image as
            such a vector.

        Raises:
            ImpastoError: as for `transfer`, or jobs are running.
        """
        settings = settings or Settings()
        scene, painting = read_pictures(content, style, settings)
        with self._exclusive() as workshop:
            objective = workshop.compiler.objective(settings, scene, painting)
        return objective, initial_image(settings, scene, painting)

    def save_style(self, style: Source, output: str | Path, settings: Settings | None = None) -> SavedStyle:
        """Save the targets of a style image to a file. Runs take the file in place of the image, with the same result.

        `plan_style` estimates the memory that this takes.

        Args:
            style: the style image.
            output: path of the file, .safetensors.
            settings: style taps, pooling and seamlessness are used; so is style_size, or size if style_size is None.

        Returns:
            The saved style, as it is in the file.

        Raises:
            ImpastoError: the image cannot be read or is too small, the network lacks a tap, the file cannot be
                written, or jobs are running.
        """
        settings = settings or Settings()
        check_style_output(output)
        painting = read_style(style, settings)
        digest = sha256_of(Path(style)) if isinstance(style, str | os.PathLike) else None
        with self._exclusive() as workshop:
            saved = workshop.compiler.saved_style(settings, painting, digest)
        saved.save(output)
        return saved

    def plan_style(self, style: Source, settings: Settings | None = None) -> tuple[Picture, MemoryEstimate]:
        """Return the style image at the size that `save_style` uses, and an estimate of the memory that it takes.

        Args:
            style: as for `save_style`.
            settings: as for `save_style`.

        Raises:
            ImpastoError: the image cannot be read or is too small, the network lacks a tap, or jobs are running.
        """
        settings = settings or Settings()
        painting = read_style(style, settings)
        with self._exclusive() as workshop:
            compiler = workshop.compiler
            return painting, compiler.memory.of_style(compiler.style_spec(settings, painting))

    def close(self) -> None:
        """Cancel the jobs that have not ended, and free the memory of the sessions.

        Raises:
            ImpastoError: the method is called from `on_event`.
        """
        self._check_not_in_callback()
        self._scheduler.stop()
        with self._exclusive() as workshop:
            workshop.compiler.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _events(
        self, job: Job, cancel: Callable[[], bool] | None, *, wanted: bool = True
    ) -> Generator[Event, None, Result]:
        """Submit a job, yield its events if they are wanted, and return its result.

        The job waits while an event is handled; other jobs do not.
        """
        self._check_not_in_callback()
        following = Following(events=wanted, changed=self._scheduler.wake)
        handle = Handle(job, cancelled=cancel, listener=following)
        self._scheduler.submit([handle], self._places(None), batch_is_given=False)
        try:
            while (event := following.next()[1]) is not None:
                yield event
                following.handled()
        finally:
            following.leave()
            handle.cancel()
            self._scheduler.wait_for_end_of([handle])
        return handle.result()

    def _finish(self, events: Generator[Event, None, Result], on_event: OnEvent | None) -> Result:
        """Pass each event to `on_event`, and return the result."""
        with closing(events):
            while True:
                try:
                    event = next(events)
                except StopIteration as end:
                    result: Result = end.value
                    return result
                if on_event is not None:
                    with self._in_callback():
                        on_event(event)

    def _places(self, batch: int | None) -> int:
        """Return the maximum number of jobs that share an evaluation.

        Raises:
            ImpastoError: the batch is out of range.
        """
        if batch is None:
            batch = 1 if self.provider.on_host else GPU_BATCH
        if not 1 <= batch <= LARGEST_BATCH:
            raise ImpastoError(f"bad batch {batch}: allowed are 1 to {LARGEST_BATCH} jobs per evaluation")
        return batch

    @contextmanager
    def _exclusive(self) -> Iterator[Workshop]:
        self._check_not_in_callback()
        with self._scheduler.exclusive() as workshop:
            yield workshop

    def _guarded(self, on_event: OnJobEvent) -> OnJobEvent:
        def tell(number: int, job: Job, event: Event) -> None:
            with self._in_callback():
                on_event(number, job, event)

        return tell

    @contextmanager
    def _in_callback(self) -> Iterator[None]:
        """Record that this thread runs a callback of the caller, for which the engine waits."""
        here = threading.get_ident()
        self._threads_in_callbacks.add(here)
        try:
            yield
        finally:
            self._threads_in_callbacks.discard(here)

    def _check_not_in_callback(self) -> None:
        if threading.get_ident() in self._threads_in_callbacks:
            raise ImpastoError(
                "this method would wait for ever: it was called from on_event, and the engine waits for on_event to "
                "return; call `submit`, which returns at once, or use another Engine"
            )


def workshop_of(engine: Engine) -> Workshop:
    """Return an engine's workshop, for benchmarks and tests. Use it only while no jobs are running."""
    return engine._workshop


def _never() -> bool:
    """Never cancel."""
    return False
