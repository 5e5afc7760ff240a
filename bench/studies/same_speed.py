"""Whether two revisions take the same time: an evaluation, and the start of the command.

    python -m impasto.bench.studies.same_speed -o FILE [--base REVISION] [--new REVISION] [--rounds N]

Run it in a clone, on a machine that does nothing else. Every sample is a process of its own on one revision's code.
The revisions take turns, A B B A, so that a change of the machine's speed meets both. A first round does not count.

    evaluation    256 px, vgg19-slim, CPU provider: see `timed_runs`
    start         seconds of `impasto --version`, `impasto --help`, `impasto transfer --help` and `--dry-run`
    first step    seconds from the start of `impasto transfer` to its first iteration, with a warm cache

A ratio is the new revision's seconds by the base's, round by round.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from impasto.bench.conditions import conditions, load
from impasto.bench.record import check_place, write
from impasto.bench.studies.checkout import WORKING_TREE, Checkout, check_out
from impasto.bench.studies.fixed_runs import COMMAND, HARBOUR, NETWORK, SWIRLS
from impasto.bench.studies.same_numbers import BASE
from impasto.bench.studies.study import as_script
from impasto.models.errors import ImpastoError

SIZE_PX, EVALUATIONS = 256, 30
WHERE = ("--model", NETWORK, "--provider", "cpu", "--precision", "fp32", "--size", SIZE_PX)
STARTS: Mapping[str, tuple[object, ...]] = {
    "impasto --version": ("--version",),
    "impasto --help": ("--help",),
    "impasto transfer --help": ("transfer", "--help"),
    "impasto transfer --dry-run": ("transfer", HARBOUR, SWIRLS, "-o", "out.png", *WHERE, "--dry-run"),
}
FIRST_STEP = ("transfer", HARBOUR, SWIRLS, "-o", "out.png", *WHERE, "--iterations", 1, "--json")

Samples = dict[str, float]


@dataclass(frozen=True)
class Side:
    """One of the two revisions, with a folder for its pictures and its cache.

    Attributes:
        code: the revision.
        folder: holds the cache from round to round.
        threads: of the processor; 0 is one per core.
        evaluations: of each timed run.
    """

    code: Checkout
    folder: Path
    threads: int
    evaluations: int

    def processes(self) -> list[Callable[[], Samples]]:
        """Return what starts each process of a round; each returns its samples, in seconds by kind."""
        return [self._evaluations, *(partial(self._start, name) for name in STARTS), self._first_step]

    def _evaluations(self) -> Samples:
        words = ("-m", "impasto.bench.studies.timed_runs", self.code.tree, SIZE_PX, self.evaluations, self.threads)
        found: Samples = json.loads(self.code.python(*words, variables={"IMPASTO_NO_CACHE": "1"}))
        return found

    def _start(self, name: str) -> Samples:
        start_s = time.perf_counter()
        self._impasto(*STARTS[name])
        return {name: time.perf_counter() - start_s}

    def _first_step(self) -> Samples:
        printed = self._impasto(*FIRST_STEP, "--threads", self.threads)
        return {"first step": json.loads(printed.splitlines()[-1])["first_iteration_s"]}

    def _impasto(self, *words: object) -> str:
        variables = {"IMPASTO_NO_CACHE": "", "IMPASTO_CACHE": str(self.folder)}
        return self.code.python("-c", COMMAND, *words, cwd=self.folder, variables=variables)


def main() -> None:
    """Take the samples, print medians and ratios, write the record."""
    arguments = _arguments()
    check_place(arguments.output)
    if arguments.rounds < 1:
        raise ImpastoError(f"bad --rounds {arguments.rounds}: allowed are whole numbers of 1 or more")
    record: dict[str, Any] = {"what": (__doc__ or "").strip(), "conditions": conditions(arguments.threads)}
    with tempfile.TemporaryDirectory(prefix="impasto-speed-") as name:
        sides = {}
        for key, revision in (("base", arguments.base), ("new", arguments.new)):
            code = check_out(revision, Path(name) / key)
            (Path(name) / key / "runs").mkdir()
            sides[key] = Side(code, Path(name) / key / "runs", arguments.threads, arguments.evaluations)
            record[key] = code.label
        samples = in_turn({key: side.processes() for key, side in sides.items()}, arguments.rounds)
    record |= {"size_px": SIZE_PX, "evaluations": arguments.evaluations, "load_1_min_after": load()}
    record["kinds"] = summary(samples["base"], samples["new"])
    write(arguments.output, record)
    for kind, row in record["kinds"].items():
        base_s, new_s = row["median_s"].values()
        low, high = row["ratio"]["min"], row["ratio"]["max"]
        print(f"{kind:44}{base_s:9.4f} s{new_s:9.4f} s   x{row['ratio']['median']:.3f} ({low:.3f} to {high:.3f})")


def in_turn(sides: Mapping[str, Sequence[Callable[[], Samples]]], rounds: int) -> dict[str, list[Samples]]:
    """Return every round's samples of both sides.

    The sides take turns process by process. Every second round begins with the other side; the first does not count.
    """
    found: dict[str, list[Samples]] = {key: [{} for _ in range(rounds + 1)] for key in sides}
    for number in range(rounds + 1):
        order = list(sides) if number % 2 else list(sides)[::-1]
        for processes in zip(*(sides[key] for key in order), strict=True):
            for key, process in zip(order, processes, strict=True):
                found[key][number] |= process()
    return {key: samples[1:] for key, samples in found.items()}


def summary(base: list[Samples], new: list[Samples]) -> dict[str, Any]:
    """Return samples, medians, least values and ratios (new by base) of every kind."""
    kinds = {}
    for kind in base[0]:
        sides = {"base": [sample[kind] for sample in base], "new": [sample[kind] for sample in new]}
        ratios = [b / a for a, b in zip(*sides.values(), strict=True)]
        kinds[kind] = {
            "samples_s": sides,
            "median_s": {key: statistics.median(values) for key, values in sides.items()},
            "least_s": {key: min(values) for key, values in sides.items()},
            "ratio": {"median": statistics.median(ratios), "min": min(ratios), "max": max(ratios)},
        }
    return kinds


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", default=BASE, help="a revision of git (default: %(default)s)")
    parser.add_argument("--new", default=WORKING_TREE, help="the revision to judge (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=10, help="that count (default: %(default)s)")
    parser.add_argument("--evaluations", type=int, default=EVALUATIONS, help="of each timed run (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=0, help="of the processor; 0 is one per core")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the record: .json")
    return parser.parse_args()


if __name__ == "__main__":
    as_script(main)
