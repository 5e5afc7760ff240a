"""Reconstructions from white noise, as in figure 1 of the paper, beside PyTorch's L-BFGS at equal evaluations.

    python -m impasto.bench.studies.reconstructions CONTENT STYLE -o bench/results/reconstructions.json

Content: from each of the five taps at 128 px. Style: from all five taps at 192 px, the literal loss. Every optimiser
minimises the very same ONNX Runtime objective from the same noise:

    impasto             what `impasto reconstruct` does: pixels held within 0..1, a history of 20, for style 40
    impasto history 10  the same with the rival's history
    impasto plain       the same as the first with `--optimizer plain-lbfgs`, the textbook's
    torch               torch.optim.LBFGS, history 10, no line search, pixels on 0..255, tolerances off
    torch strong_wolfe  the same with its line search

The noise is that of `--init noise`, normal with the mean and deviation of photographs; one more style reconstruction
starts from noise that is uniform over 0..1, from which other programs start: its loss, and so the fraction, differs.

A fraction is the lowest loss so far over the loss of the noise. The error of a content reconstruction is the mean
|difference| to the image that was reconstructed, in grey levels, of what a file would hold (before rounding).
What the output file has already is not run again; a file of another machine or other versions is refused.
"""

import dataclasses
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from impasto.bench.record import write
from impasto.bench.studies.recorded import HISTORY, PIXEL, Recorded, run_lbfgs, run_torch
from impasto.bench.studies.study import as_script, begin, command_line
from impasto.engine import Engine, Settings
from impasto.engine.compile.objective import Objective
from impasto.engine.compile.optimiser_settings import PIXEL_RANGE, lbfgs_settings
from impasto.engine.images import Picture, read_image
from impasto.engine.jobs.reconstruction import content_reconstruction, style_reconstruction
from impasto.engine.optimisers.lbfgs import LbfgsSettings
from impasto.engine.optimisers.solution import Vector
from impasto.models.errors import ImpastoError

TAPS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
MARKS = (1, 50, 100, 200, 300, 500)


@dataclass(frozen=True)
class Start:
    """Where a run starts, and with what limits.

    Attributes:
        x: the image, flat.
        image_shape: its channels, height and width.
        evaluations: at most.
        settings: what `impasto reconstruct` runs with.
    """

    x: Vector
    image_shape: tuple[int, int, int]
    evaluations: int
    settings: Settings


def _own(objective: Recorded, start: Start, **changes: Any) -> None:
    """Minimise with this project's L-BFGS, as `impasto reconstruct` does but for the changes."""
    settings = dataclasses.replace(start.settings, **changes)
    chosen = lbfgs_settings(settings, start.image_shape, LbfgsSettings.loss_noise, from_noise=True)
    run_lbfgs(objective, start.x, start.evaluations, chosen)


def _torch(objective: Recorded, start: Start, line_search: str | None = None) -> None:
    run_torch(objective, start.x, start.evaluations, line_search)


OPTIMIZERS: Mapping[str, Callable[..., None]] = {
    "impasto": _own,
    "impasto history 10": partial(_own, history=HISTORY),
    "impasto plain": partial(_own, optimizer="plain-lbfgs"),
    "torch": _torch,
    "torch strong_wolfe": partial(_torch, line_search="strong_wolfe"),
}


def run_one(name: str, objective: Objective, start: Start, image: Vector | None) -> dict[str, Any]:
    """Return what one optimiser comes to on one objective."""
    recorded = Recorded(objective, start.evaluations)
    curve = recorded.lowest(partial(OPTIMIZERS[name], start=start))
    curve = curve / curve[0]
    row: dict[str, Any] = {
        "evaluations": len(curve),
        "fraction": float(curve[-1]),
        "fraction_after": {
            str(mark): float(curve[min(mark, len(curve)) - 1]) for mark in MARKS if mark <= start.evaluations
        },
    }
    if image is not None:
        row["mean_error_grey_levels"] = float(np.abs(np.clip(recorded.best, *PIXEL_RANGE) - image).mean() * PIXEL)
    return row


def check_same(before: Mapping[str, Any], now: Mapping[str, Any], path: Path) -> None:
    """Refuse to put runs of different machines, threads or versions under one heading.

    Raises:
        ImpastoError: with what differs.
    """
    for name in ("processor", "processor_flags", "cores", "threads", "versions"):
        if before.get(name) != now.get(name):
            raise ImpastoError(f"{path} is of other conditions: {name} differ; give another --output")


def fitted(path: Path, side_px: int) -> Picture:
    """Return an image with its long side so many px."""
    picture = read_image(path)
    return picture.scaled(side_px)


def main() -> None:
    """Run the reconstructions and write them down."""
    parser = command_line(__doc__, "content", "style", model="vgg19")
    parser.add_argument("--content-side", type=int, default=128, help="long side, px")
    parser.add_argument("--style-side", type=int, default=192, help="long side, px")
    parser.add_argument("--optimizer", action="append", choices=list(OPTIMIZERS), help="repeatable; default all")
    parser.add_argument("--case", default="", help="only those whose name begins so: content, content relu4_1, style")
    parser.add_argument("--evaluations", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0, help="of the noise; one other than 0 is named in the case")
    arguments = parser.parse_args()
    record = {**begin(__doc__, arguments), "runs": {}}
    if arguments.output.is_file():
        before = json.loads(arguments.output.read_text())
        check_same(before["conditions"], record["conditions"], arguments.output)
        record["runs"] = before["runs"]
    scene, painting = fitted(arguments.content, arguments.content_side), fitted(arguments.style, arguments.style_side)
    record["images"] = {picture.name: [picture.width, picture.height] for picture in (scene, painting)}
    limits: dict[str, Any] = {"size": 0, "seed": arguments.seed}
    seeded = f", seed {arguments.seed}" if arguments.seed else ""
    cases: dict[str, tuple[Settings, Picture]] = {
        f"content {tap}{seeded}": (content_reconstruction([tap], **limits), scene) for tap in TAPS
    }
    for case in ("style, all five taps", "style from uniform noise"):
        cases[case + seeded] = (style_reconstruction(TAPS, **limits), painting)
    with Engine(arguments.model, provider="cpu", precision="fp32", threads=arguments.threads) as engine:
        record["network"] = {"name": engine.network.name, "sha256": engine.network.sha256}
        for case in filter(lambda name: name.startswith(arguments.case), cases):
            settings, picture = cases[case]
            rows = record["runs"].setdefault(case, {})
            for name in arguments.optimizer or OPTIMIZERS:
                if name not in rows:
                    image = picture.pixels.transpose(2, 0, 1).reshape(-1) if settings.active_content_taps else None
                    content, style = (None, picture.pixels) if image is None else (picture.pixels, None)
                    objective, x = engine.objective(content, style, settings)
                    x = np.clip(x, *PIXEL_RANGE)
                    if case.startswith("style from uniform noise"):
                        x = np.random.default_rng(arguments.seed).random(x.size, np.float32)
                    start = Start(x, objective.image_shape, arguments.evaluations, settings)
                    rows[name] = run_one(name, objective, start, image)
                    print(case, name, json.dumps(rows[name]), flush=True)
                    write(arguments.output, record)


if __name__ == "__main__":
    as_script(main)
