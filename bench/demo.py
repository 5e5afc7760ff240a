"""How long `make demo` takes after set-up, and what it reaches.

    python -m impasto.bench.demo examples/demo.py -o FILE.json

A run is a process from its start to its end. The first of each round finds an empty cache, the second what the first
left there. The system's file cache is warm.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from impasto.bench.conditions import conditions
from impasto.bench.record import check_place, write
from impasto.bench.script import as_script
from impasto.engine.images import read_metadata
from impasto.models.errors import ImpastoError
from impasto.models.store import CACHE_VARIABLE

PICTURE = "demo.png"
TOLD = ("model", "provider", "precision", "iterations", "evaluations", "loss", "outcome")


def main() -> None:
    """Measure and write it down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("script", type=Path, help="examples/demo.py of a clone")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()
    check_place(arguments.output)
    record: dict[str, Any] = {"what": __doc__, "conditions": conditions(0), "runs": []}
    for _ in range(arguments.rounds):
        with tempfile.TemporaryDirectory() as cache:
            for state in ("cold", "warm"):
                record["runs"].append({"cache": state, **run(arguments.script, cache)})
                print(record["runs"][-1], flush=True)
                write(arguments.output, record)


def run(script: Path, cache: str) -> dict[str, Any]:
    """Return the seconds of one process, and what its picture says of itself.

    Raises:
        ImpastoError: it failed.
    """
    environment = {name: value for name, value in os.environ.items() if name != "IMPASTO_SHARED"}
    start_s = time.perf_counter()
    ended = subprocess.run(  # noqa: S603
        [sys.executable, script],
        env=environment | {CACHE_VARIABLE: cache},
        check=False,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    seconds = time.perf_counter() - start_s
    if ended.returncode:
        raise ImpastoError(f"{script} ended with {ended.returncode}: {ended.stderr.strip()[-200:]}; give demo.py")
    told = read_metadata(script.resolve().parent.parent / PICTURE)
    return {"seconds": seconds, **{name: told[name] for name in TOLD}}


if __name__ == "__main__":
    as_script(main)
