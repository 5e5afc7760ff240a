"""`impasto weights`: list the networks, and get more."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich import progress
from rich.console import Console
from rich.table import Table

from impasto.engine.cli import options
from impasto.engine.cli.job import say
from impasto.models.errors import ImpastoError
from impasto.models.layout import LAYOUTS
from impasto.models.sources import SOURCES, find_source
from impasto.models.store import EMBEDDED, list_networks, network_path

if TYPE_CHECKING:
    from impasto.export.network_info import NetworkInfo

PIPED_WIDTH = 200

weights_app = typer.Typer(help="List, fetch and import networks.", no_args_is_help=True)


@weights_app.command("list")
def list_command() -> None:
    """Show the installed networks, and those that can be fetched."""
    from impasto.export.network_info import read_info

    console = Console() if sys.stdout.isatty() else Console(width=PIPED_WIDTH)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("name", "size", "taps", "preprocessing (x: RGB, 0..1)", "licence", "path"):
        table.add_column(title, overflow="fold", justify="right" if title == "size" else "left")
    for name in list_networks():
        try:
            table.add_row(*_row(read_info(network_path(name))))
        except ImpastoError as error:
            table.add_row(name, "", "", "", "", str(error))
    console.print(table, markup=False)
    for source in SOURCES.values():
        line = f"can be fetched: {source.name}, {source.megabytes} MB, {source.origin.licence}, {source.url}"
        console.print(line, soft_wrap=True, highlight=False, markup=False)


@weights_app.command()
def fetch(
    name: Annotated[str, typer.Argument(help=f"One of: {', '.join(SOURCES)}.", show_default=False)],
    url: Annotated[str | None, typer.Option(help="Mirror to take the same file from.", show_default=False)] = None,
) -> None:
    """Download a network from its official address and make it ready for use.

    An interrupted download resumes where it stopped. The conversion needs PyTorch, the extra `export`.
    A network with the same name that was made from other weights is replaced.
    """
    from impasto.export.fetch import fetch_network

    if name == EMBEDDED:
        print(f"{name} is in the package already")
        _print_network(network_path(name))
        return
    source = find_source(name)
    with _progress_bar(source.name) as show:
        fetched = fetch_network(source, url, on_progress=show, on_wait=_say_waiting)
    if not fetched.is_new:
        print(f"{name} is in the cache already")
    _print_network(fetched.path)


@weights_app.command("import")
def import_command(
    file: Annotated[
        Path,
        typer.Argument(help="VGG-19 weights (.safetensors .pth .npz) or a features model (.onnx).", show_default=False),
    ],
    name: Annotated[str, typer.Option(help="Under which the network is found afterwards.", show_default=False)],
    layout: Annotated[
        str | None,
        typer.Option(help=f"Of a weights file: {', '.join(LAYOUTS)}. (default: detected)", show_default=False),
    ] = None,
) -> None:
    """Install a network from a file that you have."""
    from impasto.export.tap_model import import_network

    _print_network(import_network(file, name, layout=layout))


@weights_app.command()
def normalise(
    name: Annotated[str, typer.Argument(help="A network from `impasto weights list`, or a file.", show_default=False)],
    pictures: Annotated[
        list[Path],
        typer.Option("--images", help="Image files or folders of them, repeatable.", show_default=False),
    ],
    output: Annotated[
        str,
        typer.Option("--output", "-o", help="A name for the cache, or a file .onnx.", show_default=False),
    ],
    pool: Annotated[str, typer.Option(help="Pooling of the runs it is for: avg or max.")] = "avg",
    provider: options.Provider = "cpu",
    precision: options.Precision = "fp32",
    threads: options.Threads = 0,
) -> None:
    """Scale a network so that every filter's mean activation over the images is 1 (Gatys et al., CVPR 2016).

    The outputs are the same up to these factors. The means are computed in float32 on the CPU provider
    unless --provider and --precision say otherwise.
    """
    from impasto.engine.compile.normalising import normalise_network
    from impasto.engine.runtime.providers import choose

    chosen = choose(provider, precision)
    say(chosen.choice)
    path, count, silent = normalise_network(name, pictures, output, pool, provider=chosen, threads=threads)
    _print_network(path)
    note = f"; {silent} filters that none of them activates are unchanged" if silent else ""
    narrow = "" if chosen.precision == "fp32" else f", in {chosen.precision}"
    print(f"normalised     mean activation 1 over {count} pictures, {pool} pooling{narrow}{note}")


def _row(info: "NetworkInfo") -> tuple[str, ...]:
    return (
        info.name,
        f"{info.size_bytes / 1e6:.0f} MB",
        _span(info.taps),
        info.preprocess or "its own",
        info.licence or "not stated",
        str(info.path),
    )


def _span(taps: tuple[str, ...]) -> str:
    return ", ".join(taps) if len(taps) <= 3 else f"{taps[0]} ... {taps[-1]} ({len(taps)})"


def _print_network(path: Path) -> None:
    from impasto.engine.compile.network import load_network
    from impasto.export.network_info import read_info

    load_network(path)  # hashes and reads it, so that the first run need not
    info = read_info(path)
    print(f"network        {info.name}, {info.size_bytes / 1e6:.0f} MB, {path}")
    print(f"taps           {', '.join(info.taps)}")
    layout = f"  ({info.layout} layout; --layout takes another one)" if info.layout else ""
    print(f"preprocessing  {info.preprocess or 'its own'}{layout}")
    print(f"licence        {info.licence or 'not stated'}")
    print(f"attribution    {info.attribution or 'not stated'}")


def _say_waiting() -> None:
    print("another process is fetching this network: waiting for it", file=sys.stderr)


@contextmanager
def _progress_bar(title: str) -> Iterator[Callable[[int, int | None], None]]:
    """Show a download on stderr, where that is a terminal."""
    console = Console(stderr=True)
    bar = progress.Progress(
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.DownloadColumn(),
        progress.TransferSpeedColumn(),
        progress.TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
        transient=True,
    )
    with bar:
        task = bar.add_task(title, total=None)

        def show(received: int, total: int | None) -> None:
            bar.update(task, completed=received, total=total)

        yield show
