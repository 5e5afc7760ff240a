"""Pictures of impasto and of a rival of the same pairs and sizes: numbers, a labelled sheet, and sheets without names.

    python -m impasto.bench.studies.side_by_side -o DIR --json bench/results/FILE.json --size 256 --size 512 \
        --impasto impasto --impasto "fast=--preset fast" --rival "stp=--iterations 100" \
        [--sheet SHEET.jpg] [--blind DIR]

A maker is NAME or NAME=OPTIONS: of `impasto transfer`, or of `impasto.bench.studies.rival`. Twelve pairs are painted
(`impasto.bench.studies.paired_images`), or those of --pair CONTENT+PAINTING. Finished pictures are found again; pairs
whose images are not on this machine are skipped with the reason. FILE.json is whole after every picture:

    rows      of each pair, size and maker: palette distance to the painting (grey levels), luma and chroma grain,
              border ratio (`impasto.bench.picture_stats`), seconds and processor seconds of the process
    summary   by size and maker, over the pairs: geometric means of border, and of the ratios to the maker --against:
              palette, chroma grain, border, seconds, processor seconds; chroma_grain_of_allowed is chroma grain over
              the larger of that maker's and the painting's own

Pictures of a maker are not painted again when the code changes: give another DIR. --blind writes a picture of each pair
and size with all makers' results in random order, and DIR-key.json says which is whose.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from impasto.bench.picture_stats import picture_stats
from impasto.bench.record import write
from impasto.bench.studies.blind_sheets import write_blind
from impasto.bench.studies.imitation import geometric_mean
from impasto.bench.studies.makers import IMPASTO, RIVAL, Maker, Painted, paint
from impasto.bench.studies.paired_images import NAMES, Pair, credits_of, find_pairs
from impasto.bench.studies.study import as_script, begin, command_line
from impasto.engine.images import check_writable, fit_long_side, read_image, resize, write_image
from impasto.engine.images.sheet import Labelled, SheetRow, draw_sheet
from impasto.export.taps import SMALLEST_SIDE_PX
from impasto.models.errors import ImpastoError
from impasto.models.store import FULL

SIZES_PX = (256,)
CELL_PX = 256  # long side of a picture on the labelled sheet
RATIOS = ("palette", "chroma_grain", "border", "seconds", "processor_seconds")

Row = Mapping[str, Any]


def main() -> None:
    """Paint, measure, write; then draw."""
    arguments = _parser().parse_args()
    makers = _makers(arguments)
    against = _against(arguments, makers)
    sizes = arguments.size or list(SIZES_PX)
    for size_px in sizes:
        if size_px < SMALLEST_SIDE_PX:
            raise ImpastoError(f"bad --size {size_px}: allowed are {SMALLEST_SIDE_PX} px or more")
    pairs, missing = find_pairs(arguments.pair or NAMES)
    if arguments.sheet is not None:
        check_writable(arguments.sheet)
    found = begin(__doc__, arguments)
    for name, reason in missing.items():
        print(f"skipped {name}: {reason}", flush=True)
    if not pairs:
        raise ImpastoError(f"no pair has its images on this machine: {'; '.join(missing.values())}")
    found |= {"model": arguments.model, "against": against, "skipped": missing}
    found |= {"credits": credits_of([pair.name for pair in pairs]), "paintings": {}, "rows": []}
    pictures: dict[tuple[str, int, str], Path] = {}
    for pair in pairs:
        found["paintings"][pair.name] = _numbers(pair.style, pair)
        for size_px in sizes:
            for maker in makers:
                done = paint(maker, pair, arguments.output, size_px, arguments.model, arguments.threads)
                pictures[pair.name, size_px, maker.name] = done.picture
                found["rows"].append(_row(done, pair))
                found["summary"] = summary(found["rows"], found["paintings"], against)
                write(arguments.json, found)
                print(_line(found["rows"][-1]), flush=True)
    for line in _table(found["summary"]):
        print(line)
    if arguments.sheet is not None:
        write_image(arguments.sheet, sheet(pairs, found["rows"], pictures, found["credits"]))
    if arguments.blind is not None:
        write_blind(arguments.blind, pairs, pictures, arguments.blind_seed)


def _row(done: Painted, pair: Pair) -> dict[str, Any]:
    named = ("pair", "size_px", "maker", "kind", "options", "revision", "threads", "seconds", "processor_seconds")
    return {**{name: done.made[name] for name in named}, **_numbers(done.picture, pair)}


def _numbers(picture: Path, pair: Pair) -> dict[str, float]:
    return picture_stats(read_image(picture), read_image(pair.style)).as_dict()


def summary(rows: Sequence[Row], paintings: Mapping[str, Row], against: str) -> dict[str, dict[str, Any]]:
    """Return the means by size and maker, over the pairs that both the maker and the one it is compared with have.

    Args:
        rows: with pair, size_px, maker and numbers.
        paintings: the numbers of each pair's painting.
        against: the maker whose numbers the others' are divided by.
    """
    bases = {(row["pair"], row["size_px"]): row for row in rows if row["maker"] == against}
    found: dict[str, dict[str, Any]] = {}
    for size_px in dict.fromkeys(row["size_px"] for row in rows):
        for maker in dict.fromkeys(row["maker"] for row in rows):
            own = [row for row in rows if (row["size_px"], row["maker"]) == (size_px, maker)]
            both = [(row, bases[row["pair"], size_px]) for row in own if (row["pair"], size_px) in bases]
            if both:
                found.setdefault(str(size_px), {})[maker] = _means(both, paintings)
    return found


def _means(both: Sequence[tuple[Row, Row]], paintings: Mapping[str, Row]) -> dict[str, Any]:
    ratios = {f"{name}_ratio": geometric_mean(row[name] / base[name] for row, base in both) for name in RATIOS}
    allowed = [max(base["chroma_grain"], paintings[row["pair"]]["chroma_grain"]) for row, base in both]
    of_allowed = (row["chroma_grain"] / most for (row, _), most in zip(both, allowed, strict=True))
    return {
        "pairs": len(both),
        **ratios,
        "chroma_grain_of_allowed": geometric_mean(of_allowed),
        "border": geometric_mean(row["border"] for row, _ in both),
        "largest_palette_ratio": max(row["palette"] / base["palette"] for row, base in both),
    }


def _line(row: Row) -> str:
    return (
        f"{row['pair']}, {row['size_px']} px, {row['maker']}: palette {row['palette']:.2f}, luma grain "
        f"{row['luma_grain']:.3f}, chroma grain {row['chroma_grain']:.3f}, border {row['border']:.2f}, "
        f"{row['seconds']:.0f} s, {row['processor_seconds']:.0f} processor seconds"
    )


def _table(found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the summary as lines."""
    return [
        f"{size_px} px, {maker}, {means['pairs']} pairs: "
        + ", ".join(f"{name.replace('_', ' ')} {value:.3f}" for name, value in means.items() if name != "pairs")
        for size_px, by_maker in found.items()
        for maker, means in by_maker.items()
    ]


def sheet(
    pairs: Sequence[Pair],
    rows: Sequence[Row],
    pictures: Mapping[tuple[str, int, str], Path],
    credited: Mapping[str, str],
) -> np.ndarray:
    """Return a row of pictures for each pair: the content image with the painting, then each size and maker."""
    by_place = {(row["pair"], row["size_px"], row["maker"]): row for row in rows}
    columns = list(dict.fromkeys((row["size_px"], row["maker"]) for row in rows))
    drawn = []
    for pair in pairs:
        first = Labelled(_fitted(pair.content), pair.name.replace("+", " + "), _fitted(pair.style))
        others = [
            Labelled(_fitted(pictures[pair.name, *column]), _caption(by_place[pair.name, *column]))
            for column in columns
        ]
        drawn.append(SheetRow("", [first, *others]))
    titles = ["content and painting", *(f"{maker}, {size_px} px" for size_px, maker in columns)]
    note = "Below each picture: palette distance to the painting, grey levels; chroma grain; processor seconds. "
    images = "; ".join(f"{name}: {credit}" for name, credit in credited.items())
    return draw_sheet("The same pairs by each maker", titles, drawn, f"{note}Images: {images}.")


def _caption(row: Row) -> str:
    return f"{row['palette']:.1f}; {row['chroma_grain']:.3f}; {row['processor_seconds']:.0f} s"


def _fitted(path: Path) -> np.ndarray:
    pixels = read_image(path).pixels
    height, width = pixels.shape[:2]
    return np.clip(resize(pixels, *fit_long_side(height, width, CELL_PX)), 0, 1)


def _makers(arguments: argparse.Namespace) -> list[Maker]:
    """Return the makers in the order of the command line's kinds: impasto first.

    Raises:
        ImpastoError: a name is given twice, or is no name.
    """
    makers = [Maker.parse(IMPASTO, text) for text in arguments.impasto or ["impasto"]]
    makers += [Maker.parse(RIVAL, text) for text in arguments.rival or ["stp"]]
    names = [maker.name for maker in makers]
    for name in names:
        if names.count(name) > 1:
            raise ImpastoError(f"maker {name} is given twice: give each another name")
    return makers


def _against(arguments: argparse.Namespace, makers: Sequence[Maker]) -> str:
    names = [maker.name for maker in makers]
    chosen: str = arguments.against or next(maker.name for maker in makers if maker.kind == RIVAL)
    if chosen not in names:
        raise ImpastoError(f"bad --against {chosen}: allowed are {', '.join(names)}")
    return chosen


def _parser() -> argparse.ArgumentParser:
    parser = command_line(__doc__, model=FULL, painted=True)
    parser.add_argument("--pair", action="append", metavar="CONTENT+PAINTING", help="repeatable; default: all twelve")
    parser.add_argument("--size", action="append", type=int, help=f"long side, px, repeatable; default: {SIZES_PX}")
    parser.add_argument("--impasto", action="append", metavar="NAME[=OPTIONS]", help="repeatable; default: impasto")
    parser.add_argument("--rival", action="append", metavar="NAME[=OPTIONS]", help="repeatable; default: stp")
    parser.add_argument("--against", metavar="NAME", help="the maker of the ratios; default: the first rival")
    parser.add_argument("--sheet", type=Path, help="all pictures as one, labelled")
    parser.add_argument("--blind", type=Path, metavar="DIR", help="a picture of each pair without names")
    parser.add_argument("--blind-seed", type=int, default=0, help="of the order")
    return parser


if __name__ == "__main__":
    as_script(main)
