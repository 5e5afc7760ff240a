"""Seconds for one evaluation of loss and gradient, of one picture or of a batch, on one network or on several.

An evaluation is what the optimiser waits for: the image goes to the device, loss terms and gradient come back, and the
device has finished. It starts from the content image each time. In a batch each picture has targets of its own; the
loss is their mean. Several networks and batches take turns, and their seconds per picture are compared with those of
the first, round by round.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any

from impasto.bench.contenders.own import OwnBatch
from impasto.bench.sampling import REST_ON_CPU_S, Effort, Watch, interleaved
from impasto.bench.series import Series, spread
from impasto.bench.subject import GPU_PROVIDERS, Subject
from impasto.models.errors import ImpastoError


def measure(subjects: Sequence[Subject], effort: Effort, watch: Watch) -> Iterator[Series]:
    """Yield one series per size and subject; the subjects have the same sizes and take turns.

    Raises:
        ImpastoError: two subjects are the same, or one does not fit into memory beside those before it.
    """
    for size in subjects[0].sizes:
        if watch.stopped():
            return
        watch.stage(f"{size} px, setting up", 1)
        with ExitStack() as stack:
            opened = _opened(subjects, size, stack)
            for one in opened.values():
                for _ in range(effort.warm_up - 1):
                    one.evaluate()
            watch.stage(f"{size} px, {', '.join(opened)}", 1)
            runs = {name: one.evaluate for name, one in opened.items()}
            alone = len(opened) == 1 or next(iter(opened.values())).facts["provider"] in GPU_PROVIDERS
            samples = interleaved(runs, effort, watch, rest_s=0.0 if alone else REST_ON_CPU_S)
            if all(samples.values()):
                yield from (_series(name, one, size, samples, opened) for name, one in opened.items())


def _opened(subjects: Sequence[Subject], size: int, stack: ExitStack) -> dict[str, OwnBatch]:
    """Return every subject by name, each evaluated once, so that the next one is asked to fit beside it."""
    several = len({subject.model for subject in subjects}) > 1
    found: dict[str, OwnBatch] = {}
    for subject in subjects:
        begin_s = time.perf_counter()
        one = OwnBatch(stack.enter_context(subject.open()), subject, size, begin_s=begin_s)
        name = f"{one.name}, {one.facts['network']}" if several else one.name
        if name in found:
            raise ImpastoError(f"{name} is measured already: give each --model and each --batch once")
        found[name] = one
    return found


def _series(
    name: str, one: OwnBatch, size: int, samples: dict[str, list[float]], opened: dict[str, OwnBatch]
) -> Series:
    batch = one.facts["batch"]
    facts: dict[str, Any] = {**one.facts, "setup_s": one.setup_s - one.first_s, "first_s": one.first_s}
    first = next(iter(opened))
    if name != first:
        pairs = zip(samples[name], samples[first], strict=True)
        shares = [own / batch / (other / opened[first].facts["batch"]) for own, other in pairs]
        facts["per_picture"] = {"to": first, **spread(shares)}
    return Series(name, "evaluation", size, samples[name], batch, one.evaluate() / batch, facts=facts)
