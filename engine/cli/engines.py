"""`impasto engines`: what TensorRT has built, and building ahead of a run."""

import json
from dataclasses import replace
from typing import Annotated

import typer

from impasto.engine.cli import options
from impasto.engine.settings import CONTENT_TAPS, STYLE_TAPS, Settings
from impasto.models.errors import ImpastoError

engines_app = typer.Typer(no_args_is_help=True, help="TensorRT's engines: build them ahead, list them, delete them.")


@engines_app.command("build")
def build(
    content: options.Content,
    style: options.Style,
    model: options.Model = "auto",
    size: options.Size = 512,
    style_size: options.StyleSize = None,
    content_tap: options.ContentTaps = None,
    style_tap: options.StyleTaps = None,
    content_weight: options.ContentWeight = None,
    style_weight: options.StyleWeight = None,
    tv_weight: options.TvWeight = None,
    weighting: options.Weighting = "paper",
    pool: options.Pool = "avg",
    seamless: options.Seamless = False,
    batch: Annotated[int, typer.Option(help="Pictures in one evaluation, as `impasto batch` has.")] = 1,
    precision: options.Precision = "auto",
    provider: Annotated[
        str,
        typer.Option(help="tensorrt, which auto stands for here; tensorrt:1 is the second GPU. No other has engines."),
    ] = "tensorrt",
) -> None:
    """Build the engines that a transfer of CONTENT in the style of STYLE needs: minutes, once per size.

    A reconstruction has its own: --style-weight 0 or --content-weight 0 leaves out the terms that it does without. So
    has total variation, whatever its weight.
    """
    from impasto.engine.inputs.pictures import as_vector, read_pictures
    from impasto.engine.jobs.engine import LARGEST_BATCH, Engine

    if not 1 <= batch <= LARGEST_BATCH:
        raise ImpastoError(f"bad --batch {batch}: allowed are 1 to {LARGEST_BATCH} pictures in one evaluation")
    settings = Settings(
        size=size,
        style_size=style_size,
        content_taps=options.taps(content_tap, CONTENT_TAPS),
        style_taps=options.taps(style_tap, STYLE_TAPS),
        content_weight=content_weight,
        style_weight=style_weight,
        tv_weight=tv_weight,
        weighting=weighting,
        pool=pool,
        seamless=seamless,
    )
    with Engine(model, provider=_of_engines(provider), precision=precision, build_engines=True) as engine:
        scene, painting = read_pictures(content, style, settings)
        form = replace(engine.compiler.form(settings, scene), batch=batch)
        evaluator = engine.compiler.evaluator(form)
        engine.compiler.load(evaluator, 0, settings, scene, painting)
        score = evaluator({0: as_vector(scene.pixels)})[0]
        where = f"{scene.width}x{scene.height} px" + (f", {batch} at once" if batch > 1 else "")
        print(
            f"ready on {engine.provider.name} in {engine.provider.precision}, {where}; "
            f"loss at the start {score.loss:.6g}"
        )


@engines_app.command("list")
def list_(as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array.")] = False) -> None:
    """Show the engines in the cache: GPU and version, precision and graph, size."""
    from impasto.engine.runtime.providers.engine_cache import list_engines

    found = list_engines()
    if as_json:
        print(json.dumps([{"machine": item.machine, "name": item.name, "megabytes": item.megabytes} for item in found]))
        return
    for item in found:
        print(f"{item.machine}  {item.name}  {item.megabytes:.1f} MB")
    if not found:
        print("no engines; `impasto engines build CONTENT STYLE` makes them, on a machine with TensorRT")


@engines_app.command("clear")
def clear() -> None:
    """Delete all engines and timings; they are built again when they are needed."""
    from impasto.engine.runtime.providers.engine_cache import clear_engines

    count, megabytes = clear_engines()
    print(f"{count} engines deleted, {megabytes:.1f} MB given back")


def _of_engines(provider: str) -> str:
    """Return the provider whose engines are to be built.

    Args:
        provider: as on the command line; "auto" is TensorRT, the only one that has any.

    Raises:
        ImpastoError: it has none, or TensorRT does not work here.
    """
    from impasto.engine.runtime.providers import tensorrt
    from impasto.engine.runtime.providers.choice import AUTO

    name = provider.partition(",")[0].partition(":")[0]
    if provider != AUTO and name != tensorrt.NAME:
        raise ImpastoError(
            f"no engines for provider {provider}: allowed are {tensorrt.NAME} and {AUTO}; other providers need none, "
            "run `impasto transfer` with it at once"
        )
    found = tensorrt.probe(build=True)
    if not found.works:
        raise ImpastoError(
            f"provider {tensorrt.NAME} does not work here: {found.reason}; no other has engines, see `impasto doctor`"
        )
    return tensorrt.NAME if provider == AUTO else provider
