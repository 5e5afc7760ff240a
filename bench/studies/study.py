"""What studies share: a command line, the beginning of a record, samples in turn, and how they end."""

import argparse
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from impasto.bench.conditions import conditions
from impasto.bench.record import check_place
from impasto.models.errors import ImpastoError

USAGE_ERROR = 2


def command_line(
    what: str | None, *paths: str, threads: int = 0, model: str = "", painted: bool = False
) -> argparse.ArgumentParser:
    """Return a parser to which a study adds its own options.

    Args:
        what: it measures, for --help.
        paths: names of the files that it is given, in their order.
        threads: by default, of one operator; 0 takes every core.
        model: the network by default; "" for a study that does not choose one.
        painted: -o is a folder of pictures, and --json the record; otherwise -o is the record.
    """
    parser = argparse.ArgumentParser(description=what, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in paths:
        parser.add_argument(name, type=Path)
    parser.add_argument("--threads", type=int, default=threads, help="of one operator; 0 takes every core")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder of the pictures" if painted else "")
    if painted:
        parser.add_argument("--json", type=Path, required=True)
    if model:
        parser.add_argument("--model", default=model)
    return parser


def begin(what: str | None, arguments: argparse.Namespace) -> dict[str, Any]:
    """Return a record without results, and make the folder of the pictures.

    Raises:
        ImpastoError: the record cannot be written where it is wanted.
    """
    painted = "json" in arguments
    check_place(arguments.json if painted else arguments.output)
    if painted:
        arguments.output.mkdir(parents=True, exist_ok=True)
    return {"what": (what or "").strip(), "conditions": conditions(arguments.threads)}


def require_positive(arguments: argparse.Namespace, *names: str) -> None:
    """Refuse options below 1.

    Raises:
        ImpastoError: one is.
    """
    for name in names:
        if getattr(arguments, name) < 1:
            raise ImpastoError(f"bad --{name} {getattr(arguments, name)}: allowed are whole numbers of 1 or more")


def in_turn(
    runs: Mapping[str, Callable[[], object]],
    rounds: int,
    *,
    warm_up: int = 1,
    rest_s: float = 0.0,
    now: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Return the seconds of each run, round by round: A B A B.

    Args:
        runs: by name; each returns when it has finished.
        rounds: that count.
        warm_up: rounds before them.
        rest_s: before each run.
        now: `time.perf_counter`, or `time.process_time` for those of the process, all threads together.
    """
    samples: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(warm_up + rounds):
        for name, run in runs.items():
            time.sleep(rest_s)
            start_s = now()
            run()
            if number >= warm_up:
                samples[name].append(now() - start_s)
    return samples


def as_script(main: Callable[[], None]) -> None:
    """Run a module's main function; a user's mistake is one line and status 2."""
    try:
        main()
    except ImpastoError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(USAGE_ERROR)
