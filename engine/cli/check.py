"""`impasto check`: what a provider and a precision do to loss and gradient."""

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from impasto.engine.cli import options
from impasto.engine.cli.job import say, silent
from impasto.engine.settings import CONTENT_TAPS, STYLE_TAPS, Settings

if TYPE_CHECKING:
    from impasto.engine.jobs.checking import Check

FAILED = 1


def check(
    content: options.Content,
    style: options.Style,
    image: Annotated[
        Path | None,
        typer.Option(help="Where to evaluate, such as a finished picture. (default: the content image)"),
    ] = None,
    model: options.Model = "auto",
    size: options.Size = 512,
    style_size: options.StyleSize = None,
    content_weight: options.ContentWeight = None,
    style_weight: options.StyleWeight = None,
    tv_weight: options.TvWeight = None,
    content_tap: options.ContentTaps = None,
    style_tap: options.StyleTaps = None,
    weighting: options.Weighting = "paper",
    pool: options.Pool = "avg",
    seamless: options.Seamless = False,
    provider: options.Provider = "auto",
    precision: options.Precision = "auto",
    build_engines: options.BuildEngines = False,
    threads: options.Threads = 0,
    ignore_memory: options.IgnoreMemory = False,
    quiet: options.QuietChoice = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Compare one evaluation with float32 on the CPU provider; the status is 1 where it is too far off."""
    from impasto.engine.jobs.checking import check as compare

    settings = Settings(
        size=size,
        style_size=style_size,
        content_weight=content_weight,
        style_weight=style_weight,
        tv_weight=tv_weight,
        content_taps=options.taps(content_tap, CONTENT_TAPS),
        style_taps=options.taps(style_tap, STYLE_TAPS),
        weighting=weighting,
        pool=pool,
        seamless=seamless,
    )
    result = compare(
        model,
        content if image is None else image,
        content,
        style,
        settings,
        provider=provider,
        precision=precision,
        threads=threads,
        build_engines=build_engines,
        checks_memory=not ignore_memory,
        tell=silent if quiet or as_json else say,
    )
    if as_json:
        verdict = {"ok": not result.complaints, "complaints": list(result.complaints)}
        print(json.dumps({**dataclasses.asdict(result), **verdict}))
    else:
        print(_in_words(result))
    if result.complaints:
        raise typer.Exit(FAILED)


def _in_words(result: "Check") -> str:
    """Say one line per figure, and the verdict."""
    lines = [
        f"{result.provider} in {result.precision} against cpu in fp32, loss {result.loss:.6g}",
        f"  {'':<22} {'error':<9} share of the loss",
    ]
    lines += [
        f"  {name:<22} {error:<9.1e} {100 * result.terms[name] / (result.loss or 1.0):.2g} %"
        for name, error in result.term_errors.items()
    ]
    lines += [
        f"  {'loss':<22} {result.loss_error:.1e}",
        f"  {'gradient':<22} {result.gradient_error:.1e}",
        f"  {'gradient, cosine':<22} {result.gradient_cosine:.6f}",
        f"  {'first evaluation':<22} {result.evaluation_s:.3f} s, {result.reference_s:.3f} s in fp32",
    ]
    verdict = "; ".join(result.complaints)
    return "\n".join([*lines, f"not good enough: {verdict}" if verdict else "good enough for the optimiser"])
