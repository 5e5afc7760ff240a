"""`impasto transfer`: two images to a picture."""

from contextlib import ExitStack
from functools import partial
from typing import Annotated

import typer

from impasto.engine.cli import options
from impasto.engine.cli.job import Job, interruptible
from impasto.engine.cli.watching import watch
from impasto.engine.settings import CONTENT_TAPS, STYLE_TAPS, Settings


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
        int,
        typer.Option(
            min=0, help="Draft on --model (auto: vgg19-slim), then finish with N evaluations of vgg19; 0 is none."
        ),
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
    report_every: options.ReportEvery = None,
    dry_run: options.DryRun = False,
    ignore_memory: options.IgnoreMemory = False,
    quiet: options.Quiet = False,
    as_json: options.AsJson = False,
) -> None:
    """Paint CONTENT in the style of STYLE.

    Ctrl-C stops after the evaluation that is running, writes what there is and exits with 130.
    """
    from impasto.engine.cli.refining import Refining
    from impasto.engine.jobs.engine import Engine

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
    job = Job(output, bits=bits, save_every=save_every, quiet=quiet, as_json=as_json, report_every=report_every)
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
    with interruptible() as interrupted, ExitStack() as opened:
        refining = Refining(opened, open_engine, model, refine, job) if refine else None
        engine = refining.draft if refining else opened.enter_context(open_engine(model))
        remarks = refining.remarks(settings) if refining else [engine.network.choice]
        runs = refining or engine
        if dry_run:
            for remark in remarks if refining else ():
                job.say(remark)
            job.show(runs.plan(content, style, settings))
            return
        steps = iterations + (refining.steps if refining else 0)
        render = partial(runs.transfer, content, style, settings)
        job.run(engine, settings, render, interrupted, iterations=steps, networks=remarks)
        if refining:
            refining.conclude()
