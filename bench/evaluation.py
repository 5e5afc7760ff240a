"""Seconds for one evaluation of loss and gradient, of one picture or of a batch.

An evaluation is what the optimiser waits for: the image goes to the device, loss terms and gradient come back, and the
device has finished. It starts from the content image each time. In a batch each picture has targets of its own; the
loss is their mean.
"""

import statistics
from collections.abc import Iterator

from impasto.bench.clock import Clock, WallClock
from impasto.bench.effort import Effort
from impasto.bench.own_batch import Batch
from impasto.bench.sampling import interleaved, timed
from impasto.bench.series import Series
from impasto.bench.subject import Subject, engine_facts, engine_name
from impasto.bench.watch import Watch


def measure(subject: Subject, effort: Effort, watch: Watch, clock: Clock | None = None) -> Iterator[Series]:
    """Yield one series per size."""
    clock = clock or WallClock()
    for size in subject.sizes:
        if watch.stopped():
            return
        watch.stage(f"{size} px, setting up", 1)
        pairs = subject.pairs(size)
        start_s = clock.now()
        with subject.open() as engine:
            evaluate = Batch(engine, subject.settings, pairs, subject.batch)
            setup_s = clock.now() - start_s
            first_s = timed(evaluate, clock)
            for _ in range(effort.warm_up - 1):
                evaluate()
            name = engine_name(engine, subject.batch)
            watch.stage(f"{size} px, {name}", 1)
            samples = interleaved({name: evaluate}, effort, watch, clock)[name]
            if not samples:
                return
            loss = statistics.fmean(score.loss for score in evaluate())
            facts = {**engine_facts(engine, subject.batch), "setup_s": setup_s, "first_s": first_s}
            yield Series(name, "evaluation", size, samples, subject.batch, loss, facts=facts)
