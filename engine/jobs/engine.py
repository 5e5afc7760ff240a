"""The engine as its users see it: two pictures and settings in, one picture out."""

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
from impasto.engine.jobs.job import Finished, Job
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
    """A network on a provider, ready for one transfer after another, or for many at the same time.

    A context manager. `submit`, `transfer`, `transfer_many` and `resume` may be called from several threads; all jobs
    share one thread that evaluates them. The compiled objective of the latest run is kept, so that another run of the
    same size, taps and pooling starts sooner.

    Args:
        model: as `impasto.engine.compile.network.load_network` takes it.
        provider: "auto"; a name that `impasto doctor` shows, with options as in "cuda:1,nhwc,memory=8000"; or a
            `Provider`.
        precision: of the convolutions: "auto" (the fastest that keeps float32's range), or as
            `impasto.engine.runtime.precision.NAMES` says.
        threads: of the CPU; 0 is one per core.
        build_engines: TensorRT may build engines that its cache lacks, which takes minutes.
        loop: where L-BFGS runs: "host", "device" (in the memory of what evaluates), or "auto", which is the device on
            GPUs. There the host looks at the run only every few evaluations: `report_every`.
        report_every: evaluations between two looks at a loop on the device; None is 10 on GPUs, else 1. With 1 each
            event's snapshot is that very iteration's.
        concurrency: single jobs or batches under way at the same time at most, 1 or more; they take turns, evaluation
            by evaluation.
        checks_memory: runs that take more memory than is free are refused, and the message names what would fit; False
            lets them try.

    Attributes:
        provider: in use; another one after a change to a safer precision.
        network: in use.

    Raises:
        ImpastoError: no such network or provider, a precision that the provider does not have here, a loop on the
            device of a provider that copies its inputs, or a concurrency out of range.
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
        self._telling: set[int] = set()

    @property
    def provider(self) -> providers.Provider:
        """In use; another one after a change to a safer precision."""
        return self._workshop.provider

    @property
    def network(self) -> Network:
        """In use."""
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
        """Paint a content image in the style of another; or reconstruct one of them from its features alone.

        With a style_weight of 0 only content terms are left, with a content_weight of 0 only style terms: the graph
        holds no others and ends at the deepest tap in use (`impasto.engine.jobs.reconstruction` has such settings).

        Args:
            content: a path, a PIL image or an array, as `impasto.engine.images.read_image` takes them; or None where
                the content_weight is 0.
            style: the same; or the path of a saved style (.safetensors), or one itself; or None where the style_weight
                is 0.
            settings: what to do; None is the defaults.
            start: the image to start from in place of ``settings.init``, such as the picture of an earlier result.
            on_event: called in this thread, and waited for, with `Started`, then with every `Iteration`, and with
                `PrecisionChanged` where a value was not finite; the engine then stays with the safer precision.
            cancel: called before every evaluation; True ends the run with the image so far.
            keep_state: whether the result holds the state at the end, for `resume`; it takes the optimiser's memory.

        Raises:
            ImpastoError: an image cannot be read or is too small, the network lacks a tap, or the objective is not
                finite at the start.
        """
        events = self.steps(content, style, settings, start=start, cancel=cancel, keep_state=keep_state)
        return self._finish(events, on_event)

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
        """Step a transfer from outside: the engine waits after each event until the next one is asked for.

        Leaving the loop, or closing the generator, cancels the run.

        Args:
            content: as for `transfer`, as are the others.
            style: the style image.
            settings: what to do.
            start: the image to start from.
            cancel: called before every evaluation.
            keep_state: whether the result holds the state at the end.

        Yields:
            What `transfer` tells `on_event`.

        Returns:
            The result.

        Raises:
            ImpastoError: as `transfer`.
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
        """Continue a run from a state of it, here or on another machine.

        Args:
            state: from `Iteration.state`, `Result.state`, `Handle.run_state` or a checkpoint file.
            settings: those of the run, with other limits, which count from its start; None is those of the run.
            on_event: as for `transfer`; iterations, evaluations and seconds count from the start of the run.
            cancel: as for `transfer`.
            keep_state: as for `transfer`.

        Raises:
            ImpastoError: the state is of another network, or is damaged; the settings differ in more than limits; or as
                `transfer`.
        """
        job = dataclasses.replace(self.continued(state, settings), keep_state=keep_state)
        return self._finish(self._events(job, cancel), on_event)

    def continued(self, state: RunState, settings: Settings | None = None) -> Job:
        """Return the job that continues a run; see `resume`.

        Raises:
            ImpastoError: the state is of another network, or the settings differ in more than limits.
        """
        check_only_limits_differ(state.settings, settings or state.settings)
        if state.model_sha256 != self.network.sha256:
            raise ImpastoError(
                f"this run is on network {state.model} ({state.model_sha256[:8]}), and the engine has "
                f"{self.network.name} ({self.network.sha256[:8]}); open it with the same network"
            )
        return Job(None, None, settings or state.settings, state=state)

    def submit(self, job: Job, *, batch: int | None = None, cancel: Callable[[], bool] | None = None) -> Handle:
        """Take a job in and return at once; it runs as soon as there is room.

        Args:
            job: what to do.
            batch: jobs per evaluation at most, as for `transfer_many`. A group that starts with one job grows to 2, 4,
                8 ... while others arrive: an evaluation costs the same whether its places are taken or not, so at
                least half of them are used. It grows only where a member has more than 20 iterations left, because a
                larger session has to be compiled.
            cancel: called before every evaluation; True cancels.

        Raises:
            ImpastoError: the batch is out of range.
        """
        most = self._places(batch)
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
        """Run many transfers, several of one size in each evaluation, and yield each as soon as it has finished.

        Every job keeps its own targets, weights, seed, budget and stopping, and its result is that of a single run
        within the precision's rounding. A job that ends makes room for the next that can share evaluations with those
        under way: the same size, taps, pooling and seamlessness, both with or both without total variation and, with
        the loop on the device, the same history, bounds and initial inverse. The others have their turn afterwards. A
        job that fails does not affect the others. One whose values are not finite waits until the others under way
        have ended, and continues in a safer precision.

        Args:
            jobs: taken as they are needed, `impasto.engine.jobs.queue.LOOK_AHEAD` ahead at most, in a thread of their
                own: an iterable that waits blocks nobody.
            batch: jobs per evaluation at most; None is 1 on processors, which gain nothing from more, and `GPU_BATCH`
                elsewhere, or as many as fit into its memory. All places cost the same, whether they are taken or not.
            on_event: called in the thread that iterates, and waited for, with a job's number from 0, the job, and what
                `transfer` would tell of it. While that thread has a result in its hands nobody waits for it: it is told
                of the events of that time when it asks for the next result, and snapshots are of the latest image.
            cancel: called before every evaluation, or every look at a loop on the device; True ends those that run
                with the image so far, and begins no other.

        Raises:
            ImpastoError: the batch is out of range.
        """
        most = self._places(batch)
        self._check_not_telling()
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
        """Say what `transfer` would do, and what memory it would take; nothing is computed.

        Args:
            content: as for `transfer`.
            style: as for `transfer`.
            settings: as for `transfer`.

        Raises:
            ImpastoError: an image cannot be read or is too small, the network lacks a tap, or jobs are under way.
        """
        (found,) = self.plan_many([Job(content, style, settings or Settings())])
        if isinstance(found, ImpastoError):
            raise found
        return found

    def plan_many(self, jobs: Sequence[Job], *, batch: int | None = None) -> list[Plan | ImpastoError]:
        """Say what `transfer_many` would do with each job, or why the job could not begin; nothing is computed.

        Args:
            jobs: in order.
            batch: as for `transfer_many`.

        Raises:
            ImpastoError: the batch is out of range, or jobs are under way.
        """
        most = self._places(batch)
        with self._exclusive() as workshop:
            return plan_jobs(workshop, jobs, most, batch_is_given=batch is not None)

    def check(self, content: Source | None, style: Style | None, settings: Settings | None = None) -> None:
        """Refuse what `transfer` would refuse before it computes.

        Args:
            content: as for `transfer`.
            style: as for `transfer`.
            settings: as for `transfer`.

        Raises:
            ImpastoError: an image cannot be read or is too small, the network lacks a tap, the run does not fit into
                memory, or jobs are under way.
        """
        settings = settings or Settings()
        scene, painting = read_pictures(content, style, settings)
        with self._exclusive() as workshop:
            workshop.compiler.check_memory(workshop.compiler.spec(settings, scene), settings, painting)

    def warm_up(
        self, content: Source | None, style: Style | None, settings: Settings | None = None, *, batch: int = 1
    ) -> Score:
        """Compile what runs of this size need, and evaluate the content image once.

        Args:
            content: as for `transfer`.
            style: as for `transfer`.
            settings: as for `transfer`.
            batch: jobs in one evaluation.

        Raises:
            ImpastoError: as `transfer`, the batch is out of range, or jobs are under way.
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
        """Score an image under the objective, and return the gradient as well.

        Args:
            image: what to score; a `.npy` file is H x W x 3, 0..255.
            content: the content image.
            style: the style image.
            settings: of these, size, weights, taps and pooling; size 0 takes all three images as they are.

        Raises:
            ImpastoError: as `transfer`; the image and the content differ in size when they are taken as they are; or
                jobs are under way.
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
        """Return the function that `transfer` minimises and the image that it starts from, for other optimisers.

        The function belongs to the engine: it is valid until the next call of any of these methods.

        Args:
            content: as for `transfer`.
            style: as for `transfer`.
            settings: as for `transfer`.

        Returns:
            A function from a flat float32 vector (planes of R, G and B, 0..1) to its `Score`, and such a vector.

        Raises:
            ImpastoError: as `transfer`, or jobs are under way.
        """
        settings = settings or Settings()
        scene, painting = read_pictures(content, style, settings)
        with self._exclusive() as workshop:
            objective = workshop.compiler.objective(settings, scene, painting)
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
            ImpastoError: the image cannot be read or is too small, the network lacks a tap, the file cannot be
                written, or jobs are under way.
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
        """Return the image that `save_style` would take, at its size, and the memory; nothing is computed.

        Args:
            style: as for `save_style`.
            settings: as for `save_style`.

        Raises:
            ImpastoError: the image cannot be read or is too small, the network lacks a tap, or jobs are under way.
        """
        settings = settings or Settings()
        painting = read_style(style, settings)
        with self._exclusive() as workshop:
            compiler = workshop.compiler
            return painting, compiler.memory.of_style(compiler.style_spec(settings, painting))

    def close(self) -> None:
        """Cancel the jobs that have not ended, and give the sessions' memory back.

        Raises:
            ImpastoError: it is called from within `on_event`.
        """
        self._check_not_telling()
        self._scheduler.stop()
        with self._exclusive() as workshop:
            workshop.compiler.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _events(self, job: Job, cancel: Callable[[], bool] | None) -> Generator[Event, None, Result]:
        """Submit a job, yield its events while the engine waits, and return its result."""
        self._check_not_telling()
        following = Following(events=True)
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
        """Tell of events until the result is there."""
        with closing(events):
            while True:
                try:
                    event = next(events)
                except StopIteration as end:
                    result: Result = end.value
                    return result
                if on_event is not None:
                    with self._telling_here():
                        on_event(event)

    def _places(self, batch: int | None) -> int:
        """Return how many jobs share an evaluation at most.

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
        self._check_not_telling()
        with self._scheduler.exclusive() as workshop:
            yield workshop

    def _guarded(self, on_event: OnJobEvent) -> OnJobEvent:
        def tell(number: int, job: Job, event: Event) -> None:
            with self._telling_here():
                on_event(number, job, event)

        return tell

    @contextmanager
    def _telling_here(self) -> Iterator[None]:
        """Note that this thread is in a function of the caller, which the engine waits for."""
        here = threading.get_ident()
        self._telling.add(here)
        try:
            yield
        finally:
            self._telling.discard(here)

    def _check_not_telling(self) -> None:
        if threading.get_ident() in self._telling:
            raise ImpastoError(
                "the engine waits for this function, which it told of an event: call `submit`, which returns at once, "
                "or use another Engine"
            )


def workshop_of(engine: Engine) -> Workshop:
    """Return what an engine's jobs are made with, for benchmarks and tests; use it while no jobs are under way."""
    return engine._workshop


def _never() -> bool:
    """Never cancel."""
    return False
