"""`impasto transfer`: two images to a picture."""

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from impasto.engine.cli import options
from impasto.engine.cli.job import Job, interruptible
from impasto.engine.cli.watching import watch
from impasto.engine.settings import CONTENT_TAPS, STYLE_TAPS, Settings
from impasto.models.errors import ImpastoError
from impasto.models.store import EMBEDDED, FULL, list_networks

if TYPE_CHECKING:
    from impasto.engine.network import Network
    from impasto.engine.render import Engine


def transfer(
    content: options.Content,
    style: options.Style,
    output: options.Output,
    model: options.Model = "auto",
    size: options.Size = 512,
    style_size: options.StyleSize = None,
    iterations: options.Iterations = Settings.iterations,
    evaluations: options.Evaluations = None,
    timeout_s: options.TimeoutS = None,
    history: options.History = Settings.history,
    content_weight: options.ContentWeight = None,
    style_weight: options.StyleWeight = None,
    tv_weight: options.TvWeight = None,
    content_tap: options.ContentTaps = None,
    style_tap: options.StyleTaps = None,
    weighting: options.Weighting = "paper",
    pool: options.Pool = "avg",
    seamless: options.Seamless = False,
    init: options.Init = Settings.init,
    seed: options.Seed = Settings.seed,
    optimizer: options.Optimizer = Settings.optimizer,
    learning_rate: options.LearningRate = Settings.learning_rate,
    bounded: options.Bounded = Settings.bounded,
    refine: Annotated[
        int, typer.Option(min=0, help="Draft on vgg19-slim, then finish with so many evaluations of vgg19; 0 is none.")
    ] = 0,
    bits: options.Bits = 8,
    save_every: options.SaveEvery = 0,
    report: options.Report = None,
    animation: options.Animation = None,
    preview: options.Preview = False,
    preview_as: options.PreviewAs = None,
    provider: options.Provider = "auto",
    precision: options.Precision = "auto",
    build_engines: options.BuildEngines = False,
    threads: options.Threads = 0,
    loop: options.Loop = "auto",
    dry_run: options.DryRun = False,
    ignore_memory: options.IgnoreMemory = False,
    quiet: options.Quiet = False,
    as_json: options.AsJson = False,
) -> None:
    """Paint CONTENT in the style of STYLE.

    Ctrl-C stops after the evaluation that is running, writes what there is and exits with 130.
    """
    from impasto.engine.refinement import transfer_refined
    from impasto.engine.render import Engine

    settings = Settings(
        size=size,
        style_size=style_size,
        iterations=iterations,
        evaluations=evaluations,
        timeout_s=timeout_s,
        history=history,
        content_weight=content_weight,
        style_weight=style_weight,
        tv_weight=tv_weight,
        content_taps=options.taps(content_tap, CONTENT_TAPS),
        style_taps=options.taps(style_tap, STYLE_TAPS),
        weighting=weighting,
        pool=pool,
        seamless=seamless,
        init=init,
        seed=seed,
        optimizer=optimizer,
        learning_rate=learning_rate,
        bounded=bounded,
    )
    job = Job(output, bits=bits, save_every=save_every, quiet=quiet, as_json=as_json)
    watch(
        job,
        content=content,
        style=style,
        report=report,
        animation=animation,
        preview=preview,
        preview_as=preview_as,
    )
    open_engine = partial(
        Engine,
        provider=provider,
        precision=precision,
        threads=threads,
        build_engines=build_engines,
        loop=loop,
        report_every=job.report_every,
        checks_memory=not ignore_memory,
    )
    with interruptible() as interrupted, open_engine(EMBEDDED if refine and model == "auto" else model) as engine:
        finish = _finisher(open_engine, engine.network, refine, job.say)
        if dry_run:
            with finish() if finish else nullcontext(engine) as largest:
                job.show(largest.plan(content, style, settings))
            return
        render = partial(transfer_refined, engine, finish, refine) if finish else engine.transfer
        steps = iterations + (refine if finish else 0)
        job.run(engine, settings, partial(render, content, style, settings), interrupted, iterations=steps)


def _finisher(
    open_engine: Callable[[str], "Engine"], draft: "Network", evaluations: int, say: Callable[[str], None]
) -> Callable[[], "Engine"] | None:
    """Return what makes the engine of a refinement; None where none is wanted or the full network is not there.

    Raises:
        ImpastoError: the draft is on the full network already.
    """
    if not evaluations:
        return None
    if draft.name == FULL:
        raise ImpastoError(f"nothing to refine: --model is {FULL} itself; leave --refine out, or the model to auto")
    if FULL not in list_networks():
        say(f"no refinement: {FULL} is not there; `impasto weights fetch {FULL}` gets it")
        return None
    return partial(open_engine, FULL)
