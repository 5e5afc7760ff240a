"""`impasto engines`: build TensorRT's engines before a run, list them, delete them."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from impasto.engine.cli.declare import MACHINE, option, takes
from impasto.engine.cli.options import OBJECTIVE, Content, Options, Style
from impasto.engine.cli.terminal import print_lines
from impasto.models.errors import ImpastoError

PROVIDERS = "tensorrt, or auto, which means the same; tensorrt:1 is the second GPU. Other providers have no engines."

engines_app = typer.Typer(
    no_args_is_help=True, help="TensorRT's engines: build them before a run, list them, delete them."
)


@engines_app.command("build")
@takes(*OBJECTIVE, "precision", provider=option("tensorrt", PROVIDERS, MACHINE))
def build(
    options: Options,
    content: Content,
    style: Style,
    batch: Annotated[int, typer.Option(help="Pictures in one evaluation, as for `impasto batch`.")] = 1,
) -> None:
    """Build the engines for a transfer of CONTENT in the style of STYLE. It takes minutes, once per size.

    A reconstruction needs other engines: give --style-weight 0 or --content-weight 0.
    A run with total variation also needs other engines: give its --tv-weight, or any value above 0.
    """
    from impasto.engine.inputs.sizes import measure_pictures
    from impasto.engine.jobs.network_user import LARGEST_BATCH

    if not 1 <= batch <= LARGEST_BATCH:
        raise ImpastoError(f"bad --batch {batch}: allowed are 1 to {LARGEST_BATCH} pictures in one evaluation")
    settings = options.settings()
    with options.engine(provider=_of_engines(options.provider), build_engines=True) as engine:
        scene, _ = measure_pictures(content, style, settings)
        score = engine.warm_up(content, style, settings, batch=batch)
        where = f"{scene.width}x{scene.height} px" + (f", {batch} at once" if batch > 1 else "")
        print(
            f"ready on {engine.provider.name} in {engine.provider.precision}, {where}; "
            f"loss at the start {score.loss:.6g}"
        )


@engines_app.command("list")
def list_(as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array.")] = False) -> None:
    """Show the engines in the cache: GPU and version, precision and graph, size."""
    from impasto.engine.runtime.providers.tensorrt import list_engines

    found = list_engines()
    if as_json:
        print(json.dumps([asdict(item) for item in found]))
        return
    for item in found:
        print_lines(f"{item.machine}  {item.name}  {item.megabytes:.1f} MB")
    if not found:
        print("no engines; `impasto engines build CONTENT STYLE` makes them, on a machine with TensorRT")


@engines_app.command("clear")
def clear() -> None:
    """Delete all engines and timings. TensorRT builds them again when a run needs them."""
    from impasto.engine.runtime.providers.tensorrt import clear_engines

    count, megabytes = clear_engines()
    print(f"{count} engines deleted, {megabytes:.1f} MB freed")


def _of_engines(provider: str) -> str:
    """Return the provider whose engines are to be built; "auto" is TensorRT, the only one that has any."""
    from impasto.engine.runtime.providers import tensorrt
    from impasto.engine.runtime.providers.choice import AUTO

    name = provider.partition(",")[0].partition(":")[0]
    if provider != AUTO and name != tensorrt.NAME:
        raise ImpastoError(
            f"no engines for provider {provider}: allowed are {tensorrt.NAME} and {AUTO}; other providers need no "
            "engines, so run `impasto transfer` directly"
        )
    found = tensorrt.probe(build=True)
    if not found.works:
        raise ImpastoError(f"provider {tensorrt.NAME} does not work here: {found.reason}; see `impasto doctor`")
    return tensorrt.NAME if provider == AUTO else provider
