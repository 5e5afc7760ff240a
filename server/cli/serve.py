"""`impasto serve`: start the server."""

import logging
from pathlib import Path
from typing import Annotated

import typer

from impasto.engine.cli.cluster_options import check_needs_ray, ray_option, read_resources, resources_option
from impasto.engine.cli.terminal import say
from impasto.models.errors import ImpastoError, reason
from impasto.models.store import EMBEDDED
from impasto.server.cli.extra import require_extra
from impasto.server.config import DAY_S, GIB, EngineChoice, Limits, RayChoice, Retention, ServerConfig, Webhooks

_QUEUE, _ENGINE, _ACCESS, _KEPT = "Queue", "Engine", "Access", "What is kept"


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on; others than loopback need --keys.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 is any free one.")] = 8000,
    data: Annotated[Path | None, typer.Option(help="Folder of jobs and pictures. (default: the user's data)")] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            help="A network that jobs may name, repeatable; the first is the default.", rich_help_panel=_ENGINE
        ),
    ] = None,
    provider: Annotated[str, typer.Option(help="As for `impasto transfer`.", rich_help_panel=_ENGINE)] = "auto",
    precision: Annotated[str, typer.Option(help="As for `impasto transfer`.", rich_help_panel=_ENGINE)] = "auto",
    threads: Annotated[int, typer.Option(help="CPU threads of a worker; 0 is all.", rich_help_panel=_ENGINE)] = 0,
    workers: Annotated[
        int,
        typer.Option(help="Workers; 0 is 1, or as many as the Ray cluster has room for.", rich_help_panel=_ENGINE),
    ] = 0,
    slots: Annotated[
        int,
        typer.Option(
            help="Jobs that a worker runs at once; 0 is 1 on processors and 8 on GPUs.", rich_help_panel=_ENGINE
        ),
    ] = 0,
    ray: Annotated[str | None, ray_option("Run the workers on a Ray cluster", _ENGINE)] = None,
    resources: Annotated[str, resources_option(_ENGINE)] = "",
    checkpoint_s: Annotated[
        float | None,
        typer.Option(
            help="Seconds between two saved states of a job on a Ray cluster; a dead machine costs so much work. "
            f"(default: {RayChoice.checkpoint_s:g})",
            rich_help_panel=_ENGINE,
        ),
    ] = None,
    max_queue: Annotated[
        int, typer.Option(help="Jobs that may wait or run; more get 429.", rich_help_panel=_QUEUE)
    ] = Limits.queue_jobs,
    max_upload: Annotated[
        int, typer.Option(help="MiB of one image.", rich_help_panel=_QUEUE, metavar="MIB")
    ] = Limits.upload_bytes >> 20,
    max_pixels: Annotated[
        int, typer.Option(help="Pixels of one image, by its header.", rich_help_panel=_QUEUE)
    ] = Limits.pixels,
    max_iterations: Annotated[
        int, typer.Option(help="Iterations of one job.", rich_help_panel=_QUEUE)
    ] = Limits.iterations,
    rate: Annotated[
        str, typer.Option(help="Changing requests of one key or address, as 1200/minute.", rich_help_panel=_QUEUE)
    ] = Limits.submits,
    keys: Annotated[
        Path | None, typer.Option(help="File of the API keys: TOML with [[key]] entries.", rich_help_panel=_ACCESS)
    ] = None,
    allowed_host: Annotated[
        list[str] | None,
        typer.Option(help="A name by which clients call the server, repeatable.", rich_help_panel=_ACCESS),
    ] = None,
    webhook_host: Annotated[
        list[str] | None,
        typer.Option(help="A host (or HOST:PORT) that jobs may report to, repeatable.", rich_help_panel=_ACCESS),
    ] = None,
    webhook_secret: Annotated[
        Path | None, typer.Option(help="File of the secret that signs webhooks.", rich_help_panel=_ACCESS)
    ] = None,
    keep_days: Annotated[
        float, typer.Option(help="Days for which ended jobs are kept.", rich_help_panel=_KEPT)
    ] = Retention.age_s / DAY_S,
    keep_gib: Annotated[
        float, typer.Option(help="GiB of all files; the oldest jobs go first.", rich_help_panel=_KEPT)
    ] = Retention.total_bytes / GIB,
) -> None:
    """Serve pictures over HTTP: an API, metrics and a page, on a queue that survives crashes.

    Ctrl-C and SIGTERM stop the server within 10 seconds; running jobs save their states, and the next start continues.
    """
    require_extra()
    check_needs_ray(ray, resources=resources, checkpoint_s=checkpoint_s)
    every_s = RayChoice.checkpoint_s if checkpoint_s is None else checkpoint_s
    config = ServerConfig(
        data=data or _default_data(),
        host=host,
        port=port,
        workers=workers,
        ray=None if ray is None else RayChoice(ray, read_resources(resources), every_s),
        engine=EngineChoice(_models(model), provider, precision, threads, slots),
        limits=Limits(
            queue_jobs=max_queue,
            upload_bytes=max_upload << 20,
            pixels=max_pixels,
            iterations=max_iterations,
            submits=rate,
        ),
        retention=Retention(age_s=keep_days * DAY_S, total_bytes=keep_gib * GIB),
        webhooks=Webhooks(tuple(webhook_host or ()), _secret(webhook_secret)),
        keys=keys,
        allowed_hosts=tuple(allowed_host or ()),
    )
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    from impasto.server.service import Service

    service = Service(config)
    if service.homes.cluster is not None:
        say(service.homes.cluster.describe())
    say(f"data in {config.data}; networks {', '.join(service.state.planner.networks)}")
    service.serve(lambda url: say(f"serving on {url}; Ctrl-C stops"))


def _models(given: list[str] | None) -> tuple[str, ...]:
    """Return the networks: those that were given, or the automatic one and the fast one for drafts."""
    return tuple(given) if given else ("auto", EMBEDDED)


def _default_data() -> Path:
    from impasto.server.service import default_data

    return default_data()


def _secret(path: Path | None) -> bytes:
    if path is None:
        return b""
    try:
        return path.read_bytes().strip()
    except OSError as error:
        raise ImpastoError(f"cannot read {path}: {reason(error)}; give another --webhook-secret") from error
