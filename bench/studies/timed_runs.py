"""What is timed of a revision in one process: seconds per evaluation, alone, in a batch, and on the device.

    python -m impasto.bench.studies.timed_runs TREE SIZE_PX EVALUATIONS THREADS

As in `fixed_runs`, only public names of the engine are used. It prints one line of JSON, seconds by kind.
`whole` is the run's time from its first iteration to its end, divided by its evaluations. So it includes the optimiser
and the driver.
"""

import json
import sys
import time
from pathlib import Path

from impasto.bench.studies.checkout import check_imports
from impasto.bench.studies.fixed_runs import HARBOUR, MOSAIC, NETWORK, SWIRLS, WOODCUT
from impasto.engine import Engine, Job, Settings

WARM_UP = 3  # evaluations, of every kind
STYLES = (SWIRLS, MOSAIC, WOODCUT)


def main() -> None:
    """Time each kind of run once, after a short one of the same kind."""
    tree, size_px, evaluations, threads = sys.argv[1:]
    check_imports(Path(tree))
    short, full = (
        Settings(size=int(size_px), iterations=count, evaluations=count) for count in (WARM_UP, int(evaluations))
    )
    found: dict[str, float] = {}
    for loop in ("host", "device"):
        with Engine(NETWORK, provider="cpu", precision="fp32", threads=int(threads), loop=loop) as engine:
            engine.transfer(HARBOUR, SWIRLS, short)
            result = engine.transfer(HARBOUR, SWIRLS, full)
            found[f"evaluation, loop on the {loop}"] = result.evaluations_s / result.evaluations
            found[f"whole, loop on the {loop}"] = (result.seconds - result.setup_s) / result.evaluations
            found[f"whole, batch of {len(STYLES)}, loop on the {loop}"] = _batch(engine, short, full)
    check_imports(Path(tree))
    print(json.dumps(found))


def _batch(engine: Engine, short: Settings, full: Settings) -> float:
    """Return the seconds of a batch by the evaluations of all its jobs, what its start takes included."""
    for settings in (short, full):
        start_s = time.perf_counter()
        ended = list(
            engine.transfer_many([Job(HARBOUR, style, settings) for style in (SWIRLS, MOSAIC, WOODCUT)], batch=3)
        )
    return (time.perf_counter() - start_s) / sum(item.result.evaluations for item in ended if item.result)


if __name__ == "__main__":
    main()
