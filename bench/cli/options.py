"""The options that all benchmarks take, said once: a command declares its own and is given the rest as two values."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from impasto.bench.sampling import Effort
from impasto.bench.subject import LARGEST_PX, SIZES_PX, Subject
from impasto.engine.cli import options
from impasto.engine.settings import CONTENT_TAPS, STYLE_TAPS, Settings
from impasto.export.taps import SMALLEST_SIDE_PX

Batch = Annotated[int, typer.Option(help="Pictures in one evaluation.")]


@dataclass(frozen=True)
class Common:
    """What the shared options come to.

    Attributes:
        subject: what is measured.
        effort: how much.
        json: the file; None is none.
        quiet: no progress.
    """

    subject: Subject
    effort: Effort
    json: Path | None
    quiet: bool


def shared(
    content: Annotated[
        Path | None, typer.Option(help="The content image, made square. (default: a drawn one)", show_default=False)
    ] = None,
    style: Annotated[
        Path | None, typer.Option(help="The style image, made square. (default: a drawn one)", show_default=False)
    ] = None,
    model: options.Model = "auto",
    provider: options.Provider = "auto",
    precision: options.Precision = "auto",
    build_engines: options.BuildEngines = False,
    threads: options.Threads = 0,
    batch: Batch = 1,
    size: Annotated[
        list[int] | None,
        typer.Option(
            help=f"Side of the square pictures, {SMALLEST_SIDE_PX} to {LARGEST_PX} px, repeatable. "
            f"(default: {' '.join(map(str, SIZES_PX))})"
        ),
    ] = None,
    content_weight: options.ContentWeight = None,
    style_weight: options.StyleWeight = None,
    tv_weight: options.TvWeight = None,
    content_tap: options.ContentTaps = None,
    style_tap: options.StyleTaps = None,
    weighting: options.Weighting = "paper",
    pool: options.Pool = "avg",
    seamless: options.Seamless = False,
    init: Annotated[str, typer.Option(help="Start from content, noise or style.")] = "content",
    optimizer: options.Optimizer = "lbfgs",
    history: options.History = 10,
    loop: options.Loop = "auto",
    duration: Annotated[float, typer.Option(help="Seconds for each thing that is measured.")] = Effort.duration_s,
    warm_up: Annotated[int, typer.Option(help="Evaluations before anything counts.")] = Effort.warm_up,
    json: Annotated[
        Path | None, typer.Option("--json", help="Write conditions and every sample here: .json", show_default=False)
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> Common:
    """Return what the options come to.

    Raises:
        ImpastoError: a value is out of range, a picture cannot be read, or the file cannot be written.
    """
    from impasto.bench import record

    settings = Settings(
        size=0,
        content_weight=content_weight,
        style_weight=style_weight,
        tv_weight=tv_weight,
        content_taps=options.taps(content_tap, CONTENT_TAPS),
        style_taps=options.taps(style_tap, STYLE_TAPS),
        weighting=weighting,
        pool=pool,
        seamless=seamless,
        init=init,
        optimizer=optimizer,
        history=history,
    )
    subject = Subject(
        model=model,
        provider=provider,
        precision=precision,
        threads=threads,
        build_engines=build_engines,
        loop=loop,
        batch=batch,
        sizes=tuple(size or SIZES_PX),
        content=content,
        style=style,
        settings=settings,
    )
    if json is not None:
        record.check_place(json)
    return Common(subject, Effort(duration, warm_up), json, quiet)


def with_shared(*without: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return a decorator that gives a command the shared options, as a first argument of type `Common`.

    Typer reads a function's signature; the one it finds is the command's own parameters and then the shared ones.

    Args:
        without: names of shared options that the command lacks or declares itself.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]
        common = [
            parameter
            for parameter in inspect.signature(shared, eval_str=True).parameters.values()
            if parameter.name not in without
        ]

        def wrapped(**values: Any) -> None:
            given = {parameter.name: values.pop(parameter.name) for parameter in common}
            command(shared(**given), **values)

        parameters = [item.replace(kind=inspect.Parameter.KEYWORD_ONLY) for item in (*own, *common)]
        wrapped.__name__, wrapped.__doc__ = command.__name__, command.__doc__
        wrapped.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        wrapped.__annotations__ = {item.name: item.annotation for item in parameters}
        return wrapped

    return decorate
