"""One run of a command: its progress, remarks, frames, output file and summary."""

import dataclasses
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import typer

from impasto.engine.cli.options import KEPT, Options
from impasto.engine.cli.pinned_command import pinned_command
from impasto.engine.cli.process_start import seconds_since_process_start
from impasto.engine.cli.terminal import interruptible, print_json, print_lines, say, status_of
from impasto.engine.events import Event, Iteration, PrecisionChanged, ScaleStarted, Started
from impasto.engine.settings import SEAMLESS_STEP_PX, Settings
from impasto.models.errors import ImpastoError, ProviderError
from impasto.models.overwriting import check_not_read

if TYPE_CHECKING:
    from impasto.engine.jobs.engine import Engine
    from impasto.engine.jobs.plan import Plan, RefinedPlan
    from impasto.engine.result import Result

_OF_A_SCALE = ("scale", "scales", "width", "height", "iteration", "last_iteration", "evaluations", "seconds")


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
        self,
        options: Options,
        settings: Settings,
        content: Path | None,
        style: Path | None,
        output: Path,
        *,
        read_before: Sequence[str] = (),
    ) -> None:
        """Check that all files can be written, before anything else.

        Args:
            options: options of the command.
            settings: settings of the run.
            content: the content image.
            style: the style image.
            output: the file of the result.
            read_before: images that the run read before it was stopped.

        Raises:
            ImpastoError: a file cannot be written at its path, or two files have the same name.
        """
        from impasto.engine.cli.plain_progress import PlainProgress
        from impasto.engine.cli.progress import RunProgress
        from impasto.engine.cli.remaining_change import RemainingChange
        from impasto.engine.images import check_writable

        if options.save_every < 0:
            raise ImpastoError(f"bad save_every {options.save_every}: allowed are 0 (never) and more iterations")
        self.options, self.settings = options, settings
        self.images, self.output = (content, style), output
        self._read = [*read_before, *(str(path.resolve()) for path in (content, style) if path is not None)]
        if not options.force:
            inputs = {"the content image": content, "the style image": style, "the start image": settings.init}
            inputs |= {f"the image {path}": path for path in read_before}
            frames = [path for path in inputs.values() if path is not None and self._is_frame(Path(path))]
            outputs = (output, options.report, options.animation, options.checkpoint, *frames)
            check_not_read(outputs, inputs, "give another name, or --force to write over it")
        check_writable(output, bits=options.bits)
        if options.save_every:
            check_writable(self._frame(options.save_every), bits=options.bits)
        hidden = options.quiet or options.as_json
        self.progress = RunProgress(settings.iterations, hidden=hidden)
        plain = self.progress.disable and not hidden
        self._lines = PlainProgress(settings.iterations, say) if plain else None
        self._change = RemainingChange(settings.iterations)
        self.watchers = self._open_watchers()
        self.options = dataclasses.replace(options, report_every=self.report_every)
        self._network, self._size = "", (0, 0)

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

    def start(self) -> None:
        """Run `Engine.transfer`, or print its plan.

        Raises:
            ImpastoError: as for `Engine`, its `transfer` or its `plan`; or the file cannot be written.
            typer.Exit: after Ctrl-C.
        """
        with interruptible() as interrupted, self.options.engine() as engine:
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
            print_lines(*plan.describe().split("\n"))

    def run(
        self, engine: "Engine", render: Callable[..., "Result"], interrupted: Sequence[int], remarks: Sequence[str]
    ) -> None:
        """Run, and write the file.

        Args:
            engine: the engine in use; for a refined run, that of the draft.
            render: `Engine.transfer` or a similar function, with all arguments except `on_event` and `cancel`.
            interrupted: the flag from `interruptible`.
            remarks: lines on the networks, to be printed at the start.

        Raises:
            ImpastoError: the run failed, or the file cannot be written. If the provider failed after the first
                iteration, the file holds the last accepted image.
            typer.Exit: after Ctrl-C; the file holds the current image.
        """
        call_s = seconds_since_process_start()
        choice = "" if self.options.as_json else engine.provider.choice  # with --json the summary has it
        waiting = [*remarks, choice]

        latest: Iteration | None = None

        def on_event(event: Event) -> None:
            nonlocal latest
            self.progress.show(event)
            if self._lines is not None:
                self._lines.show(event)
            if isinstance(event, Started):  # the images have been read without errors
                while waiting:
                    self.options.say(waiting.pop(0))
            elif isinstance(event, Iteration):
                latest = event
            self._take(event)
            for watcher in self.watchers:
                watcher.take(event)

        with self.progress:
            try:
                result = render(on_event=on_event, cancel=lambda: bool(interrupted))
            except ProviderError as error:
                if latest is None:
                    raise
                raise self._saved(latest, error) from error
            except ImpastoError:
                if latest is not None or not interrupted:
                    raise
                say("stopped before the first evaluation: nothing was written")
                raise typer.Exit(status_of(interrupted)) from None
        self._conclude(result, first_iteration_s=call_s + result.setup_s)
        if interrupted:
            raise typer.Exit(status_of(interrupted))

    def _take(self, event: Event) -> None:
        """Print the remarks and write the frame that belong to an event."""
        from impasto.engine.images import check_writable, resize, write_image

        options = self.options
        if isinstance(event, Started):
            self._network, self._size = event.model, (event.height, event.width)
            check_writable(self.output, bits=options.bits, size=(event.height, event.width))
            if self.settings.seamless:
                options.say(f"seamless: {event.width}x{event.height} px, both sides multiples of {SEAMLESS_STEP_PX}")
                if self.settings.padding != Settings.padding:
                    options.say(f"seamless: every padding wraps, so --padding {self.settings.padding} has no effect")
            if self.settings.weighting != "paper" and (not self.settings.preset or "weighting" in options.given):
                options.say(f"weighting {self.settings.weighting}: {event.conversion}")
        elif isinstance(event, PrecisionChanged):
            options.say(event.message)
        elif isinstance(event, ScaleStarted):
            if options.as_json:
                print_json({"event": "scale", **{name: getattr(event, name) for name in _OF_A_SCALE}})
        else:
            if not options.quiet and not options.as_json:
                self._change.take(event)
            if options.as_json:
                names = ("iteration", "evaluations", "loss", "terms", "seconds", "scale", "scales", "width", "height")
                print_json({**{name: getattr(event, name) for name in names}, "model": self._network})
            if options.save_every and event.iteration % options.save_every == 0:
                frame = resize(event.snapshot(), *self._size)  # all frames have the size of the result
                write_image(self._frame(event.iteration), frame, bits=options.bits)

    def _saved(self, latest: Iteration, error: ProviderError) -> ImpastoError:
        """Write the last accepted image of a run whose provider failed; return the error to raise."""
        from impasto.engine.images import resize, write_image

        try:
            write_image(self.output, resize(latest.snapshot(), *self._size), bits=self.options.bits)
        except ImpastoError:  # a device that fails may keep the image, and the file may not be writable
            return error
        return ImpastoError(f"{error}; {self.output} is the last good image, after iteration {latest.iteration}")

    def _conclude(self, result: "Result", first_iteration_s: float) -> None:
        from impasto.engine.cli.progress import by_kind

        try:
            with suppress(OSError):  # the folder was there at the start
                self.output.parent.mkdir(parents=True, exist_ok=True)
            result.save(self.output, bits=self.options.bits)
        finally:  # the checkpoint is written even if the folder of the result is missing
            lines = [watcher.finish(result) for watcher in self.watchers]
        if result.picture.alpha is not None and self.output.suffix.lower() in (".jpg", ".jpeg"):
            self.options.say(f"{self.output} is without the content image's transparency: .png, .webp and .tif keep it")
        if self.options.as_json:
            print_json({**result.summary(), "first_iteration_s": first_iteration_s, "output": str(self.output)})
        elif not self.options.quiet:
            picture, used = result.picture, result.provenance
            print_lines(
                f"{self.output}: {picture.width}x{picture.height} px, {result.iterations} iterations "
                f"({result.evaluations} evaluations) in {result.seconds:.1f} s with {used['model']} on "
                f"{used['provider']}, {used['precision']}",
                f"loss {result.loss:.5g} ({by_kind(result.terms)}); {result.message}",
            )
            for line in filter(None, [self._change.finish(result), *lines]):
                print_lines(line)

    def _open_watchers(self) -> list[Watcher]:
        """Return the watchers that the options request. Each is imported only if it is needed."""
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

            model, output = options.model, str(self.output.resolve())
            # The name of the network is in the run's state; a path is stored here.
            kept: dict[str, Any] = {
                "model": str(Path(model).resolve()) if Path(model).is_file() else None,
                "output": output,
                "inputs": self._read,
            }
            kept |= {name: getattr(options, name) for name in KEPT}
            watchers.append(Checkpoints(options.checkpoint, every_s=options.checkpoint_every, extra=kept))
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

    def _is_frame(self, path: Path) -> bool:
        """Return whether `--save-every` writes a file of that name."""
        number, every = path.stem.removeprefix(f"{self.output.stem}-"), self.options.save_every
        is_numbered = every > 0 and number.isdecimal() and len(number) < 10 and int(number) % every == 0
        return is_numbered and os.path.realpath(path) == os.path.realpath(self._frame(int(number)))

    def _frame(self, iteration: int) -> Path:
        return self.output.with_name(f"{self.output.stem}-{iteration:06d}{self.output.suffix}")
