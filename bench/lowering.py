"""What each rewrite for the CPU provider is worth, interleaved in one run.

    python -m impasto.bench.lowering --model vgg19 --size 512 -o bench/results/lowering-cpu.json

Seconds of the process (all threads together), which a busy machine disturbs less than the clock on the wall. Ratios
are taken round by round against the neutral graph.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from impasto.bench.conditions import conditions
from impasto.engine import providers
from impasto.engine.graph import Graph
from impasto.engine.network import load_network
from impasto.engine.session import Session
from impasto.export.lowering import REWRITES, lower_for_cpu
from impasto.export.objective import build_objective
from impasto.export.serialised import whole

STYLE_TAPS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
CONTENT_TAPS = ("relu4_2",)
WARM_UP = 1


def evaluation(model: str, size: int, threads: int, rewrites: Sequence[str]) -> Callable[[], np.ndarray]:
    """Return a function that evaluates the objective at noise, and returns the gradient."""
    graph = build_objective(
        load_network(model).model,
        content_taps=CONTENT_TAPS,
        style_taps=STYLE_TAPS,
        height=size,
        width=size,
        pool="avg",
    ).model
    lower_for_cpu(graph, rewrites)
    session = Session(Graph(whole(graph)), providers.choose("cpu"), threads)
    rng = np.random.default_rng(0)
    for name, array in session.inputs.items():
        session.set(name, np.asarray(rng.random(array.shape, np.float32)))
    return lambda: session.run()["d_image"]


def measure(model: str, size: int, threads: int, rounds: int) -> dict[str, Any]:
    """Return samples, ratios and the gradients' differences of every set of rewrites."""
    sets = {"none": (), **{name: (name,) for name in REWRITES}, "all": tuple(REWRITES)}
    runs = {name: evaluation(model, size, threads, rewrites) for name, rewrites in sets.items()}
    gradients = {name: run().copy() for name, run in runs.items()}
    norm = float(np.linalg.norm(gradients["none"]))
    samples: dict[str, list[float]] = {name: [] for name in runs}
    for round_number in range(rounds + WARM_UP):
        for name, run in runs.items():
            start = time.process_time()
            run()
            if round_number >= WARM_UP:
                samples[name].append(time.process_time() - start)
    return {
        "size_px": size,
        "samples_s": samples,
        "median_s": {name: statistics.median(values) for name, values in samples.items()},
        "none_over_it": {
            name: statistics.median(a / b for a, b in zip(samples["none"], values, strict=True))
            for name, values in samples.items()
        },
        "gradient_relative_difference": {
            name: float(np.linalg.norm(gradient - gradients["none"])) / norm for name, gradient in gradients.items()
        },
    }


def main() -> None:
    """Measure at every size and write it down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="vgg19")
    parser.add_argument("--size", type=int, action="append", help="px, repeatable; default 256 and 512")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()
    record: dict[str, Any] = {"what": __doc__, "conditions": conditions(arguments.threads), "sizes": []}
    for size in arguments.size or (256, 512):
        row = measure(arguments.model, size, arguments.threads, arguments.rounds)
        record["sizes"].append(row)
        ratios = ", ".join(f"{name} {ratio:.3f}" for name, ratio in row["none_over_it"].items())
        print(f"{size} px: neutral graph over rewritten one: {ratios}")
    arguments.output.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
