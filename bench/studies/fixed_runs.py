"""The runs whose numbers two revisions must share. One process runs one case, on either revision's code.

    python -m impasto.bench.studies.fixed_runs CASE TREE FOLDER THREADS OUTPUT.npz

So nothing here imports more of the engine than its public names, or gives an option that only one revision has.
A case returns its pixels (float32, of files uint8), its losses (float64) and its counts, as arrays by name.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper
from PIL import Image

from impasto import engine
from impasto.bench.studies.checkout import ROOT, check_imports
from impasto.engine import (
    Engine,
    Event,
    Iteration,
    Job,
    Result,
    Settings,
    content_reconstruction,
    style_reconstruction,
    transfer_refined,
)

SIZE_PX, EVALUATIONS = 128, 30
HAS_PRESETS = hasattr(engine, "preset")
PRESET = "paper" if HAS_PRESETS else ""  # the settings of commands before there were presets
PROVIDER = "cpu,plain" if HAS_PRESETS else "cpu"  # ONNX Runtime's own convolutions, which both revisions have
NETWORK = "vgg19-slim"
EXAMPLES = ROOT / "examples"
HARBOUR, STILL_LIFE = EXAMPLES / "harbour.jpg", EXAMPLES / "still_life.jpg"
SWIRLS, MOSAIC, WOODCUT = (EXAMPLES / f"{name}.jpg" for name in ("swirls", "mosaic", "woodcut"))
COMMAND = "from impasto.engine.cli import main; main()"
COUNTS = ("iterations", "evaluations", "outcome")
SHEET = "sheet.png"  # holds lettering as well, which is no result of a run
SAME_WEIGHTS = "weights_sha256"  # a refinement refuses two networks that were made from the same weights

Numbers = dict[str, np.ndarray]


@dataclass(frozen=True)
class Room:
    """What a case works with.

    Attributes:
        folder: for its files.
        threads: of the processor.
    """

    folder: Path
    threads: int

    def engine(self, model: str | Path = NETWORK, loop: str = "host") -> Engine:
        """Return an engine on the CPU provider."""
        return Engine(model, provider=PROVIDER, precision="fp32", threads=self.threads, loop=loop)

    def impasto(self, *words: object) -> str:
        """Run the command in the case's folder and return what it prints."""
        where = ("--model", NETWORK, "--provider", PROVIDER, "--precision", "fp32", "--threads", self.threads)
        line = [sys.executable, "-S", "-P", "-c", COMMAND, *map(str, (*words, *where))]
        ended = subprocess.run(line, cwd=self.folder, capture_output=True, text=True, check=False)  # noqa: S603
        if ended.returncode:
            raise RuntimeError(f"impasto {words[0]}: status {ended.returncode}: {ended.stderr.strip()}")
        return ended.stdout


def transfer(room: Room, loop: str = "host", **settings: Any) -> Numbers:
    """Harbour in the style of swirls."""
    with room.engine(loop=loop) as engine:
        return _followed(lambda on_event: engine.transfer(HARBOUR, SWIRLS, _settings(**settings), on_event=on_event))


def batch(room: Room, loop: str = "host") -> Numbers:
    """Three places and four jobs of different lengths, so that one job begins while others are under way."""
    pairs = ((HARBOUR, SWIRLS, 30), (STILL_LIFE, MOSAIC, 20), (HARBOUR, WOODCUT, 30), (STILL_LIFE, SWIRLS, 15))
    jobs = [Job(content, style, _settings(evaluations=count)) for content, style, count in pairs]
    losses: dict[int, list[float]] = {index: [] for index in range(len(jobs))}

    def follow(index: int, job: Job, event: Event) -> None:
        if isinstance(event, Iteration):
            losses[index].append(event.loss)

    numbers: Numbers = {}
    with room.engine(loop=loop) as engine:
        for ended in engine.transfer_many(jobs, batch=3, on_event=follow):
            if ended.result is None:
                raise RuntimeError(f"job {ended.index} failed: {ended.error}")
            numbers |= _under(f"job {ended.index}", _of_result(ended.result, losses[ended.index]))
    return numbers


def refine(room: Room) -> Numbers:
    """A draft on vgg19-slim, finished on the same form with other weights."""
    return _refined(room, _second_network(room.folder / "second.onnx"))


def refine_full(room: Room) -> Numbers:
    """A draft on vgg19-slim, finished on VGG-19, which the revision makes from its weights."""
    weights = full_weights()
    assert weights is not None  # noqa: S101 - the comparison leaves the case out otherwise
    return _refined(room, weights)


def reconstruct_content(room: Room) -> Numbers:
    """From noise, an image with the features of harbour."""
    settings = content_reconstruction(("relu3_1",), size=SIZE_PX, iterations=EVALUATIONS, evaluations=EVALUATIONS)
    with room.engine() as engine:
        return _followed(lambda on_event: engine.transfer(HARBOUR, None, settings, on_event=on_event))


def reconstruct_style(room: Room, **others: Any) -> Numbers:
    """From noise, a texture of mosaic."""
    settings = style_reconstruction(size=SIZE_PX, iterations=EVALUATIONS, evaluations=EVALUATIONS, **others)
    with room.engine() as engine:
        return _followed(lambda on_event: engine.transfer(None, MOSAIC, settings, on_event=on_event))


def evaluate(room: Room) -> Numbers:
    """The score of one image."""
    with room.engine() as engine:
        score = engine.evaluate(STILL_LIFE, HARBOUR, SWIRLS, _settings())
    return {"gradient": score.gradient, **_floats({"loss": score.loss}), **_under("term", _floats(score.terms))}


def cache(room: Room) -> Numbers:
    """The same transfer with a cache that is empty, and with what the first left in it."""
    os.environ.pop("IMPASTO_NO_CACHE", None)
    os.environ["IMPASTO_CACHE"] = str(room.folder / "runs")
    numbers = _under("cold", transfer(room)) | _under("warm", transfer(room))
    if not any((room.folder / "runs").rglob("*")):
        raise RuntimeError("the run left nothing in its cache")
    return numbers


def figure(room: Room, number: int, *options: object) -> Numbers:
    """Every cell of a figure, as its file has it."""
    small = ("--size", SIZE_PX, "--evaluations", 10)
    room.impasto("figure", number, "-o", "figure", "--content", HARBOUR, *small, *options, "--quiet")
    cells = sorted(path for path in (room.folder / "figure").rglob("*.png") if path.name != SHEET)
    if not cells:
        raise RuntimeError(f"figure {number} has no cells")
    return {path.name: _pixels_of(path) for path in cells}


def command_transfer(room: Room) -> Numbers:
    """`impasto transfer` with many options."""
    look = ("--weighting", "johnson", "--pool", "max", "--tv-weight", "1e-3", "--style-tap", "relu1_1=2", "--unbounded")
    preset = ("--preset", PRESET) if PRESET else ()
    return _commanded(room, "transfer", HARBOUR, SWIRLS, *preset, *look, "--style-tap", "relu3_1", "--style-size", 96)


def command_reconstruct(room: Room) -> Numbers:
    """`impasto reconstruct content` and `style`."""
    content = _commanded(room, "reconstruct", "content", HARBOUR, "--tap", "relu2_1", "--seed", 3)
    return _under("content", content) | _under("style", _commanded(room, "reconstruct", "style", MOSAIC, "--seed", 3))


def command_batch(room: Room) -> Numbers:
    """`impasto style save`, and `impasto batch` with a saved style and an image."""
    preset = ("--preset", PRESET) if PRESET else ()
    room.impasto("style", "save", SWIRLS, "-o", "swirls.safetensors", "--size", SIZE_PX, *preset)
    rows = ("content,style,output", f"{HARBOUR},swirls.safetensors,0.png", f"{STILL_LIFE},{MOSAIC},1.png")
    (room.folder / "list.csv").write_text("\n".join(rows) + "\n")
    chosen = ("--set", f"preset={PRESET}") if PRESET else ()
    limits = ("--set", f"size={SIZE_PX}", "--set", "evaluations=10", "--batch", 2)
    room.impasto("batch", "list.csv", "-o", "out", *chosen, *limits, "--quiet")
    return {path.name: _pixels_of(path) for path in sorted((room.folder / "out").glob("*.png"))}


CASES: Mapping[str, Callable[[Room], Numbers]] = {
    "transfer from content": transfer,
    "transfer from noise": lambda room: transfer(room, init="noise", seed=1),
    "adam": lambda room: transfer(room, optimizer="adam"),
    "plain-lbfgs": lambda room: transfer(room, optimizer="plain-lbfgs"),
    "unbounded": lambda room: transfer(room, bounded=False),
    "calibrated, total variation": lambda room: transfer(room, weighting="calibrated", tv_weight=0.1, pool="max"),
    "batch of 3": batch,
    "refine": refine,
    "refine on VGG-19": refine_full,
    "content reconstruction": reconstruct_content,
    "style reconstruction": reconstruct_style,
    "seamless texture": lambda room: reconstruct_style(room, seamless=True, canvas=(SIZE_PX, 96)),
    "figure 1's cells": lambda room: figure(room, 1, "--style", SWIRLS),
    "figure 2's cells": lambda room: figure(room, 2, "--style", MOSAIC, "--style", WOODCUT, "--batch", 2),
    "figure 3's cells": lambda room: figure(room, 3, "--style", SWIRLS),
    "loop on the device": lambda room: transfer(room, loop="device"),
    "loop on the device, from noise": lambda room: transfer(room, loop="device", init="noise"),
    "loop on the device, plain-lbfgs": lambda room: transfer(room, loop="device", optimizer="plain-lbfgs"),
    "loop on the device, batch of 3": lambda room: batch(room, loop="device"),
    "one evaluation": evaluate,
    "cache, cold and warm": cache,
    "impasto transfer": command_transfer,
    "impasto reconstruct": command_reconstruct,
    "impasto batch": command_batch,
}


def full_weights() -> Path | None:
    """Return the file of VGG-19's weights in IMPASTO_SHARED; None where there is none."""
    folder = os.environ.get("IMPASTO_SHARED")
    path = Path(folder, "weights", "vgg19_oxford.safetensors") if folder else None
    return path if path is not None and path.is_file() else None


def main() -> None:
    """Run one case and write its numbers."""
    case, tree, folder, threads, output = sys.argv[1:]
    check_imports(Path(tree))
    numbers = CASES[case](Room(Path(folder), int(threads)))
    check_imports(Path(tree))
    np.savez(output, allow_pickle=False, **numbers)


def _settings(**others: Any) -> Settings:
    values: dict[str, Any] = {"size": SIZE_PX, "iterations": EVALUATIONS, "evaluations": EVALUATIONS, **others}
    return Settings(**values)


def _followed(run: Callable[[Callable[[Event], None]], Result]) -> Numbers:
    """Return the numbers of a run, its loss at every iteration included."""
    losses: list[float] = []

    def follow(event: Event) -> None:
        if isinstance(event, Iteration):
            losses.append(event.loss)

    return _of_result(run(follow), losses)


def _of_result(result: Result, losses: list[float]) -> Numbers:
    counts = {name: np.asarray(getattr(result, name)) for name in COUNTS}
    terms = {**_under("term", _floats(result.terms)), **_under("term at the start", _floats(result.initial_terms))}
    return {
        "pixels": result.picture.pixels,
        "losses": np.asarray(losses, np.float64),
        "loss": np.asarray(result.loss, np.float64),
        "loop": np.asarray(result.loop),
        **counts,
        **terms,
    }


def _commanded(room: Room, *words: object) -> Numbers:
    """Return the numbers of a run of `impasto` from its file and its last line of JSON."""
    limits = ("--size", SIZE_PX, "--iterations", 15, "--evaluations", 15)
    printed = room.impasto(*words, "-o", "out.npy", *limits, "--json")
    said = json.loads(printed.splitlines()[-1])
    counts = {name: np.asarray(said[name]) for name in ("loss", *COUNTS)}
    return {"pixels": np.load(room.folder / "out.npy"), **counts, **_under("term", _floats(said["terms"]))}


def _refined(room: Room, full: Path) -> Numbers:
    with room.engine() as draft, room.engine(full) as finish:
        return _followed(
            lambda on_event: transfer_refined(
                draft, finish, HARBOUR, SWIRLS, _settings(), evaluations=8, on_event=on_event
            )
        )


def _second_network(path: Path) -> Path:
    """Write vgg19-slim with every kernel a little smaller, and without its note of whose weights these are."""
    model = onnx.load(ROOT / "models" / "embedded" / f"{NETWORK}.onnx")
    for tensor in model.graph.initializer:
        array = numpy_helper.to_array(tensor)
        if array.ndim == 4:
            tensor.CopyFrom(numpy_helper.from_array((array * array.dtype.type(0.9)).astype(array.dtype), tensor.name))
    for note in [item for item in model.metadata_props if item.key == SAME_WEIGHTS]:
        model.metadata_props.remove(note)
    onnx.save(model, path)
    return path


def _pixels_of(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture)


def _floats(values: Mapping[str, float]) -> Numbers:
    return {name: np.asarray(value, np.float64) for name, value in values.items()}


def _under(name: str, numbers: Numbers) -> Numbers:
    return {f"{name}, {key}": value for key, value in numbers.items()}


if __name__ == "__main__":
    main()
