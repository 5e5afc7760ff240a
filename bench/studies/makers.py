"""Programs that paint a pair: impasto's command with some options, or the rival with some; each in its own process.

A finished picture has a file of the same name with .json, written last, that says how it was made. It is found again,
unless it was made in another way.
"""

import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from impasto.bench import record
from impasto.bench.studies.checkout import git
from impasto.bench.studies.fixed_runs import COMMAND
from impasto.bench.studies.paired_images import Pair
from impasto.models.errors import ImpastoError

IMPASTO, RIVAL = "impasto", "rival"


@dataclass(frozen=True)
class Maker:
    """What paints.

    Attributes:
        kind: `IMPASTO` or `RIVAL`.
        name: in file names, tables and captions.
        options: of `impasto transfer`, or of `impasto.bench.studies.rival`.
    """

    kind: str
    name: str
    options: tuple[str, ...] = ()

    @classmethod
    def parse(cls, kind: str, text: str) -> "Maker":
        """Return the maker of ``NAME`` or ``NAME=OPTIONS``, as ``fast=--preset fast``.

        Raises:
            ImpastoError: the name does not suit a file, or the options have an open quote.
        """
        name, _, options = text.partition("=")
        if not name or not set(name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."):
            raise ImpastoError(f"bad maker {text!r}: give NAME or NAME=OPTIONS, the name of letters, digits, - _ and .")
        try:
            return cls(kind, name, tuple(shlex.split(options)))
        except ValueError as error:
            raise ImpastoError(f"bad options of maker {name}: {options!r}, {error}") from None

    def command(self, pair: Pair, picture: Path, size_px: int, model: str, threads: int) -> list[str]:
        """Return the words that paint a pair; the maker's own options come last, so that they count."""
        shared = ["--model", model, "--size", size_px, "--threads", threads]
        if self.kind == IMPASTO:
            start = ["-c", COMMAND, "transfer", pair.content, pair.style, "-o", picture, "--json"]
            shared += ["--provider", "cpu", "--precision", "fp32"]
        else:
            rival = ["-m", "impasto.bench.studies.rival", pair.content, pair.style, "-o", picture]
            start = [*rival, "--json", _note(picture, ".rival.json")]
        return [sys.executable, "-P", *map(str, (*start, *shared)), *self.options]


@dataclass(frozen=True)
class Painted:
    """A finished picture.

    Attributes:
        picture: its file.
        made: how: maker, options, size, network; revision, seconds, processor seconds, and what the program said.
    """

    picture: Path
    made: dict[str, Any]


def paint(maker: Maker, pair: Pair, folder: Path, size_px: int, model: str, threads: int) -> Painted:
    """Return the picture of a pair, painted unless it is there.

    Seconds and processor seconds are those of the whole process, its start and the reading of images and network
    included.

    Raises:
        ImpastoError: the program failed, with its last line; or the picture there was made in another way.
    """
    picture = folder / f"{pair.name}-{size_px}-{maker.name}.png"
    note = _note(picture, ".json")
    asked: dict[str, Any] = {"kind": maker.kind, "maker": maker.name, "options": list(maker.options)}
    asked |= {"pair": pair.name, "size_px": size_px, "model": model}
    if note.is_file() and picture.is_file():
        made: dict[str, Any] = json.loads(note.read_bytes())
        other = [name for name, value in asked.items() if made.get(name) != value]
        if other:
            raise ImpastoError(
                f"{picture} was made with another {other[0]}, {made.get(other[0])}: give the maker another name, "
                "or remove it"
            )
        return Painted(picture, made)
    said, seconds, processor_s = _run(maker.command(pair, picture, size_px, model, threads), maker.name)
    told = json.loads(_note(picture, ".rival.json").read_bytes()) if maker.kind == RIVAL else _last_line(said)
    made = {**asked, "revision": git("rev-parse", "HEAD"), "threads": threads, "seconds": seconds}
    made |= {"processor_seconds": processor_s, "said": told}
    record.write(note, made)
    return Painted(picture, made)


def _note(picture: Path, suffix: str) -> Path:
    """Return a file that lies with a picture; the name may hold dots."""
    return picture.with_name(picture.stem + suffix)


def _run(command: Sequence[str], name: str) -> tuple[str, float, float]:
    """Run a program, and return what it prints, its seconds, and its processor seconds of all threads together."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        start_s = time.perf_counter()
        process = subprocess.Popen(command, stdout=out, stderr=err)  # noqa: S603 - this very Python
        try:
            _, status, used = os.wait4(process.pid, 0)
        except KeyboardInterrupt:
            process.wait()  # the interrupt reached it too
            raise
        seconds = time.perf_counter() - start_s
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        if process.returncode:
            lines = err.read().decode(errors="replace").strip().splitlines() or ["it printed no error"]
            raise ImpastoError(f"{name}: status {process.returncode}: {lines[-1].strip()}")
        return out.read().decode(), seconds, used.ru_utime + used.ru_stime


def _last_line(printed: str) -> Any:
    return json.loads(printed.strip().splitlines()[-1])
