"""`impasto check`: the errors of loss and gradient on a provider in a precision."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from impasto.engine.cli.declare import takes
from impasto.engine.cli.options import ENGINE, OBJECTIVE, Content, Options, Style, json_option
from impasto.engine.cli.terminal import print_lines

if TYPE_CHECKING:
    from impasto.engine.jobs.checking import Check

FAILED = 1


@takes(*OBJECTIVE, *ENGINE, "quiet", as_json=json_option("Print one JSON object."))
def check(
    options: Options,
    content: Content,
    style: Style,
    image: Annotated[
        Path | None, typer.Option(help="Where to evaluate, such as a finished picture. (default: the content image)")
    ] = None,
) -> None:
    """Compare one evaluation with float32 on cpu,plain; the status is 1 if the errors are too large."""
    from impasto.engine.jobs.checking import check as compare

    result = compare(
        options.model,
        content if image is None else image,
        content,
        style,
        options.settings(),
        provider=options.provider,
        precision=options.precision,
        threads=options.threads,
        build_engines=options.build_engines,
        checks_memory=not options.ignore_memory,
        tell=lambda line: None if options.as_json else options.say(line),
    )
    if options.as_json:
        verdict = {"ok": not result.complaints, "complaints": list(result.complaints)}
        print(json.dumps({**asdict(result), **verdict}))
    else:
        print_lines(*_describe(result).split("\n"))
    if result.complaints:
        raise typer.Exit(FAILED)


def _describe(result: "Check") -> str:
    rows = {"": f"{'error':<9} share of the loss"}
    for name, error in result.term_errors.items():
        rows[name] = f"{error:<9.1e} {100 * result.terms[name] / (result.loss or 1.0):.2g} %"
    rows["loss"] = f"{result.loss_error:.1e}"
    rows["gradient"] = f"{result.gradient_error:.1e}"
    rows["gradient, cosine"] = f"{result.gradient_cosine:.6f}"
    rows["first evaluation"] = f"{result.evaluation_s:.3f} s, {result.reference_s:.3f} s in fp32"
    title = f"{result.provider} in {result.precision} against cpu in fp32, loss {result.loss:.6g}"
    complaints = "; ".join(result.complaints)
    verdict = f"not good enough: {complaints}" if complaints else "good enough for the optimiser"
    return "\n".join([title, *(f"  {name:<22} {text}" for name, text in rows.items()), verdict])
