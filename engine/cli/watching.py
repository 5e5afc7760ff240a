"""What may follow a run beside its progress bar; nothing of it is imported unless it is asked for."""

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from impasto.models.errors import ImpastoError

if TYPE_CHECKING:
    from impasto.engine.cli.job import Job
    from impasto.engine.events import Started
    from impasto.engine.result import Result


def watch(
    job: "Job",
    *,
    content: Path | None,
    style: Path | None,
    report: Path | None = None,
    animation: Path | None = None,
    preview: bool = False,
    preview_as: str | None = None,
) -> None:
    """Add to a job what was asked for.

    Args:
        job: not yet running.
        content: of the run; None where it has none.
        style: likewise.
        report: the page to write, or None.
        animation: the film to write, or None.
        preview: whether to draw in the terminal.
        preview_as: how, as `impasto.engine.watch.preview.KINDS` says, whatever the former; None is the terminal's own way.

    Raises:
        ImpastoError: a file cannot be written where it is wanted, or two would be in one place.
    """
    if report is not None:
        from impasto.engine.inputs.saved_style import is_saved_style
        from impasto.engine.watch.report import Report

        style = None if is_saved_style(style) else style
        job.watchers.append(Report(report, content=content, style=style, command=pinned_command))
    if animation is not None:
        from impasto.engine.watch.animation import Animation

        if animation.resolve() == job.output.resolve():
            raise ImpastoError(f"--animation and --output are both {animation}: give them two names")
        if job.is_frame(animation):
            raise ImpastoError(f"--animation {animation} is also a file of --save-every: give it another name")
        job.watchers.append(Animation(animation, every=job.save_every))
    if preview or preview_as is not None:
        from impasto.engine.watch.preview import AUTO, Preview, open_preview

        if job.as_json and sys.stdout.isatty():
            raise ImpastoError("--preview and --json both write to the terminal: send stdout to a file, or drop one")
        opened = open_preview(preview_as or AUTO, aside=job.aside)
        if isinstance(opened, Preview):
            job.watchers.append(opened)
        else:
            job.say(f"no preview: {opened}")


def pinned_command(started: "Started", result: "Result") -> str:
    """Return the command that is running with what it left to the machine filled in, quoted for a shell.

    Args:
        started: the run's beginning, which knows what `auto` came to.
        result: of the run.
    """
    words = ["impasto", *sys.argv[1:]]
    if "draft" not in result.provenance:
        words, _ = _taken_out(words, "--refine")  # there was no network to refine with
    values = {"model": started.model, "provider": started.provider, "precision": started.precision}
    return with_options(words, {**values, "seed": str(result.settings.seed)})


def with_options(words: Sequence[str], values: Mapping[str, str]) -> str:
    """Return a command with options filled in that it has not, or has as auto, quoted for a shell.

    Args:
        words: of the command.
        values: by the option's name, without dashes.
    """
    words = list(words)
    for name, value in values.items():
        others, typed = _taken_out(words, f"--{name}")
        if typed in (None, "auto"):
            words = [*others, f"--{name}", value]
    return shlex.join(words)


def _taken_out(words: Sequence[str], option: str) -> tuple[list[str], str | None]:
    """Return the words without an option, and its value; None where it is not there."""
    left, value = [], None
    remaining = iter(words)
    for word in remaining:
        name, equals, rest = word.partition("=")
        if name == option:
            value = rest if equals else next(remaining, "")
        else:
            left.append(word)
    return left, value
