"""What each rewrite of the graph for a provider is worth, interleaved in one run.

    python -m impasto.bench.studies.lowering --model vgg19 --size 512 -o FILE.json
    python -m impasto.bench.studies.lowering --provider openvino --precision bf16 -o FILE.json

Seconds of the process (all threads together), which a busy machine disturbs less than the clock on the wall. Ratios
are taken round by round against the neutral graph. Rewrites are measured in every precision, whether or not runs in
that one get them. `operators` are the project's own (cpp/ops); `all` is what the CPU provider runs without them.
"""

import statistics
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import onnx_ir as ir

from impasto.bench.record import write
from impasto.bench.studies.graphs import check_graph, default_objective, fill
from impasto.bench.studies.study import as_script, begin, command_line, in_turn
from impasto.engine.runtime import providers
from impasto.engine.runtime.providers import Provider
from impasto.engine.runtime.session import Graph, Session
from impasto.export.lowering import REWRITES, lower_for_cpu, lower_for_openvino, lower_to_operators
from impasto.export.serialised import whole

Rewrite = Callable[[ir.Model], None]

NEUTRAL, PLAIN, OPERATORS = "none", "all", "operators"
_CPU: Mapping[str, Rewrite] = {name: partial(lower_for_cpu, names=(name,)) for name in REWRITES}
SETS: Mapping[str, Mapping[str, Rewrite]] = {
    "cpu": {**_CPU, PLAIN: lower_for_cpu},
    "openvino": {"gram_channels_last": lower_for_openvino},
}


def _to_operators(model: ir.Model) -> None:
    lower_to_operators(model)


def evaluation(
    model: str, size: int, provider: Provider, threads: int, rewrite: Rewrite | None
) -> Callable[[], np.ndarray]:
    """Return a function that evaluates the objective at noise, and returns the gradient: a buffer of the session.

    Args:
        model: a network's name or file.
        size: side of the square image, px.
        provider: where it runs.
        threads: of the CPU; 0 is one per core.
        rewrite: None leaves the graph as it was built.
    """
    graph = default_objective(model, size)
    if rewrite is not None:
        rewrite(graph)
    check_graph(graph, size)
    session = Session(Graph(whole(graph)), provider, threads)
    fill(session)
    return lambda: session.run()["d_image"]


def measure(model: str, size: int, provider: Provider, threads: int, rounds: int) -> dict[str, Any]:
    """Return samples, ratios and the gradients' differences of every set of rewrites that a provider has."""
    own: Mapping[str, Rewrite] = {OPERATORS: _to_operators} if provider.operators else {}
    sets: Mapping[str, Rewrite | None] = {NEUTRAL: None, **SETS[provider.name], **own}
    runs: dict[str, Callable[[], np.ndarray]] = {}
    gradients: dict[str, np.ndarray] = {}
    for name, rewrite in sets.items():
        runs[name] = evaluation(model, size, provider, threads, rewrite)
        gradients[name] = runs[name]().copy()  # now, so that the next one is asked to fit beside it
    norm = float(np.linalg.norm(gradients[NEUTRAL]))
    samples = in_turn(runs, rounds, now=time.process_time)
    return {
        "size_px": size,
        "samples_s": samples,
        "median_s": {name: statistics.median(values) for name, values in samples.items()},
        "none_over_it": {
            name: statistics.median(a / b for a, b in zip(samples[NEUTRAL], values, strict=True))
            for name, values in samples.items()
        },
        "gradient_relative_difference": {
            name: float(np.linalg.norm(gradient - gradients[NEUTRAL])) / norm for name, gradient in gradients.items()
        },
    }


def main() -> None:
    """Measure at every size and write it down."""
    parser = command_line(__doc__, threads=1, model="vgg19")
    parser.add_argument("--provider", choices=tuple(SETS), default="cpu")
    parser.add_argument("--precision", default="auto", help="auto, or one that the provider has here")
    parser.add_argument("--size", type=int, action="append", help="px, repeatable; default 256 and 512")
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    record = begin(__doc__, arguments)
    provider = providers.choose(arguments.provider, arguments.precision)
    record["instruction_set"] = provider.operators[0] if provider.operators else None  # of the operators
    record |= {"model": arguments.model, "provider": provider.name, "precision": provider.precision, "sizes": []}
    for size in arguments.size or (256, 512):
        row = measure(arguments.model, size, provider, arguments.threads, arguments.rounds)
        record["sizes"].append(row)
        ratios = ", ".join(f"{name} {ratio:.3f}" for name, ratio in row["none_over_it"].items())
        print(
            f"{size} px, {provider.name} {provider.precision}: neutral graph over rewritten one: {ratios}", flush=True
        )
        write(arguments.output, record)


if __name__ == "__main__":
    as_script(main)
