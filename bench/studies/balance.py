"""Whether one alpha means one balance of content and style: over networks, sizes and poolings, for each weighting.

    python -m impasto.bench.studies.balance CONTENT STYLE -o DIR --json bench/results/balance.json [--sheet SHEET.jpg]

The same short transfer on VGG-19, on VGG-19 normalised over the images of CONTENT's folder (for each pooling) and on
vgg19-slim, at each size, with average and with maximum pooling: under `paper` with one alpha and under `calibrated`
with one alpha. On the normalised network also as `derived`: the content error is the mean over the activations there,
1 / (N M) sum (F - P)^2, and the style loss the literal one, which is what follows from a mean activation of 1. What the
files hold is judged by one yardstick, VGG-19 with average pooling at the run's size:

    content error ||F - P|| / ||P|| at relu4_2, style error the mean of ||G - A|| / ||A|| over the five taps.

An alpha that carries leaves both where they are. The spread of an error is its largest over its smallest value: over
the whole grid, and over networks, sizes or poolings alone, the worst that is found with the other two kept as they are.
Finished pictures are found again, and a file of the same images and evaluations is added to.
"""

import argparse
import itertools
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from impasto.bench.record import write
from impasto.bench.studies.study import as_script, begin, command_line
from impasto.engine import Engine, Settings
from impasto.engine.compile.normalising import normalise_network
from impasto.engine.images import fit_long_side, read_image, resize, write_image
from impasto.engine.images.sheet import Labelled, SheetRow, draw_sheet
from impasto.engine.inputs.pictures import read_style
from impasto.engine.jobs.engine import workshop_of
from impasto.engine.settings import POOLINGS
from impasto.models.errors import ImpastoError
from impasto.models.store import EMBEDDED, FULL

SIZES_PX = (80, 160)
ALPHAS = {"paper": 2e-2, "calibrated": 1e-2, "derived": 1e-1}  # about the same on vgg19 or vgg19-slim at 160 px
NORMALISED = f"{FULL}-normalised"
NETWORKS = (FULL, NORMALISED, EMBEDDED)
ERRORS = ("content_error", "style_error")
CONTENT_CHANNELS, STRIDE = 512, 8  # of relu4_2


@dataclass(frozen=True)
class Cell:
    """One transfer of the grid."""

    weighting: str
    network: str
    size_px: int
    pool: str

    @property
    def name(self) -> str:
        """Of its picture, without an extension."""
        return f"{self.weighting}-{Path(self.network).stem}-{self.size_px}-{self.pool}"

    def settings(self, evaluations: int, activations: int) -> Settings:
        """Return what it runs with; activations is how many the content tap has, N M."""
        derived = self.weighting == "derived"
        alpha = ALPHAS[self.weighting]
        return Settings(
            size=self.size_px,
            weighting="paper" if derived else self.weighting,
            content_weight=2 * alpha / activations if derived else alpha,
            pool=self.pool,
            iterations=evaluations,
            evaluations=evaluations,
        )


def grid(networks: Iterable[str], sizes_px: Iterable[int], pools: Iterable[str] = POOLINGS) -> list[Cell]:
    """Return every cell, those of one network and pooling one after another."""
    return [
        Cell(weighting, network, size_px, pool)
        for network, pool, size_px, weighting in itertools.product(networks, pools, sizes_px, ALPHAS)
        if weighting != "derived" or network == NORMALISED
    ]


def spreads(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, dict[str, float]]]:
    """Return the spreads: by weighting, by what is varied, by error."""
    kept = {"all": (), "network": ("size_px", "pool"), "size": ("network", "pool"), "pool": ("network", "size_px")}
    return {
        weighting: {
            varied: {error: _spread(rows, weighting, others, error) for error in ERRORS}
            for varied, others in kept.items()
        }
        for weighting in dict.fromkeys(row["weighting"] for row in rows)
    }


def _spread(rows: Sequence[Mapping[str, Any]], weighting: str, kept: Sequence[str], error: str) -> float:
    groups: dict[tuple[Any, ...], list[float]] = {}
    for row in rows:
        if row["weighting"] == weighting:
            groups.setdefault(tuple(row[name] for name in kept), []).append(row[error])
    return max(max(group) / min(group) if min(group) else math.inf for group in groups.values())


def errors(judge: Engine, picture: Path, content: Path, style: Path, size_px: int) -> dict[str, float]:
    """Return what the judge says of a finished picture."""
    alone = Settings(size=size_px, weighting="calibrated", content_weight=1.0, style_weight=0.0)
    content_error = float(np.sqrt(judge.evaluate(picture, content, None, alone).loss))
    settings = Settings(size=size_px)
    reached, wanted = (
        workshop_of(judge).compiler.saved_style(settings, [painting], None).grams
        for painting in (read_image(picture), read_style(style, settings))
    )
    by_tap = [np.linalg.norm(reached[tap] - gram) / np.linalg.norm(gram) for tap, gram in wanted.items()]
    style_error = float(np.mean(by_tap))
    return {"content_error": content_error, "style_error": style_error}


def main() -> None:
    """Paint, judge, write; the file is whole after every picture."""
    parser = command_line(__doc__, "content", "style", painted=True)
    parser.add_argument("--sheet", type=Path, help="all pictures as one, labelled")
    parser.add_argument("--model", action="append", help=f"repeatable; default: {', '.join(NETWORKS)}")
    parser.add_argument("--size", action="append", type=int, help=f"px, repeatable; default: {SIZES_PX}")
    parser.add_argument("--pool", action="append", choices=POOLINGS, help="repeatable; default: both")
    parser.add_argument("--judge", default=FULL)
    parser.add_argument("--evaluations", type=int, default=60)
    arguments = parser.parse_args()
    cells = grid(arguments.model or NETWORKS, arguments.size or SIZES_PX, arguments.pool or POOLINGS)
    record = begun(arguments)
    with Engine(arguments.judge, provider="cpu", precision="fp32", threads=arguments.threads) as judge:
        for cell, picture in painted(cells, arguments):
            told = errors(judge, picture, arguments.content, arguments.style, cell.size_px)
            others = [row for row in record["rows"] if {name: row[name] for name in vars(cell)} != vars(cell)]
            record["rows"] = [*others, {**vars(cell), **told}]
            record["spread"] = spreads(record["rows"])
            write(arguments.json, record)
            print(f"{cell.name}: {json.dumps(told)}", flush=True)
    print(json.dumps(record["spread"], indent=1))
    if arguments.sheet is not None:
        write_image(arguments.sheet, sheet(record["rows"], arguments.output))


def begun(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the record to add to: the file's where it is of the same images, alphas, judge and evaluations."""
    asked = {
        "content": arguments.content.name,
        "style": arguments.style.name,
        "evaluations": arguments.evaluations,
        "alpha": ALPHAS,
        "judge": arguments.judge,
    }
    record = {**begin(__doc__, arguments), **asked, "rows": []}
    if not arguments.json.is_file():
        return record
    found: dict[str, Any] = json.loads(arguments.json.read_bytes())
    if any(found.get(name) != value for name, value in asked.items()):
        raise ImpastoError(f"{arguments.json} is of another measurement: give --json another name")
    return {**record, "rows": found["rows"]}


def painted(cells: Sequence[Cell], arguments: argparse.Namespace) -> Iterator[tuple[Cell, Path]]:
    """Yield every cell with the file of its picture, made unless it is there."""
    content = read_image(arguments.content)
    for (network, pool), group in itertools.groupby(cells, key=lambda cell: (cell.network, cell.pool)):
        model = normalised(arguments, pool) if network == NORMALISED else network
        with Engine(model, provider="cpu", precision="fp32", threads=arguments.threads) as engine:
            for cell in group:
                picture = arguments.output / f"{cell.name}.png"
                if not picture.is_file():
                    height, width = fit_long_side(content.height, content.width, cell.size_px)
                    activations = CONTENT_CHANNELS * (height // STRIDE) * (width // STRIDE)
                    settings = cell.settings(arguments.evaluations, activations)
                    engine.transfer(arguments.content, arguments.style, settings).save(picture)
                yield cell, picture


def normalised(arguments: argparse.Namespace, pool: str) -> Path:
    """Return VGG-19 normalised over the pictures beside the content image, made unless it is there."""
    path: Path = arguments.output / f"{NORMALISED}-{pool}.onnx"
    if not path.is_file():
        normalise_network(FULL, [arguments.content.parent], path, pool)
    return path


def sheet(rows: Sequence[Mapping[str, Any]], folder: Path) -> np.ndarray:
    """Return the pictures, a row for each weighting and size and a column for each network and pooling."""
    width_px = max(row["size_px"] for row in rows)
    columns = list(dict.fromkeys((row["network"], row["pool"]) for row in rows))
    titles = sorted({(row["weighting"], row["size_px"]) for row in rows}, key=lambda pair: (pair[0] != "paper", pair))
    drawn = []
    for weighting, size_px in titles:
        here = {
            (row["network"], row["pool"]): row
            for row in rows
            if (row["weighting"], row["size_px"]) == (weighting, size_px)
        }
        pictures = [_labelled(here[column], folder, width_px) if column in here else None for column in columns]
        drawn.append(SheetRow(f"{weighting}\n{size_px} px", pictures))
    heading = "One alpha on three networks, two sizes and two poolings"
    note = "Below each picture: content error, style error."
    return draw_sheet(
        heading, [f"{Path(network).stem}, {pool}".replace("-", " ") for network, pool in columns], drawn, note
    )


def _labelled(row: Mapping[str, Any], folder: Path, width_px: int) -> Labelled:
    cell = Cell(row["weighting"], row["network"], row["size_px"], row["pool"])
    pixels = read_image(folder / f"{cell.name}.png").pixels
    height_px = round(pixels.shape[0] * width_px / pixels.shape[1])
    caption = f"{row['content_error']:.2f}, {row['style_error']:.2f}"
    return Labelled(resize(pixels, height_px, width_px), caption)


if __name__ == "__main__":
    as_script(main)
