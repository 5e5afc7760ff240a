"""What `--preview` costs a run: `python -m impasto.bench.preview CONTENT STYLE -o bench/results/preview.json`.

The same transfer in turn without a preview and with one of each kind, drawn into a pseudo-terminal that another process
empties. Each run is new, after one that does not count. Kept of each are the seconds of its iterations on the clock and
of the processor, and the share of the former that its drawing took, the last picture (the result's) apart.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from impasto.bench.conditions import conditions, load
from impasto.bench.record import check_place, write
from impasto.bench.script import as_script
from impasto.engine import Engine, Event, Settings
from impasto.engine.watch.preview import Pace, Preview
from impasto.engine.watch.preview.pace import SHARE
from impasto.engine.watch.preview.place import TerminalSize
from impasto.models.errors import ImpastoError
from impasto.models.store import EMBEDDED

OFF = "off"
WAYS = (OFF, "blocks", "sixel", "kitty")
TERMINAL = TerminalSize(120, 40)
_EMPTYING = "import os, sys\nwhile True: os.read(int(sys.argv[1]), 1 << 16)"


@contextmanager
def terminal() -> Iterator[BinaryIO]:
    """Give a pseudo-terminal that is read as fast as another process can."""
    reader, writer = os.openpty()
    command = [sys.executable, "-c", _EMPTYING, str(reader)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, pass_fds=(reader,))  # noqa: S603
    os.close(reader)
    try:
        with os.fdopen(writer, "wb", buffering=0) as stream:
            yield stream
    finally:
        process.kill()
        process.wait()


def measured(engine: Engine, arguments: argparse.Namespace, way: str) -> dict[str, float]:
    """Run once."""
    settings = Settings(size=arguments.size, iterations=arguments.evaluations, evaluations=arguments.evaluations)
    pace, pictures = Pace(), 0
    with terminal() as stream:
        preview = None if way == OFF else Preview(way, stream, lambda: TERMINAL, pace=pace)

        def take(event: Event) -> None:
            nonlocal pictures
            before_s = pace.spent_s
            if preview is not None:
                preview.take(event)
            pictures += pace.spent_s > before_s

        start_s, start_cpu_s = time.perf_counter(), time.process_time()
        result = engine.transfer(arguments.content, arguments.style, settings, on_event=take)
        cpu_s, clock_s = time.process_time() - start_cpu_s, time.perf_counter() - start_s
    seconds = clock_s - result.setup_s
    return {"seconds": seconds, "cpu_s": cpu_s, "pictures": pictures, "drawing_share": pace.spent_s / seconds}


def main() -> None:
    """Run in turn, write after every round."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("content", type=Path)
    parser.add_argument("style", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--model", default=EMBEDDED)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--evaluations", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--way", action="append", choices=WAYS[1:], help="repeatable, beside the run without; all")
    arguments = parser.parse_args()
    check_place(arguments.output)
    if arguments.rounds < 1:
        raise ImpastoError(f"bad --rounds {arguments.rounds}: allowed are whole numbers of 1 or more")
    before = conditions(arguments.threads)
    asked = {name: value.name if isinstance(value, Path) else value for name, value in vars(arguments).items()}
    record: dict[str, Any] = {"what": (__doc__ or "").strip(), "conditions": before, "asked": asked}
    ways = (OFF, *(arguments.way or WAYS[1:]))
    runs: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
    with Engine(arguments.model, provider="cpu", precision="fp32", threads=arguments.threads) as engine:
        measured(engine, arguments, OFF)
        for _ in range(arguments.rounds):
            for way in ways:
                runs[way].append(measured(engine, arguments, way))
            record |= {"promise": SHARE, "runs": runs, "summary": summary(runs), "load_1_min_after": load()}
            write(arguments.output, record)
    print(json.dumps(record["summary"], indent=1))


def summary(runs: dict[str, list[dict[str, float]]]) -> dict[str, dict[str, float]]:
    """Return by way the medians, and the median of what a run takes over the one without a preview of its round."""
    return {
        way: {
            "seconds": statistics.median(run["seconds"] for run in taken),
            "over_off_clock": _over_off(runs, way, "seconds"),
            "over_off_cpu": _over_off(runs, way, "cpu_s"),
            "pictures": statistics.median(run["pictures"] for run in taken),
            "largest_drawing_share": max(run["drawing_share"] for run in taken),
        }
        for way, taken in runs.items()
    }


def _over_off(runs: dict[str, list[dict[str, float]]], way: str, name: str) -> float:
    return statistics.median(a[name] / b[name] - 1 for a, b in zip(runs[way], runs[OFF], strict=True))


if __name__ == "__main__":
    as_script(main)
