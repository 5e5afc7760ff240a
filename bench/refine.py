"""Whether a draft on vgg19-slim, finished by VGG-19, is the fastest way to VGG-19's own result.

    python -m impasto.bench.refine PICTURES -o bench/results/refine.json      # PICTURES: the folder examples/

Each pair is painted by VGG-19 alone, and from drafts of several lengths; every loss is VGG-19's. Seconds are those of
the processor, with each engine's opening and its set-up, the run cache being warm. A refinement of N evaluations is the
first N of a longer one, and a draft of D iterations the first D, because the iterations do not depend on their limit.
Pairs that the file has already, measured in the same way, are kept: the measurement goes on where it was stopped.
"""

import argparse
import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from impasto.bench.conditions import conditions, load
from impasto.bench.pictures import square
from impasto.bench.record import check_place, write
from impasto.bench.script import as_script
from impasto.engine import Engine, Event, Iteration, Picture, Settings, Started
from impasto.engine.compile.network import load_network
from impasto.models.errors import ImpastoError
from impasto.models.store import EMBEDDED, FULL

PAIRS = (("harbour", "swirls"), ("still_life", "mosaic"), ("harbour", "woodcut"))
DRAFTS, REFINEMENTS = (25, 50, 100, 150), (5, 10, 20, 40)
ALONE = 160
TARGETS = (10, 20, 30, 40, 60, 80, 100, 120, 160)  # evaluations of VGG-19 alone, whose losses are to be reached

Point = tuple[int, float, float]
"""Evaluations, the lowest loss so far, and seconds of the processor."""


@dataclass(frozen=True)
class Descent:
    """A run of one network.

    Attributes:
        points: one per iteration; the first is the start.
        pictures: by iteration, those that were asked for.
        seconds: of the processor, by iteration, of the same ones.
    """

    points: tuple[Point, ...]
    pictures: Mapping[int, Picture]
    seconds: Mapping[int, float]

    def reaches(self, loss: float) -> Point | None:
        """Return the first point that is as low as a loss; None where there is none."""
        return next((point for point in self.points if point[1] <= loss), None)

    def at(self, evaluations: int) -> Point:
        """Return the last point within so many evaluations."""
        return [point for point in self.points if point[0] <= evaluations][-1]


def main() -> None:
    """Measure, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path, help=f"a folder with {', '.join(_files())}")
    parser.add_argument("--size", type=int, default=160, help="side of the square images, px")
    parser.add_argument("--evaluations", type=int, default=ALONE, help="of VGG-19 alone")
    parser.add_argument("--draft", type=int, action="append", help=f"iterations, repeatable; default: {DRAFTS}")
    parser.add_argument("--refine", type=int, action="append", help=f"evaluations, repeatable; default: {REFINEMENTS}")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()
    drafts, refinements = tuple(arguments.draft or DRAFTS), tuple(arguments.refine or REFINEMENTS)
    if min(arguments.evaluations, *drafts, *refinements) < 1:
        raise ImpastoError("bad --evaluations, --draft or --refine: allowed are whole numbers of 1 or more")
    check_place(arguments.output)
    record: dict[str, Any] = {
        "what": __doc__,
        "conditions": conditions(arguments.threads),
        "asked": asked(arguments, drafts, refinements),
    }
    found = measured_before(arguments.output, record["asked"])
    for names in PAIRS:
        pair = " ".join(names)
        if pair not in found:
            content, style = (square(arguments.pictures / f"{name}.jpg", arguments.size) for name in names)
            before = load()
            runs = measure(content, style, arguments.evaluations, drafts, max(refinements), arguments.threads)
            found[pair] = {"load_1_min": [before, load()], **tables(*runs, refinements)}
            for item in found[pair]["settings"]:
                print(f"{pair}: {item}", flush=True)
        write(arguments.output, {**record, "summary": summary(found), "pairs": found})
    for line in summary(found):
        print(line)


def asked(arguments: argparse.Namespace, drafts: Sequence[int], refinements: Sequence[int]) -> dict[str, Any]:
    """Return what decides every figure but for the machine."""
    return {
        "size_px": arguments.size,
        "threads": arguments.threads,
        "evaluations": arguments.evaluations,
        "drafts": list(drafts),
        "refinements": list(refinements),
        "settings": Settings(size=0).as_dict(),
        "networks": {name: load_network(name).sha256 for name in (EMBEDDED, FULL)},
    }


def measured_before(path: Path, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Return the pairs of an earlier start that was asked for the same; none where there is none."""
    if not path.is_file():
        return {}
    record = json.loads(path.read_text())
    return dict(record["pairs"]) if record.get("asked") == json.loads(json.dumps(wanted)) else {}


def tables(
    alone: Descent, draft: Descent, refined: Mapping[int, Descent], refinements: Sequence[int]
) -> dict[str, Any]:
    """Return the courses of a pair's runs, and what they come to."""
    return {
        "alone": alone.points,
        "draft_s": draft.seconds,
        "refined": {length: run.points for length, run in refined.items()},
        "settings": by_settings(alone, draft, refined, refinements),
        "targets": by_target(alone, draft, refined),
    }


def measure(
    content: np.ndarray, style: np.ndarray, evaluations: int, drafts: Sequence[int], refinement: int, threads: int
) -> tuple[Descent, Descent, dict[int, Descent]]:
    """Return the runs of VGG-19 alone, of the draft, and of VGG-19 from the draft's pictures.

    Args:
        content: uint8 H x W x 3.
        style: likewise.
        evaluations: of VGG-19 alone.
        drafts: their iterations.
        refinement: its evaluations.
        threads: of the processor.
    """

    def run(model: str, limit: int, start: Picture | None = None, kept: Sequence[int] = ()) -> Descent:
        return descend(model, content, style, limit, start=start, kept=kept, threads=threads)

    for model in (EMBEDDED, FULL):
        run(model, 1)  # for the run cache
    alone = run(FULL, evaluations)
    draft = run(EMBEDDED, max(drafts), kept=drafts)
    return alone, draft, {length: run(FULL, refinement, draft.pictures[length]) for length in drafts}


def descend(
    model: str,
    content: np.ndarray,
    style: np.ndarray,
    evaluations: int,
    *,
    start: Picture | None,
    kept: Sequence[int],
    threads: int,
) -> Descent:
    """Run a transfer as `Engine.transfer` does it, and keep its course."""
    begun_s = time.process_time()
    points: list[Point] = []
    pictures: dict[int, Picture] = {}
    seconds: dict[int, float] = {}
    setup_s = 0.0

    def on_event(event: Event) -> None:
        nonlocal setup_s
        if isinstance(event, Started):
            setup_s = time.process_time() - begun_s
        if isinstance(event, Iteration):
            points.append((event.evaluations, event.loss, time.process_time() - begun_s))
            if event.iteration in kept:
                pictures[event.iteration] = Picture(event.snapshot(), None, "")
                seconds[event.iteration] = points[-1][2]

    settings = Settings(size=0, iterations=evaluations, evaluations=evaluations)
    with Engine(model, provider="cpu", precision="fp32", threads=threads) as engine:
        result = engine.transfer(content, style, settings, start=start, on_event=on_event)
    last = points[-1] if points else (1, result.loss, time.process_time() - begun_s)
    for length in set(kept) - set(pictures):  # it ended sooner
        pictures[length], seconds[length] = result.picture, last[2]
    first = (1, sum(result.initial_terms.values()), setup_s + (last[2] - setup_s) / last[0])
    return Descent((first, *points), pictures, seconds)


def by_settings(
    alone: Descent, draft: Descent, refined: Mapping[int, Descent], refinements: Sequence[int]
) -> list[dict[str, Any]]:
    """Return what each draft and refinement comes to, and what VGG-19 alone takes; None where it stays above."""
    rows = []
    for (length, run), limit in product(refined.items(), refinements):
        _, loss, seconds = run.at(limit)
        equal = alone.reaches(loss)
        total = draft.seconds[length] + seconds
        rows.append(
            {
                "draft": length,
                "refine": limit,
                "loss": loss,
                "seconds": total,
                "alone_evaluations": equal and equal[0],
                "alone_s": equal and equal[2],
                "ratio": equal and equal[2] / total,
            }
        )
    return rows


def by_target(alone: Descent, draft: Descent, refined: Mapping[int, Descent]) -> list[dict[str, Any]]:
    """Return for losses of VGG-19 alone what they take with a draft; None where a refinement stays above."""
    rows = []
    for evaluations in (item for item in TARGETS if item <= alone.points[-1][0]):
        _, loss, seconds = alone.at(evaluations)
        ways = {}
        for length, run in refined.items():
            equal = run.reaches(loss)
            total = equal and draft.seconds[length] + equal[2]
            ways[length] = total and {"refine": equal and equal[0], "seconds": total, "ratio": seconds / total}
        rows.append({"alone_evaluations": evaluations, "loss": loss, "alone_s": seconds, "drafts": ways})
    return rows


def summary(found: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return for each draft and refinement the ratio's geometric mean over the pairs, the least and the most."""
    rows = []
    for items in zip(*(pair["settings"] for pair in found.values()), strict=True):
        ratios = [item["ratio"] for item in items if item["ratio"] is not None]
        mean = math.exp(sum(map(math.log, ratios)) / len(ratios)) if len(ratios) == len(items) else None
        rows.append(
            {
                "draft": items[0]["draft"],
                "refine": items[0]["refine"],
                "alone_evaluations": [item["alone_evaluations"] for item in items],
                "ratio": mean,
                "ratios": ratios,
            }
        )
    return rows


def _files() -> list[str]:
    return sorted({f"{name}.jpg" for pair in PAIRS for name in pair})


if __name__ == "__main__":
    as_script(main)
