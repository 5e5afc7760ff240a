"""The optimiser against others at equal evaluations, on the same objective from the same start.

    python -m impasto.bench.optimizers CONTENT STYLE -o bench/results/optimizers.json

Compared are this project's L-BFGS (plain: as `--optimizer plain-lbfgs` has it), `torch.optim.LBFGS` (history 10, no
line search, pixels on 0..255, as people use it for style transfer) and SciPy's L-BFGS-B (maxcor 10). All minimise the
very same ONNX Runtime objective, so that nothing but the optimiser differs. A curve is the lowest loss seen after each
evaluation.
"""

import argparse
import contextlib
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from impasto.bench.conditions import conditions
from impasto.bench.pictures import square
from impasto.bench.record import write
from impasto.bench.recorded import HISTORY, PIXEL, BudgetSpent, Recorded, run_torch
from impasto.bench.script import as_script
from impasto.engine import Engine, Settings
from impasto.engine.optimisers.lbfgs import LbfgsSettings, lbfgs
from impasto.engine.optimisers.outcome import Budget, Vector

ALPHA = 1e-3


def run_impasto(objective: Recorded, x: Vector, evaluations: int) -> None:
    """Minimise with this project's L-BFGS; the image is square."""
    side = math.isqrt(x.size // 3)
    settings = LbfgsSettings(history_size=HISTORY, image_shape=(3, side, side))
    for _ in lbfgs(objective, x, settings, Budget(evaluations=evaluations)):
        pass


def run_impasto_plain(objective: Recorded, x: Vector, evaluations: int) -> None:
    """Minimise with this project's L-BFGS without the spectral initial inverse."""
    for _ in lbfgs(objective, x, LbfgsSettings(history_size=HISTORY), Budget(evaluations=evaluations)):
        pass


def run_scipy(objective: Recorded, x: Vector, evaluations: int) -> None:
    """Minimise with SciPy's L-BFGS-B, without bounds, tolerances off."""
    import scipy.optimize

    def function(pixels: np.ndarray) -> tuple[float, np.ndarray]:
        loss, gradient = objective((pixels / PIXEL).astype(np.float32))
        return loss, gradient.astype(np.float64) / PIXEL

    options = {"maxcor": HISTORY, "maxiter": evaluations, "maxfun": evaluations, "ftol": 0.0, "gtol": 0.0}
    scipy.optimize.minimize(function, x.astype(np.float64) * PIXEL, jac=True, method="L-BFGS-B", options=options)


RIVALS: dict[str, Callable[[Recorded, Vector, int], None]] = {
    "impasto": run_impasto,
    "impasto plain": run_impasto_plain,
    "torch.optim.LBFGS": run_torch,
    "scipy L-BFGS-B": run_scipy,
}


def main() -> None:
    """Run the comparison and write its curves."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("content", type=Path)
    parser.add_argument("style", type=Path)
    parser.add_argument("--model", default="auto")
    parser.add_argument("--side", type=int, default=256, help="both images are resized to side x side px")
    parser.add_argument("--evaluations", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()

    record: dict[str, Any] = {"what": __doc__, "conditions": conditions(arguments.threads), "runs": []}
    content, style = (square(path, arguments.side) for path in (arguments.content, arguments.style))
    with Engine(arguments.model, provider="cpu", threads=arguments.threads) as engine:
        record["network"] = {"name": engine.network.name, "sha256": engine.network.sha256}
        for init in ("content", "noise"):
            settings = Settings(size=0, init=init, seed=arguments.seed, content_weight=ALPHA)
            objective, x = engine.objective(content, style, settings)
            finals = {}
            for name, run in RIVALS.items():
                recorded = Recorded(objective, arguments.evaluations)
                with contextlib.suppress(BudgetSpent):
                    run(recorded, x, arguments.evaluations)
                curve = np.minimum.accumulate(recorded.losses).tolist()
                finals[name] = curve[-1]
                record["runs"].append(
                    {"init": init, "optimizer": name, "final": curve[-1], "last": recorded.losses[-1], "curve": curve}
                )
            best = min(value for name, value in finals.items() if not name.startswith("impasto"))
            print(f"{init}: {finals}; impasto / better rival = {finals['impasto'] / best:.4f}")
    record["images"] = {"content": arguments.content.name, "style": arguments.style.name, "side_px": arguments.side}
    write(arguments.output, record)


if __name__ == "__main__":
    as_script(main)
