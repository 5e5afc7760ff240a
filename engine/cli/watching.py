"""What may follow a run beside its progress bar; nothing of it is imported unless it is asked for."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from impasto.models.errors import ImpastoError

if TYPE_CHECKING:
    from impasto.engine.cli.job import Job


def watch(
    job: "Job",
    *,
    content: Path | None,
    style: Path | None,
    report: Path | None = None,
    animation: Path | None = None,
) -> None:
    """Add to a job what was asked for.

    Args:
        job: not yet running.
        content: of the run; None where it has none.
        style: likewise.
        report: the page to write, or None.
        animation: the film to write, or None.

    Raises:
        ImpastoError: a file cannot be written where it is wanted.
    """
    if report is not None:
        from impasto.engine.report import Report

        command = shlex.join(["impasto", *sys.argv[1:]])
        job.watchers.append(Report(report, content=content, style=style, command=command))
    if animation is not None:
        from impasto.engine.animation import Animation

        if animation.resolve() == job.output.resolve():
            raise ImpastoError(f"--animation and --output are both {animation}: give them two names")
        job.watchers.append(Animation(animation, every=job.save_every))
