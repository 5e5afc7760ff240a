"""What an iteration of L-BFGS costs on the CPU provider: in NumPy on the host, and as a graph.

    python -m impasto.bench.loop IMAGE -o bench/results/loop-cpu.json

The objective is total variation alone, which is a few milliseconds, so that the optimiser is what is measured. From
noise, history 10, pixels within 0..1, both kinds of initial inverse. In every round the two loops take turns; a round's
figure is the seconds of its iterations less as many times the evaluation's own seconds, timed in the same round.
"""

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

from impasto.bench.conditions import conditions
from impasto.engine import Engine, Settings
from impasto.engine.descent import Descent
from impasto.engine.images import read_image

LOOPS = ("host", "device")
OPTIMIZERS = ("lbfgs", "plain-lbfgs")
WARM_UP = 12  # the history is full


def main() -> None:
    """Measure and write down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("image", type=Path)
    parser.add_argument("--size", type=int, action="append", help="long side, px; repeatable; default 256, 512, 1024")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--iterations", type=int, default=10, help="in one round")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()
    record: dict[str, Any] = {"what": __doc__, "conditions": conditions(arguments.threads), "optimiser_s": {}}
    picture = read_image(arguments.image)
    engines = {loop: Engine("vgg19-slim", provider="cpu", threads=arguments.threads, loop=loop) for loop in LOOPS}
    for size in arguments.size or (256, 512, 1024):
        for optimizer in OPTIMIZERS:
            settings = Settings(
                size=size,
                content_weight=0.0,
                style_weight=0.0,
                tv_weight=1.0,
                init="noise",
                optimizer=optimizer,
                iterations=10**6,
            )
            runs = {loop: _Course(engine, picture.pixels, settings) for loop, engine in engines.items()}
            samples: dict[str, list[float]] = {loop: [] for loop in LOOPS}
            for _ in range(arguments.rounds):
                for loop in LOOPS:
                    samples[loop].append(runs[loop].round(arguments.iterations))
            medians = {loop: statistics.median(values) for loop, values in samples.items()}
            record["optimiser_s"][f"{size} {optimizer}"] = {"median": medians, "samples": samples}
            print(size, optimizer, {loop: f"{1000 * value:.1f} ms" for loop, value in medians.items()}, flush=True)
            arguments.output.write_text(json.dumps(record, indent=1) + "\n")
    for engine in engines.values():
        engine.close()


class _Course:
    """A run that goes on from round to round."""

    def __init__(self, engine: Engine, pixels: Any, settings: Settings) -> None:
        self._objective, self._x = engine.objective(pixels, None, settings)
        self._descent = Descent(self._objective, 1e-5, self._x, settings)
        self._steps = iter(self._descent)
        for _ in range(WARM_UP):
            next(self._steps)

    def _evaluate(self) -> None:
        """Run the objective once; on the device on the image that is there, so that the loop goes on undisturbed."""
        on_device = self._objective.on_device
        if on_device is None:
            self._objective(self._x)
        else:
            on_device.session.run_bound()

    def round(self, iterations: int) -> float:
        """Return the seconds of an iteration that are not the evaluation's."""
        before, start = self._descent.last, time.perf_counter()
        for _ in range(iterations):
            last = next(self._steps)
        whole = time.perf_counter() - start
        evaluations = last.evaluations - (before.evaluations if before else 0)
        alone = []
        for _ in range(iterations):
            start = time.perf_counter()
            self._evaluate()
            alone.append(time.perf_counter() - start)
        return (whole - evaluations * statistics.median(alone)) / iterations


if __name__ == "__main__":
    main()
