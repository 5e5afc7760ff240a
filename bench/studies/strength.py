"""Whether one --strength keeps as much of the content at other sizes and on the other network.

    python -m impasto.bench.studies.strength -o DIR --json bench/results/strength.json \
        [--pair CONTENT+PAINTING] [--size 256 --size 512 --size 1024] [--strength 0.3 --strength 0.5 --strength 0.7]

Every pair is painted by `impasto transfer --strength S` at every size on VGG-19 and on vgg19-slim. One judge, VGG-19
with the paper's pooling, says how much of the content each picture has kept, both at the picture's own size and with
the picture brought to the smallest size:

    kept      1 - |F - P|^2 / |P|^2 at relu4_2, where F are the features of the picture and P those of the content
    spread    by strength and pair: the largest `kept` over the smallest one, less 1

Finished pictures are found again. FILE.json is whole after every picture.
"""

import argparse
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from impasto.bench.record import write
from impasto.bench.studies.makers import IMPASTO, Maker, paint
from impasto.bench.studies.paired_images import Pair, find_pairs
from impasto.bench.studies.study import as_script, begin, command_line
from impasto.engine import Engine, Settings
from impasto.engine.images import fit_long_side, read_image, resize
from impasto.models.errors import ImpastoError
from impasto.models.store import EMBEDDED, FULL

PAIRS = ("neckarfront+starry_night", "china+great_wave")
SIZES_PX = (256, 512, 1024)
STRENGTHS = (0.3, 0.5, 0.7)

Row = dict[str, Any]


def main() -> None:
    """Paint, judge, write."""
    arguments = _parser().parse_args()
    sizes, strengths = arguments.size or SIZES_PX, arguments.strength or STRENGTHS
    pairs, missing = find_pairs(arguments.pair or PAIRS)
    if not pairs:
        raise ImpastoError(f"no pair has its images on this machine: {'; '.join(missing.values())}")
    found = begin(__doc__, arguments) | {"skipped": missing, "rows": []}
    with Engine(FULL, provider="cpu", precision="fp32", threads=arguments.threads) as judge:
        for pair, size_px, strength in ((p, px, s) for p in pairs for px in sizes for s in strengths):
            for model in (EMBEDDED, FULL):
                maker = Maker(IMPASTO, f"{model}-{strength:g}", ("--strength", f"{strength:g}"))
                done = paint(maker, pair, arguments.output, size_px, model, arguments.threads)
                row: Row = {"pair": pair.name, "size_px": size_px, "strength": strength, "model": model}
                row |= {name: done.made[name] for name in ("revision", "threads", "seconds", "processor_seconds")}
                row |= {"kept": kept(judge, done.picture, pair, size_px)}
                row |= {"kept_small": kept(judge, done.picture, pair, min(sizes))}
                found["rows"].append(row)
                found["spread"] = {name: spreads(found["rows"], name) for name in ("kept", "kept_small")}
                write(arguments.json, found)
                print(", ".join(f"{name} {row[name]}" for name in ("pair", "size_px", "strength", "model", "kept")))
    for name, values in found["spread"].items():
        for text, value in values.items():
            print(f"spread of {name}, {text}: {value:.3f}")


def kept(judge: Engine, picture: Path, pair: Pair, size_px: int) -> float:
    """Return the share of the content that a picture has, 1 for the content itself, brought to a long side in px."""
    image = read_image(picture)
    height, width = fit_long_side(image.height, image.width, size_px)
    settings = Settings(size=size_px, weighting="calibrated", content_weight=1.0, style_weight=0.0)
    score = judge.evaluate(resize(image.pixels, height, width), pair.content, None, settings)
    return 1 - score.loss


def spreads(rows: Iterable[Row], name: str) -> Mapping[str, float]:
    """Return how far a number of the rows differs within each strength and pair."""
    values: dict[str, list[float]] = {}
    for row in rows:
        values.setdefault(f"strength {row['strength']:g}, {row['pair']}", []).append(row[name])
    return {text: spread(each) for text, each in values.items()}


def spread(values: Sequence[float]) -> float:
    """Return the largest value over the smallest one, less 1."""
    return max(values) / min(values) - 1


def _parser() -> argparse.ArgumentParser:
    parser = command_line(__doc__, painted=True)
    parser.add_argument("--pair", action="append", metavar="CONTENT+PAINTING", help=f"repeatable; default: {PAIRS}")
    parser.add_argument("--size", type=int, action="append", help=f"long side, px, repeatable; default: {SIZES_PX}")
    parser.add_argument("--strength", type=float, action="append", help=f"repeatable; default: {STRENGTHS}")
    return parser


if __name__ == "__main__":
    as_script(main)
