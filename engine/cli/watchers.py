"""What follows a run next to its progress bar: a report, a film, a preview. Each is imported only if it is wanted."""

import sys
from typing import TYPE_CHECKING, Any, Protocol

from impasto.engine.cli.pinned_command import pinned_command
from impasto.models.errors import ImpastoError

if TYPE_CHECKING:
    from pathlib import Path

    from impasto.engine.cli.options import Options
    from impasto.engine.cli.progress import RunProgress
    from impasto.engine.events import Event
    from impasto.engine.result import Result


class Watcher(Protocol):
    """Something that follows a run and leaves a file or a picture of it.

    Attributes:
        needs_each_image: whether an iteration's snapshot has to be that very iteration's.
    """

    needs_each_image: bool

    def take(self, event: "Event") -> None:
        """Take over one event."""

    def finish(self, result: "Result") -> str:
        """Finish the work, and return a line that says what came out, or an empty one."""


class FollowedRun(Protocol):
    """What a watcher needs to know of the run."""

    @property
    def options(self) -> "Options": ...  # noqa: D102
    @property
    def images(self) -> "tuple[Path | None, Path | None]": ...  # noqa: D102
    @property
    def output(self) -> "Path": ...  # noqa: D102
    @property
    def progress(self) -> "RunProgress": ...  # noqa: D102
    @property
    def kept(self) -> dict[str, Any]: ...  # noqa: D102
    def is_frame(self, path: "Path") -> bool: ...  # noqa: D102


def open_watchers(run: "FollowedRun") -> list[Watcher]:
    """Return what the options of a run ask for.

    Raises:
        ImpastoError: a file cannot be written where it is wanted, or two would have one name.
    """
    options, watchers = run.options, list[Watcher]()
    if options.report is not None:
        from impasto.engine.inputs.saved_style import is_saved_style
        from impasto.engine.watch.report import Report

        content, style = run.images
        style = None if is_saved_style(style) else style
        watchers.append(Report(options.report, content=content, style=style, command=pinned_command))
    if options.animation is not None:
        from impasto.engine.watch.animation import Animation

        if options.animation.resolve() == run.output.resolve():
            raise ImpastoError(f"--animation and --output are both {run.output}: give them two names")
        if run.is_frame(options.animation):
            raise ImpastoError(f"--animation {options.animation} is also a file of --save-every: give it another name")
        watchers.append(Animation(options.animation, every=options.save_every))
    if options.checkpoint is not None:
        from impasto.engine.watch.checkpoints import Checkpoints

        watchers.append(Checkpoints(options.checkpoint, every_s=options.checkpoint_every, extra=run.kept))
    if options.preview or options.preview_as is not None:
        from impasto.engine.watch.preview import AUTO, Preview, open_preview

        if options.as_json and sys.stdout.isatty():
            raise ImpastoError("--preview and --json both write to the terminal: send stdout to a file, or drop one")
        preview = open_preview(options.preview_as or AUTO, aside=run.progress.aside)
        if isinstance(preview, Preview):
            watchers.append(preview)
        else:
            options.say(f"no preview: {preview}")
    return watchers
