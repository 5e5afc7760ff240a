"""Seconds per picture when 1, 2 or 4 of them are in one evaluation, interleaved in one run.

    python -m impasto.bench.batch_sizes -o bench/results/batch-cpu.json

An evaluation is loss and gradient at the start, copies included; the pictures of a batch are the same drawn ones, of
one size. Rounds go 1 2 4 1 2 4, so that a change of the machine's speed meets all, and ratios are taken round by round.
"""

import argparse
import statistics
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from impasto.bench.conditions import conditions, load
from impasto.bench.effort import Effort
from impasto.bench.fitting import checked_form
from impasto.bench.record import check_place, write
from impasto.bench.sampling import interleaved
from impasto.bench.script import as_script
from impasto.bench.subject import Subject, engine_facts
from impasto.bench.watch import Unwatched
from impasto.engine.inputs.pictures import initial_image, read_pictures

if TYPE_CHECKING:
    from collections.abc import Callable

    from impasto.engine.jobs.engine import Engine

BATCHES = (1, 2, 4)
_SHORT_S = 1e-6  # the rounds count, not how long they take


def per_picture(subject: Subject, size_px: int, rounds: int) -> dict[str, Any]:
    """Return every sample of each batch, the median per picture, and the median ratio to a batch of one."""
    with ExitStack() as stack:
        engines = {batch: stack.enter_context(subject.open()) for batch in BATCHES}
        runs: dict[str, Callable[[], object]] = {}
        for batch, engine in engines.items():
            run = runs[str(batch)] = _evaluation(engine, subject, size_px, batch)
            run()  # now, so that the next one is asked to fit beside it
        samples = interleaved(runs, Effort(_SHORT_S, 1, rounds), Unwatched())
        facts = engine_facts(engines[1])
    each = {name: [seconds / int(name) for seconds in found] for name, found in samples.items()}
    return {
        "size_px": size_px,
        **{name: fact for name, fact in facts.items() if name != "batch"},
        "samples_s": samples,
        "median_per_picture_s": {name: statistics.median(found) for name, found in each.items()},
        "to_one": {
            name: statistics.median(own / one for own, one in zip(found, each["1"], strict=True))
            for name, found in each.items()
        },
    }


def _evaluation(engine: "Engine", subject: Subject, size_px: int, batch: int) -> "Callable[[], object]":
    scene, painting = read_pictures(*subject.pictures(size_px), subject.settings)
    form = checked_form(engine, subject.settings, scene, painting, batch)
    evaluator = engine.compiler.evaluator(form)
    for sample in range(batch):
        engine.compiler.load(evaluator, sample, subject.settings, scene, painting)
    images = dict.fromkeys(range(batch), initial_image(subject.settings, scene, painting))
    return lambda: evaluator(images)


def main() -> None:
    """Measure and write down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", help="repeatable; default vgg19-slim and vgg19")
    parser.add_argument("--size", type=int, action="append", help="repeatable, px; default 128 and 256")
    parser.add_argument("--provider", default="cpu")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()
    check_place(arguments.output)
    record: dict[str, Any] = {"what": __doc__, "conditions": conditions(arguments.threads), "sizes": []}
    for model in arguments.model or ("vgg19-slim", "vgg19"):
        sizes = tuple(arguments.size or (128, 256))
        subject = Subject(model=model, provider=arguments.provider, threads=arguments.threads, sizes=sizes)
        for size_px in subject.sizes:
            found = per_picture(subject, size_px, arguments.rounds)
            said = ", ".join(f"batch {name} {ratio:.2f}" for name, ratio in found["to_one"].items())
            print(f"{model}, {size_px} px, seconds per picture over those of one: {said}", flush=True)
            record["sizes"].append({**found, "load_1_min_after": load()})
            write(arguments.output, record)


if __name__ == "__main__":
    as_script(main)
