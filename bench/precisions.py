"""What a precision does to the end of a run: `python -m impasto.bench.precisions CONTENT STYLE -o DIR --json FILE`.

The same transfer in float32 on the CPU provider and in every other way asked for, with the same number of iterations,
from the content image and from noise. What counts is the loss of the saved picture, scored in float32 whatever the run
itself said. Both images are made square, so that literal sums compare. Finished pictures are found again.

    python -m impasto.bench.precisions CONTENT STYLE --way openvino:bf16 --way rounded:fp16 -o DIR --json FILE

"rounded:fp16" is what fp16 on a GPU does to numbers, on the CPU provider (`impasto.bench.rounding`).
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image

from impasto.bench import rounding
from impasto.bench.conditions import conditions
from impasto.engine import Engine, Settings
from impasto.engine.runtime.providers import Provider, choose
from impasto.models.store import FULL, atomic_file

REFERENCE = "cpu:fp32"
SIZES_PX = (256, 512)
STARTS = ("content", "noise")


def main() -> None:
    """Paint, score, write; the file is whole after every picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("content", type=Path)
    parser.add_argument("style", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder of the pictures")
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--way", action="append", metavar="PROVIDER:PRECISION", help="repeatable")
    parser.add_argument("--size", action="append", type=int, help=f"px, repeatable; default: {SIZES_PX}")
    parser.add_argument("--model", default=FULL)
    parser.add_argument("--iterations", type=int, default=200)
    parser.add_argument("--content-weight", type=float, default=1e-3)
    parser.add_argument("--threads", type=int, default=0, help="of one operator; 0 takes every core")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    settings = Settings(size=0, content_weight=arguments.content_weight, iterations=arguments.iterations)
    record: dict[str, Any] = {
        "what": (__doc__ or "").strip(),
        "conditions": conditions(arguments.threads),
        "settings": settings.as_dict(),
        "runs": [],
    }
    for size in arguments.size or SIZES_PX:
        content, style = (squared(path, size, arguments.output) for path in (arguments.content, arguments.style))
        for start in STARTS:
            chosen = replace(settings, init=start)
            reference = None
            for way in (REFERENCE, *(arguments.way or ())):
                picture = arguments.output / f"{size}-{start}-{way.replace(':', '-')}.png"
                run = paint(picture, content, style, chosen, way, arguments)
                loss = score(picture, content, style, chosen, arguments)
                reference = reference or loss
                run |= {"size_px": size, "start": start, "way": way, "loss": loss, "above_fp32": loss / reference - 1}
                record["runs"].append(run)
                print(f"{size} px from {start}, {way}: {loss:.6g}, {run['above_fp32']:+.2%} of fp32's", flush=True)
                with atomic_file(arguments.json) as part:
                    part.write_text(json.dumps(record, indent=1) + "\n")


def squared(path: Path, size: int, folder: Path) -> Path:
    """Write an image as a square of a size, and return where."""
    target = folder / f"{path.stem}-{size}.png"
    if not target.is_file():
        Image.open(path).convert("RGB").resize((size, size), Image.Resampling.LANCZOS).save(target)
    return target


def paint(
    picture: Path, content: Path, style: Path, settings: Settings, way: str, arguments: argparse.Namespace
) -> dict[str, Any]:
    """Make a picture unless it is there, and return what the run said of itself."""
    said = picture.with_suffix(".json")
    if not (picture.is_file() and said.is_file()):
        with Engine(arguments.model, provider=provider_of(way), threads=arguments.threads) as engine:
            result = engine.transfer(content, style, settings)
            result.save(picture)
            told = {
                "precision": engine.provider.precision,
                "iterations": result.iterations,
                "evaluations": result.evaluations,
                "own_loss": result.loss,
                "seconds": result.seconds,
            }
        said.write_text(json.dumps(told))
    return dict(json.loads(said.read_text()))


def provider_of(way: str) -> Provider:
    """Return the provider of PROVIDER:PRECISION, "rounded" among them."""
    name, _, precision = way.partition(":")
    return rounding.provider(precision) if name == rounding.NAME else choose(name, precision or "auto")


def score(picture: Path, content: Path, style: Path, settings: Settings, arguments: argparse.Namespace) -> float:
    """Return a picture's loss in float32 on the CPU provider."""
    with Engine(arguments.model, provider="cpu", precision="fp32", threads=arguments.threads) as judge:
        return float(judge.evaluate(picture, content, style, settings).loss)


if __name__ == "__main__":
    main()
