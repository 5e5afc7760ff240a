"""Seconds for one evaluation of loss and gradient, of one picture or of a batch.

An evaluation is what the optimiser waits for: the image goes to the device, loss terms and gradient come back, and the
device has finished. It starts from the content image each time.
"""

import dataclasses
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from impasto.bench.clock import Clock, WallClock
from impasto.bench.effort import Effort
from impasto.bench.sampling import interleaved, timed
from impasto.bench.series import Series
from impasto.bench.subject import Subject, engine_facts, engine_name
from impasto.bench.watch import Watch
from impasto.engine.preparation import initial_image, read_pictures

if TYPE_CHECKING:
    from impasto.engine.render import Engine


def measure(subject: Subject, effort: Effort, watch: Watch, clock: Clock | None = None) -> Iterator[Series]:
    """Yield one series per size."""
    clock = clock or WallClock()
    for size in subject.sizes:
        if watch.stopped():
            return
        watch.stage(f"{size} px, setting up", 1)
        content, style = subject.pictures(size)
        start_s = clock.now()
        with subject.open() as engine:
            evaluate = _evaluation(engine, subject, content, style)
            setup_s = clock.now() - start_s
            first_s = timed(evaluate, clock)
            for _ in range(effort.warm_up - 1):
                evaluate()
            name = engine_name(engine, subject.batch)
            watch.stage(f"{size} px, {name}", 1)
            samples = interleaved({name: evaluate}, effort, watch, clock)[name]
            if not samples:
                return
            facts = {**engine_facts(engine, subject.batch), "setup_s": setup_s, "first_s": first_s}
            yield Series(name, "evaluation", size, samples, subject.batch, evaluate(), facts=facts)


def _evaluation(engine: "Engine", subject: Subject, content: np.ndarray, style: np.ndarray) -> Callable[[], float]:
    """Return what evaluates as many pictures as the batch has, all with the same targets, and returns their loss."""
    settings = subject.settings
    scene, painting = read_pictures(content, style, settings)
    form = dataclasses.replace(engine.compiler.form(settings, scene), batch=subject.batch)
    evaluator = engine.compiler.evaluator(form)
    for sample in range(subject.batch):
        engine.compiler.load(evaluator, sample, settings, scene, painting)
    images = dict.fromkeys(range(subject.batch), initial_image(settings, scene, painting))
    return lambda: evaluator(images)[0].loss
