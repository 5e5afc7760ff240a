"""The peak memory of whole runs on the CPU provider, beside the estimate that `--dry-run` prints.

    python -m impasto.bench.memory CONTENT STYLE -o bench/results/memory-cpu.json

Every run is a process of its own, `impasto transfer` with 12 iterations, so that the history is full; its peak is the
most that the system saw resident (ru_maxrss). `first` starts with an empty cache and builds its graph; `again` finds
the graph there. The estimate is for the first.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from impasto.bench.conditions import conditions
from impasto.bench.record import write
from impasto.bench.script import as_script
from impasto.engine.compile.network import load_network
from impasto.models.errors import ImpastoError
from impasto.models.store import CACHE_VARIABLE

ITERATIONS = 12
MODELS = ("vgg19-slim", "vgg19")
CASES: dict[str, tuple[object, ...]] = {
    "256 px": ("--size", 256),
    "512 px": ("--size", 512),
    "1024 px": ("--size", 1024),
    "512 px, history 40": ("--size", 512, "--history", 40),
    "256 px, style image 1024 px": ("--size", 256, "--style-size", 1024),
}
_MAIN = "from impasto.engine.cli import main; main()"


def main() -> None:
    """Measure and write down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("content", type=Path)
    parser.add_argument("style", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()
    record: dict[str, Any] = {"what": __doc__, "conditions": conditions(0), "unit": "MiB", "runs": []}
    for model in MODELS:
        for case, options in CASES.items():
            found = _measured(model, [*options, "--iterations", max(ITERATIONS, _history(options) + 2)], arguments)
            record["runs"].append({"model": model, "case": case, **found})
            print(model, case, found, flush=True)
            write(arguments.output, record)


def _history(options: tuple[object, ...]) -> int:
    return int(str(options[options.index("--history") + 1])) if "--history" in options else 0


def _measured(model: str, options: list[object], arguments: argparse.Namespace) -> dict[str, float]:
    """Return estimate and peaks of one run, MiB."""
    with tempfile.TemporaryDirectory(prefix="impasto-bench-") as name:
        folder = Path(name)
        environment = {**os.environ, CACHE_VARIABLE: str(folder / "cache")}
        pictures = (arguments.content.resolve(), arguments.style.resolve())
        chosen = ("--model", load_network(model).path.resolve(), "--provider", "cpu", "-o", folder / "out.png")
        command = [sys.executable, "-c", _MAIN, "transfer", *map(str, (*pictures, *chosen, *options))]
        told = json.loads(_run([*command, "--dry-run", "--json"], {**environment, "IMPASTO_NO_CACHE": "1"})[0])
        first, again = (_run([*command, "--quiet"], environment)[1] for _ in range(2))
    estimate = told["memory_bytes"]["total"] / 2**20
    return {"estimate": round(estimate), "first": first, "again": again, "ratio": round(estimate / first, 3)}


def _run(command: list[str], environment: dict[str, str]) -> tuple[str, int]:
    """Run a process; return what it printed and its peak, MiB.

    Linux counts the memory of whoever starts a process as that process's own, up to exec: this one must stay small.
    """
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, env=environment, stdout=output)  # noqa: S603 - this very program
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)  # it has been waited for
        if status:
            raise ImpastoError(f"{' '.join(command)} ended with {process.returncode}")
        output.seek(0)
        return output.read().decode(), usage.ru_maxrss >> 10


if __name__ == "__main__":
    as_script(main)
