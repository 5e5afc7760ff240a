"""Whether a seamless texture tiles, and what that costs.

    python -m impasto.bench.studies.seams STYLE -o bench/results/seams.json [--picture TILED.png]

A style reconstruction from all five taps, once with ordinary padding and once seamless, each tiled 2 x 2. Measured is
the mean |difference| of neighbouring pixels across the seams over that inside: 1 is no seam. And one evaluation of
each objective, in turn, in seconds of the process (all threads together).
"""

import argparse
import json
import statistics
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from impasto.bench.record import write
from impasto.bench.studies.study import as_script, begin, command_line, in_turn
from impasto.engine import Engine, style_reconstruction
from impasto.engine.images import read_image, write_image


def seam(pixels: np.ndarray) -> dict[str, float]:
    """Return the differences of neighbours in grey levels, across the seams of a 2 x 2 tiling and inside.

    Args:
        pixels: H x W x 3, 0..1.
    """
    height, width = pixels.shape[:2]
    tiled = np.tile(pixels, (2, 2, 1)) * 255.0
    down, across = np.abs(np.diff(tiled, axis=0)), np.abs(np.diff(tiled, axis=1))
    at_seam = (float(down[height - 1].mean()) + float(across[:, width - 1].mean())) / 2
    inside = (float(down[: height - 1].mean()) + float(across[:, : width - 1].mean())) / 2
    return {"across_the_seam": at_seam, "inside": inside, "ratio": at_seam / inside}


def main() -> None:
    """Make both textures, measure, write."""
    parser = command_line(__doc__, "style", model="vgg19")
    parser.add_argument("--side", type=int, default=128, help="of the square texture, px; a multiple of 16")
    parser.add_argument("--evaluations", type=int, default=150)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--picture", type=Path, help="write both tilings beside each other here")
    arguments = parser.parse_args()
    record = {**begin(__doc__, arguments), "textures": {}}
    limit, side = arguments.evaluations, arguments.side
    settings = {
        name: style_reconstruction(canvas=(side, side), iterations=limit, evaluations=limit, seamless=seamless)
        for name, seamless in (("ordinary", False), ("seamless", True))
    }
    style = read_image(arguments.style)
    record["style"] = [style.name, style.width, style.height]
    tiled = []
    for name, chosen in settings.items():
        with Engine(arguments.model, provider="cpu", precision="fp32", threads=arguments.threads) as engine:
            result = engine.transfer(None, arguments.style, chosen)
            record["network"] = {"name": engine.network.name, "sha256": engine.network.sha256}
        share = result.loss / sum(result.initial_terms.values())
        record["textures"][name] = {"side_px": side, "loss": result.loss, "share_of_the_start": share}
        record["textures"][name] |= {"evaluations": result.evaluations, **seam(result.picture.pixels)}
        tiled.append(np.tile(result.picture.pixels, (2, 2, 1)))
        print(name, json.dumps(record["textures"][name]), flush=True)
    if arguments.picture is not None:
        write_image(arguments.picture, np.hstack([tiled[0], np.ones((2 * side, side // 16, 3), np.float32), tiled[1]]))
    record["evaluation_cpu_s"] = timed(arguments, settings)
    print(json.dumps(record["evaluation_cpu_s"]["median"]))
    write(arguments.output, record)


def timed(arguments: argparse.Namespace, settings: dict[str, Any]) -> dict[str, Any]:
    """Return the processor time of evaluations, taken in turn."""
    engines = {
        name: Engine(arguments.model, provider="cpu", precision="fp32", threads=arguments.threads) for name in settings
    }
    objectives = {name: engines[name].objective(None, arguments.style, chosen) for name, chosen in settings.items()}
    runs = {name: partial(objective, x) for name, (objective, x) in objectives.items()}
    samples = in_turn(runs, arguments.rounds, now=time.process_time)
    return {"samples": samples, "median": {name: statistics.median(values) for name, values in samples.items()}}


if __name__ == "__main__":
    as_script(main)
