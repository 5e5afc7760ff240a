"""One run as a person sees it: progress, remarks, frames, the result's file and summary, and Ctrl-C."""

import json
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Protocol

import typer

from impasto.engine.cli.process_start import seconds_since_process_start
from impasto.engine.cli.progress import Progress, grouped
from impasto.engine.events import Event, Iteration, OnEvent, PrecisionChanged, Started
from impasto.engine.settings import SEAMLESS_STEP_PX, Settings
from impasto.models.errors import ImpastoError

if TYPE_CHECKING:
    from impasto.engine.jobs.engine import Engine
    from impasto.engine.jobs.plan import Plan, RefinedPlan
    from impasto.engine.result import Result

INTERRUPTED = 130


class Render(Protocol):
    """What a job runs: `Engine.transfer` and its kind, with everything given but the two callbacks."""

    def __call__(self, *, on_event: OnEvent, cancel: Callable[[], bool]) -> "Result":
        """Run, telling of events and asking whether to stop."""


class Watcher(Protocol):
    """Something that follows a run and leaves a file or a picture of it.

    Attributes:
        needs_each_image: whether an iteration's snapshot has to be that very iteration's.
    """

    needs_each_image: bool

    def take(self, event: Event) -> None:
        """Take over one event."""

    def finish(self, result: "Result") -> str:
        """Do what is left to do, and say in a line what came out, or nothing."""


class Job:
    """Runs once and writes one file.

    Attributes:
        output: the file.
        save_every: also a file every so many iterations; 0 is never.
        as_json: whether stdout gets a line per iteration.
        say: prints a line on stderr, unless it is empty or the user wants quiet.
        watchers: told of every event after the job itself, and of the result.
    """

    def __init__(
        self,
        output: Path,
        *,
        bits: int,
        save_every: int,
        quiet: bool,
        as_json: bool,
        report_every: int | None = None,
    ) -> None:
        """Refuse an output that cannot be written before anything else is done.

        Args:
            output: the file.
            bits: per channel.
            save_every: also write a file every so many iterations; 0 is never.
            quiet: no progress and no summary.
            as_json: a JSON line per iteration on stdout, then a summary.
            report_every: evaluations between two looks at a loop on the device, where that was asked for.

        Raises:
            ImpastoError: no file can be written there, or `save_every` is negative.
        """
        from impasto.engine.images import check_writable

        if save_every < 0:
            raise ImpastoError(f"bad save_every {save_every}: allowed are 0 (never) and more iterations")
        check_writable(output, bits=bits)
        self.output, self.save_every = output, save_every
        self._bits = bits
        self._quiet, self.as_json = quiet, as_json
        self._report_every = report_every
        self._process_start_s = seconds_since_process_start() - time.perf_counter()  # on the latter's scale
        self.say = silent if quiet else say
        self.watchers: list[Watcher] = []
        self._progress: Progress | None = None
        self._network = ""

    @property
    def report_every(self) -> int | None:
        """Evaluations between two looks of the host: one where something is made of an iteration's own image.

        A preview may show one that is a few iterations newer, and a report needs the losses alone. None is what suits
        the provider.

        Raises:
            ImpastoError: another number was asked for than one, where it must be that.
        """
        asked, needing = self._report_every, "--save-every" if self.save_every else "--animation"
        if not self.save_every and not any(watcher.needs_each_image for watcher in self.watchers):
            return asked
        if asked not in (None, 1):
            raise ImpastoError(
                f"bad --report-every {asked}: {needing} needs each iteration's own image, which allows 1 alone; "
                "drop one of the two"
            )
        return 1

    def is_frame(self, path: Path) -> bool:
        """Return whether `save_every` writes a file of that name."""
        number = path.stem.removeprefix(f"{self.output.stem}-")
        return bool(
            self.save_every
            and number.isdecimal()
            and int(number) % self.save_every == 0
            and path.resolve() == _numbered(self.output, int(number)).resolve()
        )

    def aside(self) -> AbstractContextManager[None]:
        """Keep the bar off the terminal while something else is written there."""
        return self._progress.aside() if self._progress else nullcontext()

    def show(self, plan: "Plan | RefinedPlan") -> None:
        """Print what a run would do."""
        if self.as_json:
            _print_json(plan.as_dict())
        else:
            print(plan.in_words())

    def run(
        self,
        engine: "Engine",
        settings: Settings,
        render: Render,
        interrupted: list[bool],
        *,
        iterations: int,
        networks: Sequence[str] | None = None,
    ) -> None:
        """Run, and write the file.

        Args:
            engine: in use.
            settings: of the run.
            render: the run itself.
            interrupted: from `interruptible`.
            iterations: at most, for the progress bar.
            networks: what to say of them; None is what the engine has to say of its own.

        Raises:
            ImpastoError: as the run, or the file cannot be written.
            typer.Exit: it was interrupted; the file has what there was.
        """
        # Said once, when the images are known to be sound; as JSON the provider is in the summary.
        said = [engine.network.choice] if networks is None else networks
        remarks = iter([(*said, engine.network.misfit(settings.pool), "" if self.as_json else engine.provider.choice)])
        call_s = self._process_start_s + time.perf_counter()
        with Progress(iterations, hidden=self._quiet or self.as_json) as progress:
            self._progress = progress

            def on_event(event: Event) -> None:
                progress.show(event)
                if isinstance(event, Started):
                    for remark in next(remarks, ()):
                        self.say(remark)
                self._take(event, settings)
                for watcher in self.watchers:
                    watcher.take(event)

            try:
                result = render(on_event=on_event, cancel=lambda: bool(interrupted))
            except ImpastoError:
                if not interrupted:
                    raise
                say("stopped before the first evaluation: nothing was written")
                raise typer.Exit(INTERRUPTED) from None
        self._progress = None
        result.save(self.output, bits=self._bits)
        if result.picture.alpha is not None and self.output.suffix.lower() in (".jpg", ".jpeg"):
            self.say(f"{self.output} is without the content image's transparency: .png, .webp and .tif keep it")
        left = [watcher.finish(result) for watcher in self.watchers]
        if self.as_json:
            first_iteration_s = call_s + result.setup_s
            _print_json({**result.summary(), "first_iteration_s": first_iteration_s, "output": str(self.output)})
        elif not self._quiet:
            print("\n".join(filter(None, [_in_words(result, self.output), *left])))
        if interrupted:
            raise typer.Exit(INTERRUPTED)

    def _take(self, event: Event, settings: Settings) -> None:
        """Say, print or write what an event asks for."""
        from impasto.engine.images import check_writable, write_image

        if isinstance(event, Started):
            self._network = event.model
            check_writable(self.output, bits=self._bits, size=(event.height, event.width))
            if settings.seamless:
                self.say(f"seamless: {event.width}x{event.height} px, both sides multiples of {SEAMLESS_STEP_PX}")
            if settings.weighting != "paper":
                self.say(f"weighting {settings.weighting}: {event.conversion}")
        if isinstance(event, PrecisionChanged):
            self.say(event.in_words)
        if isinstance(event, Iteration):
            if self.as_json:
                _print_json({**_as_line(event), "model": self._network})
            if self.save_every and event.iteration % self.save_every == 0:
                write_image(_numbered(self.output, event.iteration), event.snapshot(), bits=self._bits)


@contextmanager
def interruptible() -> Iterator[list[bool]]:
    """Turn the first Ctrl-C into a flag, and leave the second one to Python."""
    flag: list[bool] = []

    def stop(signum: int, frame: FrameType | None) -> None:
        flag.append(True)
        signal.signal(signal.SIGINT, previous)

    previous = signal.signal(signal.SIGINT, stop)
    try:
        yield flag
    finally:
        signal.signal(signal.SIGINT, previous)


def say(line: str) -> None:
    """Print a line on stderr, unless it is empty."""
    if line:
        print(line, file=sys.stderr)


def silent(line: str) -> None:
    """Keep a line from a user who wants quiet."""


def _as_line(event: Iteration) -> dict[str, Any]:
    return {
        "iteration": event.iteration,
        "evaluations": event.evaluations,
        "loss": event.loss,
        "terms": dict(event.terms),
        "seconds": event.seconds,
    }


def _in_words(result: "Result", output: Path) -> str:
    """Say in two lines what came out."""
    where = f"{result.provenance['model']} on {result.provenance['provider']}, {result.provenance['precision']}"
    return (
        f"{output}: {result.picture.width}x{result.picture.height} px, {result.iterations} iterations "
        f"({result.evaluations} evaluations) in {result.seconds:.1f} s with {where}\n"
        f"loss {result.loss:.5g} ({grouped(result.terms)}); {result.message}"
    )


def _numbered(output: Path, iteration: int) -> Path:
    return output.with_name(f"{output.stem}-{iteration:06d}{output.suffix}")


def _print_json(values: dict[str, Any]) -> None:
    print(json.dumps(values), flush=True)
