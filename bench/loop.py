"""What L-BFGS costs beside the evaluations: in NumPy on the host, and as a graph.

    python -m impasto.bench.loop --model vgg19 --provider cpu -o bench/results/loop-cpu.json
    python -m impasto.bench.loop --model vgg19 --provider openvino -o bench/results/loop-openvino.json

History 10 and full, pixels within 0..1, both kinds of initial inverse, in turn.

    share         of a transfer in NumPy: seconds of an iteration outside the evaluations, by the clock around each of
                  them, over the seconds of an evaluation
    optimiser_s   the loops that the provider has, on total variation alone, from noise: an evaluation is a few
                  milliseconds, so that the optimiser is what is measured. A round's figure is the seconds of its
                  iterations less as many times the evaluation's own seconds, timed in the same round.
"""

import argparse
import statistics
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from impasto.bench.conditions import conditions
from impasto.bench.record import check_place, write
from impasto.bench.script import as_script
from impasto.bench.subject import Subject, engine_facts
from impasto.engine import Engine, Settings
from impasto.engine.jobs.descent import Descent
from impasto.models.errors import ImpastoError

LOOPS = {"cpu": ("host", "device"), "openvino": ("host",)}  # by provider; on GPUs it is no question
OPTIMIZERS = ("lbfgs", "plain-lbfgs")
WARM_UP = 12  # the history is full
ENDLESS = 10**6


class Course:
    """A run that goes on from round to round."""

    def __init__(self, engine: Engine, subject: Subject, size_px: int) -> None:
        """Start, and fill the history."""
        self._objective, self._x = engine.objective(*subject.pictures(size_px), subject.settings)
        self._descent = Descent(self._objective, engine.provider.numbers.loss_noise, self._x, subject.settings)
        self._steps = iter(self._descent)
        for _ in range(WARM_UP):
            next(self._steps)

    def iteration(self) -> tuple[float, float]:
        """Return the seconds of one iteration outside its evaluations, and of one of these; for a loop on the host."""
        inside_s, evaluations = self._objective.seconds, self._evaluations()
        start_s = time.perf_counter()
        next(self._steps)
        whole_s = time.perf_counter() - start_s
        inside_s = self._objective.seconds - inside_s
        return whole_s - inside_s, inside_s / (self._evaluations() - evaluations)

    def round(self, iterations: int) -> float:
        """Return the seconds of an iteration that are not the evaluation's, which is timed alone afterwards."""
        before, start_s = self._evaluations(), time.perf_counter()
        for _ in range(iterations):
            next(self._steps)
        whole_s = time.perf_counter() - start_s
        evaluations, alone = self._evaluations() - before, []
        for _ in range(iterations):
            start_s = time.perf_counter()
            self._evaluate()
            alone.append(time.perf_counter() - start_s)
        return (whole_s - evaluations * statistics.median(alone)) / iterations

    def _evaluations(self) -> int:
        return self._descent.last.evaluations if self._descent.last else 0

    def _evaluate(self) -> None:
        """Run the objective once; on the device on the image that is there, so that the loop goes on undisturbed."""
        on_device = self._objective.on_device
        if on_device is None:
            self._objective(self._x)
        else:
            on_device.session.run_bound()


def share(subject: Subject, size_px: int, rounds: int) -> dict[str, Any]:
    """Return samples and medians of a transfer's iterations, by optimiser."""
    with ExitStack() as stack:
        courses = {
            optimizer: Course(stack.enter_context(_open(subject, "host")), _with(subject, optimizer), size_px)
            for optimizer in OPTIMIZERS
        }
        samples: dict[str, list[tuple[float, float]]] = {optimizer: [] for optimizer in OPTIMIZERS}
        for _ in range(rounds):
            for optimizer, course in courses.items():
                samples[optimizer].append(course.iteration())
    return {
        optimizer: {
            "share": statistics.median(outside / inside for outside, inside in found),
            "outside_s": [outside for outside, _ in found],
            "evaluation_s": [inside for _, inside in found],
        }
        for optimizer, found in samples.items()
    }


def beside(subject: Subject, size_px: int, rounds: int, iterations: int) -> dict[str, Any]:
    """Return samples and medians of the loops on total variation alone, by optimiser."""
    alone = replace(
        subject, settings=replace(subject.settings, content_weight=0.0, style_weight=0.0, tv_weight=1.0, init="noise")
    )
    found: dict[str, Any] = {}
    loops = LOOPS[str(subject.provider)]
    for optimizer in OPTIMIZERS:
        with ExitStack() as stack:
            courses = {
                loop: Course(stack.enter_context(_open(alone, loop)), _with(alone, optimizer), size_px)
                for loop in loops
            }
            samples: dict[str, list[float]] = {loop: [] for loop in loops}
            for _ in range(rounds):
                for loop, course in courses.items():
                    samples[loop].append(course.round(iterations))
        medians = {loop: statistics.median(values) for loop, values in samples.items()}
        found[optimizer] = {"median": medians, "samples": samples}
    return found


def _open(subject: Subject, loop: str) -> Engine:
    return Engine(
        subject.model, provider=subject.provider, precision=subject.precision, threads=subject.threads, loop=loop
    )


def _with(subject: Subject, optimizer: str) -> Subject:
    return replace(subject, settings=replace(subject.settings, optimizer=optimizer, iterations=ENDLESS))


def main() -> None:
    """Measure and write down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--content", type=Path, help="default: a drawn one")
    parser.add_argument("--style", type=Path, help="default: a drawn one")
    parser.add_argument("--model", default="auto")
    parser.add_argument("--provider", choices=tuple(LOOPS), default="cpu")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--size", type=int, action="append", help="side of the square pictures, px; default 512")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--iterations", type=int, default=10, help="in one round of optimiser_s")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()
    for name in ("rounds", "iterations"):
        if getattr(arguments, name) < 1:
            raise ImpastoError(f"bad --{name} {getattr(arguments, name)}: allowed are whole numbers of 1 or more")
    check_place(arguments.output)
    subject = Subject(
        model=arguments.model,
        provider=arguments.provider,
        precision=arguments.precision,
        threads=arguments.threads,
        sizes=tuple(arguments.size or (512,)),
        content=arguments.content,
        style=arguments.style,
        settings=Settings(size=0, history=10),
    )
    with subject.open() as engine:
        facts = engine_facts(engine)
    record: dict[str, Any] = {"what": __doc__, "conditions": conditions(arguments.threads), **facts}
    record |= {"asked": subject.as_dict(), "share": {}, "optimiser_s": {}}
    for size_px in subject.sizes:
        record["share"][f"{size_px}"] = found = share(subject, size_px, arguments.rounds)
        said = ", ".join(f"{name} {row['share']:.1%} of an evaluation" for name, row in found.items())
        print(f"{size_px} px, {facts['provider']} {facts['precision']}: {said}", flush=True)
        write(arguments.output, record)
        record["optimiser_s"][f"{size_px}"] = found = beside(subject, size_px, arguments.rounds, arguments.iterations)
        for name, row in found.items():
            print(f"  {name}:", ", ".join(f"{loop} {1e3 * value:.1f} ms" for loop, value in row["median"].items()))
        write(arguments.output, record)


if __name__ == "__main__":
    as_script(main)
