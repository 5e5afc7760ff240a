"""What an evaluation costs on vgg19-slim as a share of VGG-19's, on the same provider and in the same precision.

    python -m impasto.bench.slim_cost -o FILE.json

A sample is the time by the clock from the call with an image to loss and gradient, paper's objective, drawn pictures.
Both networks take turns, so that a change of the machine's speed meets both, and the share is the median of the
rounds' own. A way that is not there is named with the reason.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from impasto.bench.conditions import conditions
from impasto.bench.pictures import drawn_content, drawn_style
from impasto.bench.record import check_place, write
from impasto.bench.script import as_script
from impasto.engine import Engine, Settings
from impasto.models.errors import ImpastoError
from impasto.models.store import EMBEDDED, FULL

WAYS = ("cpu:fp32", "openvino:fp32", "openvino:bf16")
SIZE_PX = 512


def main() -> None:
    """Measure every way and write it down; the file is whole after each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--way", action="append", metavar="PROVIDER:PRECISION", help=f"repeatable; default: {WAYS}")
    parser.add_argument("--model", default=EMBEDDED)
    parser.add_argument("--full", default=FULL, metavar="MODEL", help="what it is compared with")
    parser.add_argument("--size", type=int, default=SIZE_PX, help="side, px")
    parser.add_argument("--rounds", type=int, default=9, help="that count; one more warms up")
    parser.add_argument("--threads", type=int, default=0, help="of one operator; 0 takes every core")
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()
    check_place(arguments.output)
    if arguments.rounds < 1:
        raise ImpastoError(f"bad --rounds {arguments.rounds}: allowed are whole numbers of 1 or more")
    record: dict[str, Any] = {"what": __doc__, "conditions": conditions(arguments.threads), "size_px": arguments.size}
    record |= {"networks": {}, "ways": {}}
    for way in arguments.way or WAYS:
        try:
            record["ways"][way] = measured(way, arguments, record["networks"])
        except ImpastoError as error:
            if arguments.way:
                raise
            record["ways"][way] = {"missing": str(error)}
        write(arguments.output, record)
        found = record["ways"][way]
        print(f"{way}: {found.get('share') or found['missing']}", flush=True)


def measured(way: str, arguments: argparse.Namespace, networks: dict[str, str]) -> dict[str, Any]:
    """Return the samples of both networks on one provider in one precision.

    Args:
        way: PROVIDER:PRECISION.
        arguments: of the command line.
        networks: filled with their hashes.

    Raises:
        ImpastoError: no such provider, precision or network here.
    """
    provider, _, precision = way.partition(":")
    runs: dict[str, Callable[[], object]] = {}
    for name in (arguments.model, arguments.full):
        engine = Engine(name, provider=provider, precision=precision or "auto", threads=arguments.threads)
        networks[name] = engine.network.sha256
        runs[name] = evaluation(engine, arguments.size)
    samples: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(arguments.rounds + 1):
        for name, run in runs.items():
            start_s = time.perf_counter()
            run()
            if number:
                samples[name].append(time.perf_counter() - start_s)
    pairs = zip(samples[arguments.model], samples[arguments.full], strict=True)
    return {
        "share": statistics.median(own / other for own, other in pairs),
        "median_s": {name: statistics.median(values) for name, values in samples.items()},
        "samples_s": samples,
    }


def evaluation(engine: Engine, size: int) -> Callable[[], object]:
    """Return one run of loss and gradient at the content image."""
    objective, x = engine.objective(drawn_content(size), drawn_style(size), Settings(size=0))
    return lambda: objective(x)


if __name__ == "__main__":
    as_script(main)
