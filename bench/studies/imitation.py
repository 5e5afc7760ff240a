"""How close vgg19-slim comes to VGG-19: both paint the same pairs, and VGG-19 scores what the files hold.

    python -m impasto.bench.studies.imitation --content A.jpg skimage:cat --style B.jpg C.jpg -o DIR --json FILE.json

Every content picture is painted in every style, all brought to one square size, so that literal sums compare, with the
paper's alpha/beta of 1e-3 and the same number of evaluations. skimage:NAME is a photograph that comes inside
scikit-image's wheel. What the judge, VGG-19, says of a picture counts, not the network's own loss:

    style_left            style part over that of the content image
    content_against_judge content part over that of VGG-19's own picture by the same optimiser
    fine_grey_levels      what a grid or speckle would raise: deviation of the part above 3/8 of the sampling frequency

A series is one network with one optimiser from one start. FILE.json is written after each pair, and pairs that it has
are not painted again. `--sheet` draws the pictures of this call's series beside what they were made from.
"""

import argparse
import json
import math
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from impasto.bench import record
from impasto.bench.conditions import conditions
from impasto.bench.studies.study import as_script, begin, command_line, require_positive
from impasto.engine import Engine, Settings
from impasto.engine.images import check_writable, read_image, write_image
from impasto.engine.images.sheet import Labelled, SheetRow, draw_sheet
from impasto.engine.settings import OPTIMIZERS
from impasto.models.errors import ImpastoError
from impasto.models.store import EMBEDDED, FULL

SCIKIT_IMAGE = "skimage:"
ALPHA = 1e-3
STARTS = ("content", "noise")
FINE = 3 / 8  # cycles a pixel
FORMAT = "impasto-imitation-1"

Pair = tuple[Image.Image, Image.Image]
Series = dict[str, Any]


def main() -> None:
    """Paint, score, write, draw."""
    arguments = _parser().parse_args()
    require_positive(arguments, "every")
    begin(__doc__, arguments)
    if arguments.sheet:
        check_writable(arguments.sheet)
    found = pairs(arguments.content, arguments.style, arguments.size)
    found = dict(list(found.items())[:: arguments.every])
    written = earlier(arguments.json, arguments.size)
    labels = []
    with Engine(arguments.judge, provider="cpu", precision="fp32", threads=arguments.threads) as judge:
        for model in arguments.model or [EMBEDDED, FULL]:
            label = label_of(model, arguments)
            labels.append(label)
            with Engine(model, provider="cpu", precision="fp32", threads=arguments.threads) as painter:
                series = the_series(written, label, painter, arguments)
                for name, pair in found.items():
                    if name in series["pairs"]:
                        continue
                    series["pairs"][name] = paint(
                        painter, judge, pair, arguments, picture_path(arguments.output, name, label)
                    )
                    written["start"].setdefault(name, scored(judge, pair[0], pair))
                    finish(written, judge)
                    record.write(arguments.json, written)
                    print(f"{name}, {label}: {json.dumps(series['pairs'][name])}", flush=True)
    print(json.dumps({label: written["series"][label]["summary"] for label in labels}, indent=1))
    if arguments.sheet:
        write_image(arguments.sheet, sheet(found, written, labels, arguments.output))


def pairs(contents: Iterable[str], styles: Iterable[str], size: int) -> dict[str, Pair]:
    """Return {"content-style": pictures}, each of size x size px; a picture is not painted in its own style."""
    squares = {source: squared(source, size) for source in [*contents, *styles]}
    return {
        f"{stem(content)}-{stem(style)}": (squares[content], squares[style])
        for content in contents
        for style in styles
        if content != style
    }


def squared(source: str, size: int) -> Image.Image:
    """Return a picture as a square; its proportions are not kept.

    Raises:
        ImpastoError: there is no such picture.
    """
    return photograph(source).convert("RGB").resize((size, size), Image.Resampling.LANCZOS)


def photograph(source: str) -> Image.Image:
    """Read a picture: a file, or skimage:NAME.

    Raises:
        ImpastoError: it cannot be read.
    """
    if not source.startswith(SCIKIT_IMAGE):
        return Image.fromarray(np.rint(read_image(source).pixels * 255).astype(np.uint8))
    from skimage import data

    try:
        return Image.fromarray(np.asarray(getattr(data, stem(source))()))
    except (AttributeError, ImportError):
        raise ImpastoError(f"no photograph {source}: allowed are names of skimage.data, as skimage:cat") from None


def stem(source: str) -> str:
    """Return what a picture is called."""
    return Path(source.removeprefix(SCIKIT_IMAGE)).stem


def label_of(model: str, arguments: argparse.Namespace) -> str:
    """Return a series' name."""
    alpha = "" if arguments.alpha == ALPHA else f", alpha {arguments.alpha:g}"
    return f"{model}, {arguments.optimizer}, from {arguments.init}{alpha}"


def picture_path(folder: Path, pair: str, label: str) -> Path:
    """Return where a series' picture of a pair is."""
    return folder / f"{pair}-{label.replace(',', '').replace(' ', '-')}.png"


def new_series(painter: Engine, arguments: argparse.Namespace) -> Series:
    """Return a series without pictures."""
    return {
        "model": painter.network.name,
        "model_sha256": painter.network.sha256,
        "optimizer": arguments.optimizer,
        "init": arguments.init,
        "alpha": arguments.alpha,
        "evaluations": arguments.evaluations,
        "conditions": conditions(arguments.threads),
        "pairs": {},
    }


def the_series(written: dict[str, Any], label: str, painter: Engine, arguments: argparse.Namespace) -> Series:
    """Return a series of the record, new or found.

    Raises:
        ImpastoError: the file has it, of another network or length.
    """
    series: Series = written["series"].setdefault(label, new_series(painter, arguments))
    for key, value in {"model_sha256": painter.network.sha256, "evaluations": arguments.evaluations}.items():
        if series[key] != value:
            raise ImpastoError(
                f"{arguments.json} has {label!r} with {key} {series[key]}, not {value}; give another --json"
            )
    return series


def earlier(path: Path, size: int) -> dict[str, Any]:
    """Return what the file has already, or a record without series.

    Raises:
        ImpastoError: the file is another benchmark's, or of another size.
    """
    if not path.is_file():
        return {"format": FORMAT, "what": __doc__, "size_px": size, "start": {}, "series": {}}
    found: dict[str, Any] = json.loads(path.read_bytes())
    if found.get("format") != FORMAT or found.get("size_px") != size:
        raise ImpastoError(f"{path} is no record of this benchmark at {size} px; give another --json")
    return found


def paint(painter: Engine, judge: Engine, pair: Pair, arguments: argparse.Namespace, path: Path) -> dict[str, Any]:
    """Make one picture, write it and return its row."""
    settings = Settings(
        size=0,
        content_weight=arguments.alpha,
        iterations=arguments.evaluations,
        evaluations=arguments.evaluations,
        optimizer=arguments.optimizer,
        init=arguments.init,
    )
    started_s = time.perf_counter(), time.process_time()
    result = painter.transfer(*pair, settings)
    row = {
        "evaluations": result.evaluations,
        "wall_s": round(time.perf_counter() - started_s[0], 2),
        "processor_s": round(time.process_time() - started_s[1], 2),
    }
    result.save(path)
    return {**row, **scored(judge, path, pair), "fine_grey_levels": fine(read_image(path).pixels)}


def scored(judge: Engine, image: Path | Image.Image, pair: Pair) -> dict[str, float]:
    """Return the judge's content and style part of an image, each with its weight."""
    terms = judge.evaluate(image, *pair, Settings(size=0, content_weight=ALPHA)).terms
    return {kind: sum(value for term, value in terms.items() if term.startswith(kind)) for kind in ("content", "style")}


def fine(pixels: np.ndarray) -> float:
    """Return the root mean square of a picture above 3/8 of the sampling frequency, in grey levels.

    Args:
        pixels: float32 H x W x 3, 0..1.
    """
    height, width = pixels.shape[:2]
    radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None])
    spectrum = np.fft.fft2(pixels, axes=(0, 1)) * (radius > FINE)[:, :, None]
    return float(np.sqrt((np.abs(spectrum) ** 2).mean() / (height * width)) * 255)


def finish(written: dict[str, Any], judge: Engine) -> None:
    """Fill in what follows from the rows."""
    written["judge"] = {"model": judge.network.name, "sha256": judge.network.sha256}
    every = written["series"]
    for series in every.values():
        alike = [
            other
            for other in every.values()
            if all(other[key] == series[key] for key in ("optimizer", "init", "alpha"))
        ]
        reference = next(
            (other for other in alike if other["model"] == judge.network.name and other is not series), None
        )
        series["summary"] = summary(series["pairs"], written["start"], reference["pairs"] if reference else {})


def summary(rows: Mapping[str, Any], start: Mapping[str, Any], reference: Mapping[str, Any]) -> dict[str, Any]:
    """Return the style part left, and the content part against the judge's own: geometric means and worst pairs.

    Args:
        rows: {pair: {"content", "style"}} of one series.
        start: the same of the content images.
        reference: the same of the judge's own series; without its rows nothing is said about content.
    """
    left = {name: row["style"] / start[name]["style"] for name, row in rows.items()}
    fines = [row["fine_grey_levels"] for row in rows.values() if "fine_grey_levels" in row]
    worst = max(left, key=lambda name: left[name])
    found: dict[str, Any] = {
        "pairs": len(rows),
        "style_left": geometric_mean(left.values()),
        "worst": [worst, left[worst]],
    }
    if fines:
        found["fine_grey_levels"] = sum(fines) / len(fines)
    ratios = [row["content"] / reference[name]["content"] for name, row in rows.items() if name in reference]
    if ratios and min(ratios) > 0:
        found["content_against_judge"] = geometric_mean(ratios)
        found["content_against_judge_range"] = [min(ratios), max(ratios)]
    return found


def geometric_mean(values: Iterable[float]) -> float:
    """Return exp(mean log)."""
    logs = [math.log(value) for value in values]
    return math.exp(sum(logs) / len(logs))


def sheet(found: Mapping[str, Pair], written: Mapping[str, Any], labels: list[str], folder: Path) -> np.ndarray:
    """Draw content, style and the pictures of every series, with the style part that is left."""
    rows = []
    for name, pair in found.items():
        cells: list[Labelled | None] = [Labelled(np.asarray(image, np.float32) / np.float32(255)) for image in pair]
        for label in labels:
            path = picture_path(folder, name, label)
            row = written["series"][label]["pairs"][name]
            left = row["style"] / written["start"][name]["style"]
            cells.append(Labelled(read_image(path).pixels, f"style left {left:.3f}") if path.is_file() else None)
        rows.append(SheetRow(name.replace("-", "\n"), cells))
    return draw_sheet("What the networks make of the same pairs", ["content", "style", *labels], rows)


def _parser() -> argparse.ArgumentParser:
    parser = command_line(__doc__, painted=True)
    parser.add_argument("--content", nargs="+", required=True, help="pictures: files, or skimage:NAME")
    parser.add_argument("--style", nargs="+", required=True, help="likewise")
    parser.add_argument("--sheet", type=Path, help="draw the pictures beside each other")
    parser.add_argument("--model", action="append", help=f"repeatable; default: {EMBEDDED} and {FULL}")
    parser.add_argument("--judge", default=FULL, metavar="MODEL", help=f"default: {FULL}")
    parser.add_argument("--optimizer", choices=OPTIMIZERS, default=Settings().optimizer)
    parser.add_argument("--init", choices=STARTS, default="content")
    parser.add_argument("--alpha", type=float, default=ALPHA, help="content weight; 0 makes textures")
    parser.add_argument("--size", type=int, default=256, help="side, px")
    parser.add_argument("--evaluations", type=int, default=300)
    parser.add_argument("--every", type=int, default=1, metavar="N", help="only each N-th pair")
    return parser


if __name__ == "__main__":
    as_script(main)
