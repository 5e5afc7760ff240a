"""`impasto weights`: list, fetch, import and normalise networks."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from impasto.engine.cli.declare import option, takes
from impasto.engine.cli.options import Options
from impasto.engine.cli.terminal import print_lines, say
from impasto.models.errors import ImpastoError, printable
from impasto.models.layout import LAYOUTS
from impasto.models.sources import SOURCES, find_source
from impasto.models.store import EMBEDDED, list_networks, network_path

PIPED_WIDTH = 200
WAITING = "another process is fetching this network: waiting for it"

weights_app = typer.Typer(help="List, fetch and import networks.", no_args_is_help=True)


@weights_app.command("list")
def list_command() -> None:
    """Show the installed networks, and those that can be fetched."""
    from rich.console import Console
    from rich.table import Table

    from impasto.export.network_info import read_info

    console = Console() if sys.stdout.isatty() else Console(width=PIPED_WIDTH)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("name", "size", "taps", "preprocessing (x: RGB, 0..1)", "licence", "path"):
        table.add_column(title, overflow="fold", justify="right" if title == "size" else "left")
    for name in list_networks():
        try:
            info = read_info(network_path(name))
        except ImpastoError as error:
            table.add_row(*map(printable, (name, "", "", "", "", str(error))))
            continue
        size, preprocess = f"{info.size_bytes / 1e6:.0f} MB", info.preprocess or "its own"
        taps, count = info.taps, len(info.taps)
        span = ", ".join(taps) if count <= 3 else f"{taps[0]} ... {taps[-1]} ({count})"
        cells = (info.name, size, span, preprocess, info.licence or "not stated", str(info.path))
        table.add_row(*map(printable, cells))
    console.print(table, markup=False)
    for source in SOURCES.values():
        line = f"can be fetched: {source.name}, {source.megabytes} MB, {source.origin.licence}, {source.url}"
        console.print(line, soft_wrap=True, highlight=False, markup=False)


@weights_app.command()
def fetch(
    name: Annotated[str, typer.Argument(help=f"One of: {', '.join(SOURCES)}.")],
    url: Annotated[str | None, typer.Option(help="A mirror of the same file.")] = None,
) -> None:
    """Download a network from its official address and make it ready for use.

    An interrupted download resumes where it stopped. The conversion needs PyTorch, the extra `export`.
    A network with the same name that was made from other weights is replaced.
    """
    from impasto.engine.cli.progress import download_progress
    from impasto.engine.compile.installing import install
    from impasto.export.fetch import fetch_network

    if name == EMBEDDED:
        print_lines(f"{name} is in the package already")
        _print_network(network_path(name))
        return
    source = find_source(name)
    with download_progress(source.name) as show:
        fetched = fetch_network(source, url, on_progress=show, on_wait=lambda: say(WAITING), convert=install)
    if not fetched.is_new:
        print_lines(f"{name} is in the cache already")
    _print_network(fetched.path)


@weights_app.command("import")
def import_command(
    file: Annotated[Path, typer.Argument(help="VGG-19 weights (.safetensors .pth .npz) or a features model (.onnx).")],
    name: Annotated[str, typer.Option(help="Name of the new network, for --model.")],
    layout: Annotated[
        str | None, typer.Option(help=f"Layout of a weights file: {', '.join(LAYOUTS)}. (default: detected)")
    ] = None,
) -> None:
    """Install a network from a file that you have.

    The network is tried on a small image first. If it does not work, a network of the same name stays as it is.
    """
    from impasto.engine.compile.installing import install

    _print_network(install(file, name, layout=layout))


@weights_app.command()
@takes(
    "threads",
    pool=option(Options.pool, "Pooling of the runs that will use the network: avg or max."),
    provider="cpu,plain",
    precision="fp32",
)
def normalise(
    options: Options,
    name: Annotated[str, typer.Argument(help="A network from `impasto weights list`, or a file.")],
    pictures: Annotated[
        list[Path], typer.Option("--images", help="Image files or folders of them, repeatable.", metavar="PATH")
    ],
    output: Annotated[str, typer.Option("--output", "-o", help="A name for the cache, or a file .onnx.")],
) -> None:
    """Scale a network so that every filter's mean activation over the images is 1 (Gatys et al., CVPR 2016).

    The outputs are the same up to these factors. By default the means are computed in float32 with cpu,plain, so
    that the file does not depend on a compiler. --provider and --precision select others.
    """
    from impasto.engine.compile.normalising import conditions, normalise_network
    from impasto.engine.runtime.providers import choose

    chosen = choose(options.provider, options.precision)
    say(chosen.choice)
    path, count, silent = normalise_network(
        name, pictures, output, options.pool, provider=chosen, threads=options.threads
    )
    _print_network(path)
    note = f"; {silent} filters that none of them activates are unchanged" if silent else ""
    print_lines(f"normalised     {conditions(count, options.pool, chosen)}{note}")


def _print_network(path: Path) -> None:
    from impasto.engine.compile.network import load_network
    from impasto.export.network_info import read_info

    load_network(path)  # hashes and reads the file now, which saves time in the first run
    info = read_info(path)
    print_lines(f"network        {info.name}, {info.size_bytes / 1e6:.0f} MB, {path}")
    print_lines(f"taps           {', '.join(info.taps)}")
    layout = f"  ({info.layout} layout; --layout takes another one)" if info.layout else ""
    print_lines(f"preprocessing  {info.preprocess or 'its own'}{layout}")
    print_lines(f"licence        {info.licence or 'not stated'}")
    print_lines(f"attribution    {info.attribution or 'not stated'}")
