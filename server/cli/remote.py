"""`impasto remote`: paint on a server."""

import contextlib
import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from impasto.engine.cli.declare import LOOK, MAIN, OPTIMISER, takes
from impasto.engine.cli.options import Content, Options, Output, Style, of_preset
from impasto.engine.cli.terminal import interruptible, print_json, print_lines, say, status_of
from impasto.engine.presets import NAMES
from impasto.models.atomic import write_atomically
from impasto.models.errors import ImpastoError
from impasto.server.cli.extra import require_extra
from impasto.server.forms import STARTS

remote_app = typer.Typer(help="Paint on a server that `impasto serve` started.", no_args_is_help=True)

_POLL_S = 0.2
_KEY_VARIABLE, _URL_VARIABLE = "IMPASTO_API_KEY", "IMPASTO_SERVER"
_FORMATS = {".png": "png", ".webp": "webp", ".jpg": "jpeg", ".jpeg": "jpeg", ".tif": "tiff", ".tiff": "tiff"}
_TAKEN = (MAIN, LOOK, OPTIMISER, "bits", "force", "quiet", "as_json")

Server = Annotated[str, typer.Option(help="URL of the server.", envvar=_URL_VARIABLE)]
Priority = Annotated[int, typer.Option(help="Place in the server's queue, -8 to 8.", rich_help_panel=OPTIMISER)]


@remote_app.callback()
def remote() -> None:
    """Paint on a server that `impasto serve` started."""


@remote_app.command("transfer")
@takes(*_TAKEN, **of_preset())
def transfer(
    options: Options,
    content: Content,
    style: Style,
    output: Output,
    server: Server = "http://127.0.0.1:8000",
    priority: Priority = 0,
) -> None:
    """Paint CONTENT in the style of STYLE on a server, with the options of `impasto transfer`.

    The API key is in the environment variable IMPASTO_API_KEY. Ctrl-C cancels the job and keeps the picture so far.
    """
    require_extra(client_only=True)
    from impasto.client import Client

    _check(options, content, style, output)
    start = None if options.init in STARTS else options.init
    settings = options.settings(**({} if start is None else {"init": "content"})).as_dict()
    if settings["preset"] not in NAMES:
        settings["preset"] = ""  # a file of this machine, whose values are all here
    network = None if options.model == "auto" else options.model
    with Client(server, os.environ.get(_KEY_VARIABLE)) as client, interruptible() as interrupted:
        job = client.submit(content, style, settings, start=start, network=network, priority=priority or None)
        _follow(job, options, interrupted)
        if job.values["summary"] is None:
            say("stopped before the first evaluation: nothing was written")
            raise typer.Exit(status_of(interrupted))
        write_atomically(output, job.file(_format(output, options.bits)))
        _conclude(job, options, output, server)
    if interrupted:
        raise typer.Exit(status_of(interrupted))


def _check(options: Options, content: Path, style: Path, output: Path) -> None:
    from impasto.engine.images import check_writable
    from impasto.models.overwriting import check_not_read

    if not options.force:
        inputs = {"the content image": content, "the style image": style, "the start image": options.init}
        check_not_read((output,), inputs, "give another name, or --force to write over it")
    check_writable(output, bits=options.bits)


def _follow(job: Any, options: Options, interrupted: Sequence[int]) -> None:
    """Show the progress of a job until it has ended."""
    from impasto.engine.cli.progress import RunProgress
    from impasto.engine.events import Iteration, Started

    threading.Thread(target=_cancel_when, args=(job, interrupted), daemon=True).start()
    with RunProgress(job.values["settings"]["iterations"], hidden=options.quiet or options.as_json) as progress:
        for event in job.events():
            if event.kind == "running":
                plain = {name: event.data[name] for name in ("width", "height", "provider", "precision")}
                progress.show(Started(model=event.data["network"], conversion="", setup_s=0.0, **plain))
            elif event.kind == "iteration":
                names = ("iteration", "evaluations", "loss", "terms", "seconds")
                values = {name: event.data[name] for name in names}
                progress.show(Iteration(snapshot=_no_snapshot, **values))
                if options.as_json:
                    print_json(values)
    job.refresh()
    if job.state in ("failed", "quarantined"):
        raise ImpastoError(f"the job {job.state}: {job.values['message']}")


def _cancel_when(job: Any, interrupted: Sequence[int]) -> None:
    """Cancel the job after Ctrl-C, also while it waits in the queue."""
    while not interrupted:
        time.sleep(_POLL_S)
    with contextlib.suppress(ImpastoError):  # it has ended, or the server is away
        job.cancel()


def _conclude(job: Any, options: Options, output: Path, server: str) -> None:
    summary = job.values["summary"]
    if options.as_json:
        print_json({**summary, "output": str(output), "render": job.id})
    elif not options.quiet:
        print_lines(
            f"{output}: {summary['width']}x{summary['height']} px, {summary['iterations']} iterations "
            f"({summary['evaluations']} evaluations) in {summary['seconds']:.1f} s with {summary['model']} on "
            f"{summary['provider']}, {summary['precision']}, at {server}"
        )


def _format(output: Path, bits: int) -> str:
    extension = output.suffix.lower()
    name = _FORMATS.get(extension, "npy")
    return f"{name}16" if bits == 16 and name in ("png", "tiff") else name


def _no_snapshot() -> Any:
    raise ImpastoError("a remote run has no snapshots; its previews are at the server")
