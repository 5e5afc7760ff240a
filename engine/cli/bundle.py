"""`impasto bundle`: write the files that programs without Python run, and check them."""

from pathlib import Path
from typing import Annotated

import typer

from impasto.engine.cli.declare import LOOK, MACHINE, OPTIMISER, OUTPUT, option, takes
from impasto.engine.cli.options import Options, of_preset
from impasto.engine.cli.terminal import print_lines
from impasto.models.errors import ImpastoError

bundle_app = typer.Typer(
    help="Write graphs, weights and styles for programs without Python.", invoke_without_command=True
)

_OF_PRESET = (
    "preset", "stroke_size", "scales", "weighting", "style_loss", "tv_norm", "pool", "padding", "seamless",
    "optimizer", "history", "learning_rate", "average", "bounded",
)  # fmt: skip
_DEFAULT_SIZE = "512x512"


@bundle_app.callback()
@takes(
    "model", "strength", "smoothness", "style_size", "content_weight", LOOK, "quiet",
    provider=option("cpu", "What the graphs are rewritten for: cpu, cuda, or any.", MACHINE),
    precision=option("auto", "Precision of the convolutions: fp32; for cuda also fp16 or bf16.", MACHINE),
    force=option(False, "Replace a bundle that is in the folder.", OUTPUT, "--force"),
    **{name: value for name, value in of_preset().items() if name in _OF_PRESET},
)  # fmt: skip
def bundle(
    options: Options,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="The folder to make.")] = None,
    sizes: Annotated[
        list[str] | None,
        typer.Option("--size", metavar="WxH", help=f"Size of results, px; repeatable. (default: {_DEFAULT_SIZE})"),
    ] = None,
    styles: Annotated[
        list[Path] | None,
        typer.Option("--style", metavar="FILE", help="A style from `impasto style save`; repeatable. .safetensors"),
    ] = None,
    init: Annotated[
        str, typer.Option(help="What runs start from: content or noise.", rich_help_panel=OPTIMISER)
    ] = "content",
) -> None:
    """Write a folder of ONNX graphs with one file of weights. Programs in C, C++ and JavaScript render from it.

    `impasto bundle check DIR` verifies such a folder.
    """
    from impasto.engine.bundle import Order, write_bundle
    from impasto.engine.bundle.sizes import parse_size
    from impasto.engine.compile.network import load_network

    if output is None:
        raise ImpastoError("Missing option '--output' / '-o'; see `impasto bundle --help`")
    if init not in ("content", "noise"):
        raise ImpastoError(f"bad init {init!r} of a bundle: allowed are content and noise")
    order = Order(
        options.settings(init=init),
        tuple(parse_size(text) for text in sizes or [_DEFAULT_SIZE]),
        tuple(styles or ()),
        options.provider,
        options.precision,
    )
    network = load_network(options.model)
    options.say(network.choice)
    record = write_bundle(network, output, order, replace=options.force)
    if not options.quiet:
        total = sum(entry["bytes"] for entry in record["files"].values())
        places = ", ".join(f"{size['width']}x{size['height']}" for size in record["sizes"])
        print_lines(
            f"{output}: {network.name} at {places} px, {record['optimiser']['name']}, "
            f"{len(record['styles'])} styles, {len(record['files'])} files, {total / 1e6:.1f} MB"
        )
        if record["network"]["licence"]:
            print_lines(f"licence of the network: {record['network']['licence']}; {record['network']['attribution']}")


@bundle_app.command()
def check(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of a bundle.")],
    threads: Annotated[int, typer.Option(min=0, help="CPU threads; 0 is one per core.")] = 0,
) -> None:
    """Compare the files of a bundle with its manifest, and render 3 iterations at each size on the CPU."""
    from impasto.engine.bundle import check_bundle

    for one in check_bundle(folder, threads):
        losses = ", ".join(f"{loss:.6g}" for loss in one.losses)
        print_lines(f"{folder}: {one.width}x{one.height} px renders; loss {losses}")
