"""Random schedules of jobs, as predicted or not: `python -m impasto.bench.studies.schedules --json FILE`.

A schedule submits jobs of several sizes, batches, priorities, lengths and optimisers to an engine, cancels some while
they wait or run, lets deadlines pass, and has images that are missing, losses that are not finite and evaluations that
fail. All that is tied to evaluations, and the engine's clock counts them. A naive model of the queue
(tests/oracles/job_queue.py) predicts which jobs each evaluation is of, and each job's state, outcome, iterations and
evaluations. Each picture is compared with that of the single run after as many iterations: bit by bit for batch 1, else
within a tolerance. Two promises are held against each evaluation as well: a job that was cancelled or is late has ended
before the next one begins, and a job that there is room for waits for at most one evaluation of each other job.
"""

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from impasto.bench.conditions import conditions, load
from impasto.bench.pictures import drawn_content, drawn_style
from impasto.bench.record import check_place, write
from impasto.bench.studies.checkout import ROOT
from impasto.bench.studies.study import as_script, require_positive
from impasto.engine import Settings
from impasto.models.store import EMBEDDED

SAVED_EVERY = 20


def main() -> None:
    """Play the schedules one after another; the status is 1 where one is not as predicted."""
    arguments = _arguments()
    require_positive(arguments, "count")
    check_place(arguments.json)
    sys.path.insert(0, str(ROOT))  # for tests/, which is not installed
    from tests.engine.jobs.schedule_check import Checker, Verdict
    from tests.engine.jobs.schedules import random_schedule

    record: dict[str, Any] = {"what": (__doc__ or "").strip(), "conditions": conditions(1), "asked": _asked(arguments)}
    verdicts: dict[int, Verdict] = {}
    contents, styles = _pictures(arguments.size)
    start_s = time.perf_counter()
    with _own_cache(), Checker(arguments.model, "cpu", contents, styles) as checker:
        for seed in range(arguments.first, arguments.first + arguments.count):
            verdicts[seed] = checker.check(random_schedule(seed, Settings(size=0)))
            for problem in verdicts[seed].problems:
                print(f"schedule {seed}: {problem}", flush=True)
            if len(verdicts) % SAVED_EVERY == 0 or len(verdicts) == arguments.count:
                seconds = time.perf_counter() - start_s
                record |= summary({seed: asdict(verdict) for seed, verdict in verdicts.items()})
                record |= {"seconds": seconds, "load_1_min_after": load()}
                write(arguments.json, record)
                print(f"{len(verdicts)} schedules, {len(record['problems'])} not as predicted", flush=True)
    if record["problems"]:
        sys.exit(1)


@contextmanager
def _own_cache() -> Iterator[None]:
    """Give runs a cache that is empty at first and deleted at the end."""
    with tempfile.TemporaryDirectory() as folder, patch.dict(os.environ, {"IMPASTO_CACHE": folder}):
        os.environ.pop("IMPASTO_NO_CACHE", None)
        yield


def summary(verdicts: dict[int, dict[str, Any]]) -> dict[str, Any]:
    """Return the sums of all schedules, and the problems by schedule."""
    names = ("evaluations", "shared", "growths", "prompt", "identical", "close")
    endings = Counter(
        f"{ending['state']}: {ending['outcome'] or 'no picture'}"
        for verdict in verdicts.values()
        for ending in verdict["endings"]
    )
    return {
        "schedules": len(verdicts),
        "jobs": endings.total(),
        "endings": dict(sorted(endings.items())),
        "sums": {name: sum(verdict[name] for verdict in verdicts.values()) for name in names},
        "largest_pixel_difference": max(verdict["largest"] for verdict in verdicts.values()),
        "problems": {seed: verdict["problems"] for seed, verdict in verdicts.items() if verdict["problems"]},
    }


def _pictures(side_px: int) -> tuple[Sequence[np.ndarray], Sequence[np.ndarray]]:
    """Return two content images, of different proportions, and two style images."""
    content, style = drawn_content(side_px), drawn_style(side_px)
    low = side_px * 3 // 4
    return (content[:low], content[:, :low]), (style, style[::-1, :low].copy())


def _asked(arguments: argparse.Namespace) -> dict[str, Any]:
    return {name: value for name, value in vars(arguments).items() if name != "json"}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1000, help="schedules (default: %(default)s)")
    parser.add_argument("--first", type=int, default=0, help="seed of the first one (default: %(default)s)")
    parser.add_argument("--size", type=int, default=64, help="long side of the images, px (default: %(default)s)")
    parser.add_argument("--model", default=EMBEDDED, help="(default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", required=True, help="write the record here")
    return parser.parse_args()


if __name__ == "__main__":
    as_script(main)
