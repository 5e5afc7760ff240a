"""Seconds from the start of a process to the first iteration, as `impasto transfer --json` says them.

Every start is a process of its own. Three in a row make a round, with a cache of graphs and targets of its own, which
is empty at first:

    first start     nothing is known of size and pictures; the network is read and hashed
    another style   the size is known, the style image is not
    second start    the same command again

Of each the file also has the seconds of the whole process, for a transfer of as many iterations as are asked for. The
operating system's file cache is warm in all of them: the network's file is read once before, and rounds that do
not count warm it up for the rest.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from impasto.bench.sampling import Effort, Watch
from impasto.bench.series import Series
from impasto.bench.subject import Subject
from impasto.engine.cache.store import DISABLE_VARIABLE
from impasto.engine.compile.network import load_network
from impasto.engine.images import write_image
from impasto.models.errors import ImpastoError
from impasto.models.store import CACHE_VARIABLE

KINDS = {"first start": "style.png", "another style": "other.png", "second start": "style.png"}
_MAIN = "from impasto.engine.cli import main; main()"
_SUBJECT_OPTIONS = ("provider", "precision", "threads", "loop")
_SETTINGS_OPTIONS = (
    *(
        "content_weight",
        "style_weight",
        "tv_weight",
        "tv_norm",
        "weighting",
        "style_loss",
        "pool",
        "padding",
        "init",
        "size",
    ),
    *("iterations", "optimizer", "history"),
)


@dataclass(frozen=True)
class Start:
    """One process.

    Attributes:
        process_s: from its start until it had ended, the picture's file included.
        summary: as the command printed it; `first_iteration_s` is until the beginning of the first iteration.
    """

    process_s: float
    summary: Mapping[str, Any]


def check(subject: Subject, warm_up: int) -> None:
    """Refuse what a start has no meaning for.

    Raises:
        ImpastoError: a batch, or a warm-up below 0.
    """
    if subject.batch > 1:
        raise ImpastoError(f"bad --batch {subject.batch}: a start is that of one transfer; allowed is 1")
    if warm_up < 0:
        raise ImpastoError(f"bad --warm-up {warm_up}: allowed are 0 and more rounds of starts")


def measure(
    subject: Subject, effort: Effort, watch: Watch, *, warm_up: int = 0, iterations: int = 1
) -> Iterator[Series]:
    """Yield a series per size and kind of start.

    The effort's warm-up is of evaluations and does not count here: ``warm_up`` rounds of starts are made before
    anything counts, once and not at every size.

    Raises:
        ImpastoError: as `check`; or the command failed, its own line.
    """
    check(subject, warm_up)
    subject = replace(subject, settings=replace(subject.settings, iterations=iterations))
    network = load_network(subject.model)
    network.path.read_bytes()
    if warm_up:
        watch.stage("starts that do not count", warm_up)
    for number in range(warm_up):
        if not watch.stopped():
            _round(subject, network.path, subject.sizes[0])
            watch.done(number + 1)
    for size in subject.sizes:
        rounds: list[dict[str, Start]] = []
        watch.stage(f"{size} px, starts", 1)
        begin_s = time.perf_counter()
        while not watch.stopped() and effort.lasts(len(rounds), begin_s):
            rounds.append(_round(subject, network.path, size))
            watch.done(min(len(rounds) / effort.least, (time.perf_counter() - begin_s) / effort.duration_s, 1.0))
        if rounds:
            yield from (_series(kind, size, [starts[kind] for starts in rounds]) for kind in KINDS)


def _round(subject: Subject, network: Path, size: int) -> dict[str, Start]:
    """Return one start of each kind, in their order, with a cache that is empty at first."""
    with tempfile.TemporaryDirectory(prefix="impasto-bench-") as name:
        folder = Path(name)
        content, style = subject.pictures(size)
        for picture, pixels in {"content.png": content, "style.png": style, "other.png": style[::-1]}.items():
            write_image(folder / picture, pixels.astype(np.float32) / np.float32(255))
        return {kind: _start(subject, network, folder, picture) for kind, picture in KINDS.items()}


def _start(subject: Subject, network: Path, folder: Path, style: str) -> Start:
    """Run one process in a folder that holds its pictures and its cache."""
    environment = {name: value for name, value in os.environ.items() if name != DISABLE_VARIABLE}
    environment[CACHE_VARIABLE] = str(folder / "cache")
    begin_s = time.perf_counter()
    ended = subprocess.run(  # noqa: S603 - this very program
        [sys.executable, "-c", _MAIN, *_arguments(subject, network, style)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    process_s = time.perf_counter() - begin_s
    if ended.returncode:
        said = ended.stderr.strip().splitlines() or ["it said nothing"]
        raise ImpastoError(f"`impasto transfer` ended with {ended.returncode}: {said[-1].removeprefix('error: ')}")
    return Start(process_s, json.loads(ended.stdout.splitlines()[-1]))


def _arguments(subject: Subject, network: Path, style: str) -> list[str]:
    settings, asked = subject.settings, subject.as_dict()
    words = ["transfer", "content.png", style, "-o", "out.png", "--json", "--model", str(network.resolve())]
    for name in _SUBJECT_OPTIONS:
        words += [f"--{name}", str(asked[name])]
    for name in _SETTINGS_OPTIONS:
        words += [f"--{name.replace('_', '-')}", str(getattr(settings, name))]
    for option, taps in (("--content-tap", settings.active_content_taps), ("--style-tap", settings.active_style_taps)):
        for tap in taps:
            words += [option, tap.name if tap.weight is None else f"{tap.name}={tap.weight}"]
    flags = {"--seamless": settings.seamless, "--build-engines": subject.build_engines}
    return [*words, *(flag for flag, wanted in flags.items() if wanted)]


def _series(kind: str, size: int, starts: list[Start]) -> Series:
    last = starts[-1].summary
    return Series(
        f"impasto {last['provider']} {last['precision']}, {kind}",
        "start",
        size,
        [start.summary["first_iteration_s"] for start in starts],
        last["evaluations"],
        last["loss"],
        facts={
            "provider": last["provider"],
            "precision": last["precision"],
            "network": last["model"],
            "kind": kind,
            "process_s": [start.process_s for start in starts],
        },
    )
