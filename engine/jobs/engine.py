"""The public engine. It takes two pictures and settings, and returns one picture."""

import dataclasses
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Self

from impasto.engine import setting_checks as checks
from impasto.engine.compile.network import load_network
from impasto.engine.device.placement import LoopPlacement
from impasto.engine.events import Event, OnEvent
from impasto.engine.images import Picture, Source
from impasto.engine.inputs.pictures import Style
from impasto.engine.inputs.run_state import RunState, check_only_limits_differ
from impasto.engine.jobs.handle import Following, Handle
from impasto.engine.jobs.job import ALONE, BatchLimit, Finished, Job, check_job, check_state, each_job, given_settings
from impasto.engine.jobs.network_user import NetworkUser
from impasto.engine.jobs.stream import OnJobEvent, stream
from impasto.engine.jobs.workshop import Workshop
from impasto.engine.result import Result
from impasto.engine.runtime import cpu_info, providers
from impasto.engine.settings import Settings
from impasto.models.errors import ImpastoError


class Engine(NetworkUser):
    """A network on a provider. It runs transfers, one after another or many at the same time.

    The engine is a context manager. `submit`, `run`, `transfer`, `transfer_many` and `resume` may be called from
    several threads. One thread of the engine evaluates all jobs. The engine keeps the compiled objective of the latest
    run, so another run of the same size, taps and pooling starts sooner.

    `content`, `style`, `settings`, `start`, `cancel`, `keep_state` and `batch` mean the same in all methods. `transfer`
    and `transfer_many` describe them. All methods but `submit`, `run`, `transfer`, `steps`, `resume`, `transfer_many`
    and `continued` need the engine for themselves, and raise ImpastoError while jobs are running. Every method that
    takes images raises ImpastoError if an image cannot be read or is too small, or if the network lacks a tap. Every
    method that takes a `batch` raises ImpastoError if it is out of range.

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
        model = checks.path("model", model)
        threads = checks.whole("threads", threads)
        cpu_info.check_threads(threads)
        concurrency = checks.between("concurrency", concurrency, 1)
        checks_memory = checks.switch("checks_memory", checks_memory)
        placement = LoopPlacement(loop, None if report_every is None else checks.whole("report_every", report_every))
        if not isinstance(provider, providers.Provider):
            provider, precision = checks.text("provider", provider), checks.text("precision", precision)
            build_engines = checks.switch("build_engines", build_engines)
            provider = providers.choose(provider, precision, build_engines=build_engines)
        network = load_network(model)
        placement.check(provider)
        super().__init__(Workshop(network, provider, threads, placement, checks_memory=checks_memory), concurrency)
        self._guard = self._scheduler.guard

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
            ImpastoError: the run does not fit into memory, or the loss is not finite at the start.
        """
        job = Job(content, style, given_settings(settings), start, keep_state=keep_state)
        return self._run(job, on_event, cancel)

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

        Yields:
            The events that `transfer` passes to `on_event`.

        Returns:
            The result.
        """
        self._guard.check_open()
        job = Job(content, style, given_settings(settings), start, keep_state=keep_state)
        checks.function("cancel", cancel)
        return self._events(job, cancel, ALONE)  # other runs must not wait with it for the caller

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
            ImpastoError: as for `continued`, the state is damaged, or as for `transfer`.
        """
        return self._run(dataclasses.replace(self.continued(state, settings), keep_state=keep_state), on_event, cancel)

    def continued(self, state: RunState, settings: Settings | None = None) -> Job:
        """Return the job that continues a run; see `resume`.

        Raises:
            ImpastoError: the state belongs to another network, or the settings differ in more than the limits.
        """
        check_state(state)
        settings = state.settings if settings is None else given_settings(settings)
        check_only_limits_differ(state.settings, settings)
        if state.model_sha256 != self.network.sha256:
            raise ImpastoError(
                f"this run is on network {state.model} ({state.model_sha256[:8]}), and the engine has "
                f"{self.network.name} ({self.network.sha256[:8]}); open it with the same network"
            )
        return Job(settings=settings, state=state)

    def submit(self, job: Job, *, batch: int | None = None, cancel: Callable[[], bool] | None = None) -> Handle:
        """Add a job to the queue and return at once. The job runs as soon as there is room.

        A batch that starts with one job grows to 2, 4, 8 ... places while other jobs arrive. An evaluation costs the
        same whether its places are in use or not, so growth keeps at least half of them in use. A batch grows only if
        one of its jobs has more than 20 iterations left, because a larger session has to be compiled.
        """
        check_job(job)
        handle = Handle(job, self._limit(batch), cancelled=checks.function("cancel", cancel), guard=self._guard)
        self._scheduler.submit([handle])
        return handle

    def run(
        self,
        job: Job,
        *,
        on_handle: Callable[[Handle], None] | None = None,
        on_event: OnEvent | None = None,
        cancel: Callable[[], bool] | None = None,
    ) -> Result:
        """Run a job and wait for its result, as `transfer` does; jobs of several threads share evaluations.

        Args:
            job: as for `submit`.
            on_handle: receives the job's handle before the job begins, for other threads that change its priority.
            on_event: as for `transfer`.
            cancel: as for `transfer`.

        Raises:
            ImpastoError: as for `transfer`.
        """
        check_job(job)
        return self._run(job, on_event, cancel, checks.function("on_handle", on_handle))

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
        its place. Such a job has the same size, taps, pooling, padding and seamlessness, and a total variation term of
        the others' norm if they have one. With the loop on the device it also has the same history, bounds and initial
        inverse. The remaining jobs run afterwards. A failing job does not affect the others. A job whose values are not
        finite waits until the other running jobs have ended, and continues in a safer precision.

        Args:
            jobs: a thread of its own reads the iterable as jobs are needed, at most
                `impasto.engine.jobs.queue.LOOK_AHEAD` ahead. Running jobs continue while the iterable waits.
            batch: maximum number of jobs per evaluation. None is 1 on CPUs, where larger batches are not faster, and on
                GPUs 4 or as many as fit into memory. An evaluation costs the same whether its places are in
                use or not.
            on_event: called in the iterating thread with the job's number from 0, the job, and an event as for
                `transfer`. The engine waits until the function returns. The engine does not wait while the iterating
                thread processes a result. That thread receives the events of that time when it requests the next
                result, and their snapshots are of the latest image.
            cancel: called before every evaluation; with a loop on the device, every `report_every` evaluations. True
                ends the running jobs with their latest images, and no other job begins.
        """
        limit, tell = self._limit(batch), self._guard.told(checks.function("on_event", on_event))
        cancel = checks.function("cancel", cancel) or (lambda: False)
        self._guard.check_open()
        self._guard.check_may_wait()
        return stream(self._scheduler, each_job(jobs), limit, tell, cancel)

    def close(self) -> None:
        """Cancel the jobs that have not ended, and free the memory of the sessions. The engine cannot be used again.

        Raises:
            ImpastoError: the method is called from `on_event` or `cancel`.
        """
        self._scheduler.close()

    def __enter__(self) -> Self:
        self._guard.check_open()
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _events(
        self,
        job: Job,
        cancel: Callable[[], bool] | None,
        limit: BatchLimit,
        *,
        wanted: bool = True,
        on_handle: Callable[[Handle], None] | None = None,
    ) -> Generator[Event, None, Result]:
        """Submit a job, yield its events if they are wanted, and return its result.

        The job waits while an event is handled; other jobs do not.
        """
        self._guard.check_may_wait()
        following = Following(events=wanted, changed=self._scheduler.wake)
        handle = Handle(job, limit, cancelled=cancel, listener=following, guard=self._guard)
        if on_handle is not None:
            on_handle(handle)
        self._scheduler.submit([handle])
        try:
            while (event := following.next()[1]) is not None:
                with self._guard.paused():
                    yield event
                following.handled()
        finally:
            following.leave()
            handle.cancel()
            self._scheduler.wait_for_end_of([handle])
        return handle.result()

    def _run(
        self,
        job: Job,
        on_event: OnEvent | None,
        cancel: Callable[[], bool] | None,
        on_handle: Callable[[Handle], None] | None = None,
    ) -> Result:
        """Run a job and pass each event to `on_event`."""
        tell = self._guard.told(checks.function("on_event", on_event))
        checks.function("cancel", cancel)
        limit, wanted = self._limit(None), tell is not None
        with closing(self._events(job, cancel, limit, wanted=wanted, on_handle=on_handle)) as events:
            while True:
                try:
                    event = next(events)
                except StopIteration as end:
                    return end.value  # type: ignore[no-any-return]
                if tell is not None:
                    tell(event)


def workshop_of(engine: Engine) -> Workshop:
    """Return an engine's workshop, for benchmarks and tests. Use it only while no jobs are running."""
    return engine._workshop
