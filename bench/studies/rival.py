"""One picture by the method of style-transfer-pytorch: what impasto's pictures are compared with.

    python -m impasto.bench.studies.rival CONTENT STYLE -o PICTURE.png --json FILE.json [--size 512]

`impasto.bench.rivals.style_transfer_pytorch` says what the method is. The defaults are that program's; with other
numbers of iterations it takes less time and is no longer that program's picture. FILE.json has the settings, the power
of each tap, the last loss of each scale, seconds, and processor seconds of all threads together. Both count from the
reading of the images to the picture in the file, so neither the import of PyTorch nor the network's is in them.
"""

import argparse
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from impasto.bench.conditions import conditions
from impasto.bench.record import check_place, write
from impasto.bench.studies.study import as_script
from impasto.engine import Engine
from impasto.engine.images import check_writable, read_image, write_image
from impasto.export.taps import SMALLEST_SIDE_PX
from impasto.models.errors import ImpastoError
from impasto.models.store import FULL

if TYPE_CHECKING:
    from impasto.bench.rivals.style_transfer_pytorch import Method

PROGRESS_S = 30.0


def main() -> None:
    """Paint, write, tell."""
    arguments = _parser().parse_args()
    method = _method(arguments)
    check_writable(arguments.output)
    check_place(arguments.json)
    told = painted(arguments, method)
    write(arguments.json, {"what": (__doc__ or "").strip(), "conditions": conditions(arguments.threads), **told})
    print(f"{arguments.output}: {told['seconds']:.1f} s, {told['processor_seconds']:.1f} processor seconds")


def painted(arguments: argparse.Namespace, method: "Method") -> dict[str, Any]:
    """Paint a picture into its file, and return what the record has of it."""
    import torch

    from impasto.bench.rivals.equal_power import EqualPower
    from impasto.bench.rivals.style_transfer_pytorch import TAPS, paint

    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    with Engine(arguments.model, provider="cpu", precision="fp32", threads=arguments.threads) as engine:
        network = EqualPower(engine.network.model, TAPS, padding=arguments.padding)
        facts = {"network": engine.network.name, "network_sha256": engine.network.sha256}
    losses: dict[int, float] = {}
    follow = _Follower(losses)
    start_s, start_cpu_s = time.perf_counter(), time.process_time()
    content, style = (read_image(path) for path in (arguments.content, arguments.style))
    write_image(arguments.output, paint(network, content, style, method, follow))
    return {
        **facts,
        "content": arguments.content.name,
        "style": arguments.style.name,
        "method": asdict(method),
        "padding": arguments.padding,
        "powers": dict(network.powers),
        "last_loss": {str(scale): loss for scale, loss in losses.items()},
        "seconds": time.perf_counter() - start_s,
        "processor_seconds": time.process_time() - start_cpu_s,
        "threads": torch.get_num_threads(),
    }


class _Follower:
    """Keeps the last loss of each scale, and prints a line now and then."""

    def __init__(self, losses: dict[int, float]) -> None:
        self._losses, self._printed_s = losses, time.monotonic()

    def __call__(self, scale: int, number: int, loss: float) -> None:
        self._losses[scale] = loss
        if time.monotonic() - self._printed_s >= PROGRESS_S:
            self._printed_s = time.monotonic()
            print(f"{scale} px, iteration {number}: loss {loss:.6g}", flush=True)


def _method(arguments: argparse.Namespace) -> "Method":
    """Return the numbers of the method, checked.

    Raises:
        ImpastoError: one is out of range.
    """
    from impasto.bench.rivals.style_transfer_pytorch import Method

    for name in ("size", "min_scale"):
        _require(arguments, name, f"{SMALLEST_SIDE_PX} px or more", getattr(arguments, name) >= SMALLEST_SIDE_PX)
    for name in ("iterations", "initial_iterations"):
        _require(arguments, name, "whole numbers of 1 or more", getattr(arguments, name) >= 1)
    for name in ("content_weight", "tv_weight"):
        _require(arguments, name, "numbers of 0 or more", getattr(arguments, name) >= 0)
    for name in ("step_size", "style_scale_fac"):
        _require(arguments, name, "numbers above 0", getattr(arguments, name) > 0)
    _require(arguments, "avg_decay", "0 to below 1", 0 <= arguments.avg_decay < 1)
    names = set(Method.__dataclass_fields__) - {"end_scale"}
    return Method(end_scale=arguments.size, **{name: getattr(arguments, name) for name in names})


def _require(arguments: argparse.Namespace, name: str, allowed: str, holds: bool) -> None:
    if not holds:
        option = f"--{name.replace('_', '-')}"
        raise ImpastoError(f"bad {option} {getattr(arguments, name)}: allowed are {allowed}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("content", type=Path)
    parser.add_argument("style", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True, help="the picture, .png")
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--model", default=FULL)
    parser.add_argument("--threads", type=int, default=0, help="0 takes every core")
    parser.add_argument("--size", type=int, default=512, help="long side of the last scale, px")
    parser.add_argument("--min-scale", type=int, default=128, help="long side of the first scale at least, px")
    parser.add_argument("--initial-iterations", type=int, default=1000, help="of the first scale")
    parser.add_argument("--iterations", type=int, default=500, help="of each further scale")
    parser.add_argument("--content-weight", type=float, default=0.015)
    parser.add_argument("--tv-weight", type=float, default=2.0)
    parser.add_argument("--step-size", type=float, default=0.02, help="of Adam, for pixels of 0..1")
    parser.add_argument("--avg-decay", type=float, default=0.99, help="of the average of iterates; 0 is the last one")
    parser.add_argument("--init", choices=("content", "gray", "uniform"), default="content")
    parser.add_argument("--style-scale-fac", type=float, default=1.0, help="long side of the painting over the scale's")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--padding", choices=("replicate", "zero"), default="replicate", help="of the first convolution"
    )
    return parser


if __name__ == "__main__":
    as_script(main)
