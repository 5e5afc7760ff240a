"""One run of a command: its progress, remarks, frames, output file and summary."""

import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import typer

from impasto.engine.cli.options import KEPT, Options
from impasto.engine.cli.pinned_command import pinned_command
from impasto.engine.cli.process_start import seconds_since_process_start
from impasto.engine.cli.terminal import INTERRUPTED, interruptible, print_json, say
from impasto.engine.events import Event, PrecisionChanged, Started
from impasto.engine.settings import SEAMLESS_STEP_PX, Settings
from impasto.models.errors import ImpastoError

if TYPE_CHECKING:
    from impasto.engine.jobs.engine import Engine
    from impasto.engine.jobs.plan import Plan, RefinedPlan
    from impasto.engine.result import Result


class Watcher(Protocol):
    """Receives the events of a run, and writes a file or draws a picture.

    Attributes:
        needs_each_image: whether the snapshot of an event must be the image of exactly that iteration.
    """

    needs_each_image: bool

    def take(self, event: Event) -> None:
        """Receive one event."""

    def finish(self, result: "Result") -> str:
        """Finish the work. Return a line for the summary, which may be empty."""


class SingleRun:
    """Runs once and writes one file.

    Attributes:
        options: options of the command.
        settings: settings of the run.
        images: the content image and the style image; one may be None.
        output: the file of the result.
        progress: the progress bar.
        watchers: receive every event and the result.
    """

    def __init__(
        self, options: Options, settings: Settings, content: Path | None, style: Path | None, output: Path
    ) -> None:
        """Check that all files can be written, before anything else.

        Raises:
            ImpastoError: a file cannot be written at its path, or two files have the same name.
        """
        from impasto.engine.cli.progress import RunProgress
        from impasto.engine.images import check_writable

        if options.save_every < 0:
            raise ImpastoError(f"bad save_every {options.save_every}: allowed are 0 (never) and more iterations")
        check_writable(output, bits=options.bits)
        self.options, self.settings = options, settings
        self.images, self.output = (content, style), output
        self.progress = RunProgress(settings.iterations, hidden=options.quiet or options.as_json)
        self.watchers = self._open_watchers()
        self._network = ""

    @property
    def report_every(self) -> int | None:
        """Evaluations between two reports of a loop on the device; None is the provider's default.

        The number is 1 if frames or an animation need the image of each iteration. A preview may show an image that is
        a few iterations newer, and a report needs only the losses.

        Raises:
            ImpastoError: the number must be 1, and the options give another one.
        """
        given, every = self.options.report_every, self.options.save_every
        if not every and not any(watcher.needs_each_image for watcher in self.watchers):
            return given
        if given not in (None, 1):
            raise ImpastoError(
                f"bad --report-every {given}: {'--save-every' if every else '--animation'} needs each iteration's own "
                "image, which allows 1 alone; drop one of the two"
            )
        return 1

    def open_engine(self, model: str) -> "Engine":
        """Return an engine for this run, as `Options.engine` does."""
        return self.options.engine(model=model, report_every=self.report_every)

    def start(self) -> None:
        """Run `Engine.transfer`, or print its plan.

        Raises:
            ImpastoError: as for `Engine`, its `transfer` or its `plan`; or the file cannot be written.
            typer.Exit: after Ctrl-C.
        """
        with interruptible() as interrupted, self.open_engine(self.options.model) as engine:
            if self.options.dry_run:
                self.show(engine.plan(*self.images, self.settings))
            else:
                keep_state = self.options.checkpoint is not None
                render = partial(engine.transfer, *self.images, self.settings, keep_state=keep_state)
                self.run(engine, render, interrupted, [engine.network.choice])

    def show(self, plan: "Plan | RefinedPlan") -> None:
        """Print the plan of a run."""
        if self.options.as_json:
            print_json(plan.as_dict())
        else:
            print(plan.describe())

    def run(
        self, engine: "Engine", render: Callable[..., "Result"], interrupted: Sequence[bool], remarks: Sequence[str]
    ) -> None:
        """Run, and write the file.

        Args:
            engine: the engine in use; for a refined run, that of the draft.
            render: `Engine.transfer` or a similar function, with all arguments except `on_event` and `cancel`.
            interrupted: the flag from `interruptible`.
            remarks: lines on the networks, to be printed at the start.

        Raises:
            ImpastoError: the run failed, or the file cannot be written.
            typer.Exit: after Ctrl-C; the file holds the current image.
        """
        call_s = seconds_since_process_start()
        choice = "" if self.options.as_json else engine.provider.choice  # with --json the summary has it
        waiting = [*remarks, engine.network.misfit(self.settings.pool), choice]

        begun: list[Event] = []

        def on_event(event: Event) -> None:
            self.progress.show(event)
            if isinstance(event, Started):  # the images have been read without errors
                while waiting:
                    self.options.say(waiting.pop(0))
            elif not begun:
                begun.append(event)
            self._take(event)
            for watcher in self.watchers:
                watcher.take(event)

        with self.progress:
            try:
                result = render(on_event=on_event, cancel=lambda: bool(interrupted))
            except ImpastoError:
                if begun or not interrupted:
                    raise
                say("stopped before the first evaluation: nothing was written")
                raise typer.Exit(INTERRUPTED) from None
        self._conclude(result, first_iteration_s=call_s + result.setup_s)
        if interrupted:
            raise typer.Exit(INTERRUPTED)

    def _take(self, event: Event) -> None:
        """Print the remarks and write the frame that belong to an event."""
        from impasto.engine.images import check_writable, write_image

        options = self.options
        if isinstance(event, Started):
            self._network = event.model
            check_writable(self.output, bits=options.bits, size=(event.height, event.width))
            if self.settings.seamless:
                options.say(f"seamless: {event.width}x{event.height} px, both sides multiples of {SEAMLESS_STEP_PX}")
            if self.settings.weighting != "paper":
                options.say(f"weighting {self.settings.weighting}: {event.conversion}")
        elif isinstance(event, PrecisionChanged):
            options.say(event.message)
        else:
            if options.as_json:
                names = ("iteration", "evaluations", "loss", "terms", "seconds")
                print_json({**{name: getattr(event, name) for name in names}, "model": self._network})
            if options.save_every and event.iteration % options.save_every == 0:
                write_image(self._frame(event.iteration), event.snapshot(), bits=options.bits)

    def _conclude(self, result: "Result", first_iteration_s: float) -> None:
        """Write the file and print the summary."""
        try:
            result.save(self.output, bits=self.options.bits)
        finally:  # the checkpoint is written even if the folder of the result is missing
            lines = [watcher.finish(result) for watcher in self.watchers]
        if result.picture.alpha is not None and self.output.suffix.lower() in (".jpg", ".jpeg"):
            self.options.say(f"{self.output} is without the content image's transparency: .png, .webp and .tif keep it")
        if self.options.as_json:
            print_json({**result.summary(), "first_iteration_s": first_iteration_s, "output": str(self.output)})
        elif not self.options.quiet:
            print("\n".join(filter(None, [_summary(result, self.output), *lines])))

    def _open_watchers(self) -> list[Watcher]:
        """Return the watchers that the options request. Each is imported only if it is needed.

        Raises:
            ImpastoError: a file cannot be written at its path, or two files have the same name.
        """
        options, watchers = self.options, list[Watcher]()
        if options.report is not None:
            from impasto.engine.inputs.saved_style import is_saved_style
            from impasto.engine.watch.report import Report

            content, style = self.images
            style = None if is_saved_style(style) else style
            watchers.append(Report(options.report, content=content, style=style, command=pinned_command))
        if options.animation is not None:
            from impasto.engine.watch.animation import Animation

            if options.animation.resolve() == self.output.resolve():
                raise ImpastoError(f"--animation and --output are both {self.output}: give them two names")
            if self._is_frame(options.animation):
                raise ImpastoError(
                    f"--animation {options.animation} is also a file of --save-every: give it another name"
                )
            watchers.append(Animation(options.animation, every=options.save_every))
        if options.checkpoint is not None:
            from impasto.engine.watch.checkpoints import Checkpoints

            watchers.append(Checkpoints(options.checkpoint, every_s=options.checkpoint_every, extra=self._kept()))
        elif options.checkpoint_every is not None:
            raise ImpastoError("--checkpoint-every needs --checkpoint FILE: add it, or drop --checkpoint-every")
        if options.preview or options.preview_as is not None:
            from impasto.engine.watch.preview import AUTO, Preview, open_preview

            if options.as_json and sys.stdout.isatty():
                raise ImpastoError(
                    "--preview and --json both write to the terminal: send stdout to a file, or drop one"
                )
            preview = open_preview(options.preview_as or AUTO, aside=self.progress.aside)
            if isinstance(preview, Preview):
                watchers.append(preview)
            else:
                options.say(f"no preview: {preview}")
        return watchers

    def _kept(self) -> dict[str, Any]:
        """Return the options that a checkpoint stores for `impasto resume`.

        The name of the network is in the run's state; a path is stored here.
        """
        model, output = self.options.model, str(self.output.resolve())
        kept = {name: getattr(self.options, name) for name in KEPT}
        return {**kept, "model": str(Path(model).resolve()) if Path(model).is_file() else None, "output": output}

    def _is_frame(self, path: Path) -> bool:
        """Return whether `--save-every` writes a file of that name."""
        number, every = path.stem.removeprefix(f"{self.output.stem}-"), self.options.save_every
        if not every or not number.isdecimal() or int(number) % every:
            return False
        return path.resolve() == self._frame(int(number)).resolve()

    def _frame(self, iteration: int) -> Path:
        return self.output.with_name(f"{self.output.stem}-{iteration:06d}{self.output.suffix}")


def _summary(result: "Result", output: Path) -> str:
    """Return the summary of a result in two lines."""
    from impasto.engine.cli.progress import by_kind

    where = f"{result.provenance['model']} on {result.provenance['provider']}, {result.provenance['precision']}"
    return (
        f"{output}: {result.picture.width}x{result.picture.height} px, {result.iterations} iterations "
        f"({result.evaluations} evaluations) in {result.seconds:.1f} s with {where}\n"
        f"loss {result.loss:.5g} ({by_kind(result.terms)}); {result.message}"
    )
