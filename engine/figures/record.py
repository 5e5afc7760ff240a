"""`figure.json`: what a figure was asked to be, and every cell that has a picture.

It is written anew, whole, after each cell, and a cell's image before it. A cell is finished when its entry is there,
with all that belongs to one, and its image is the one that the entry was written for; so a process may be killed at any
moment. A cell that was cancelled has its picture so far, and an entry with that outcome. It is not finished.
"""

import json
from collections.abc import Callable, Mapping
from numbers import Real
from pathlib import Path
from typing import Any

from impasto.engine.figures.figure import Cell, Figure
from impasto.engine.inputs.manifest import STARTS
from impasto.engine.optimisers.solution import Outcome
from impasto.engine.result import Result
from impasto.models.atomic import write_atomically
from impasto.models.checksum import sha256_of
from impasto.models.errors import ImpastoError

FILE_NAME = "figure.json"
ASKED, CELLS = "asked", "cells"

_ENTRY: Mapping[str, tuple[type | tuple[type, ...], Callable[[Cell, Result], Any]]] = {
    "row": (int, lambda cell, result: cell.row),
    "column": (int, lambda cell, result: cell.column),
    "description": (str, lambda cell, result: cell.description),
    "width": (int, lambda cell, result: result.picture.width),
    "height": (int, lambda cell, result: result.picture.height),
    "loss": (Real, lambda cell, result: result.loss),
    "terms": (dict, lambda cell, result: dict(result.terms)),
    "initial_terms": (dict, lambda cell, result: dict(result.initial_terms)),
    "content_loss": ((Real, type(None)), lambda cell, result: _unweighted("content", result)),
    "style_loss": ((Real, type(None)), lambda cell, result: _unweighted("style", result)),
    "iterations": (int, lambda cell, result: result.iterations),
    "evaluations": (int, lambda cell, result: result.evaluations),
    "outcome": (str, lambda cell, result: result.outcome),
    "precision": (str, lambda cell, result: result.provenance["precision"]),
    "seconds": (Real, lambda cell, result: result.seconds),
    "settings": (dict, lambda cell, result: result.settings.as_dict()),
}
"""The values of a cell's entry, next to its image's name and hash: the type of each, and where it is from."""


class Record:
    """The cells of a figure in one folder.

    Attributes:
        asked: plain values that decide every cell.
        cells: entries by name, of finished cells and of cells that were cut short. An entry that lacks something, or
            whose image is not there as it was written, is left out: that cell is made again.
    """

    def __init__(self, folder: Path, asked: Mapping[str, Any]) -> None:
        """Take up what the folder has, or begin.

        Args:
            folder: it is made where it does not exist.
            asked: plain values that decide every cell, as `asked_for` gives them.

        Raises:
            ImpastoError: the folder holds another figure, or cannot be written to.
        """
        self._folder, self.asked = folder, json.loads(json.dumps(asked))
        self.cells: dict[str, dict[str, Any]] = {}
        if (folder / FILE_NAME).is_file():
            self._take_up(folder / FILE_NAME)
        self._write()

    def is_finished(self, cell: Cell) -> bool:
        """Return whether a cell's entry and image are there, and it was not cut short."""
        return cell.name in self.cells and not _is_cut_short(self.cells[cell.name])

    @property
    def finished(self) -> list[dict[str, Any]]:
        """The entries of the finished cells."""
        return [entry for entry in self.cells.values() if not _is_cut_short(entry)]

    def image(self, cell: Cell) -> Path:
        """Return where a cell's image is."""
        return self._folder / f"{cell.name}.png"

    def add(self, cell: Cell, result: Result) -> None:
        """Write a cell's image, then its entry.

        Raises:
            ImpastoError: they cannot be written.
        """
        path = self.image(cell)
        result.save(path)
        values = {name: source(cell, result) for name, (_, source) in _ENTRY.items()}
        self.cells[cell.name] = {"file": path.name, "sha256": sha256_of(path), **values}
        self._write()

    def _is_whole(self, name: str, entry: Any) -> bool:
        """Return whether an earlier start's entry is one, and its image the one that it was written for."""
        if name not in self.asked["settings"] or not isinstance(entry, dict):
            return False
        if not all(isinstance(entry.get(key, ...), kind) for key, (kind, _) in _ENTRY.items()):
            return False
        path = self._folder / f"{name}.png"
        return entry.get("file") == path.name and path.is_file() and sha256_of(path) == entry.get("sha256")

    def _take_up(self, path: Path) -> None:
        """Take over the cells of an earlier start."""
        try:
            content = json.loads(path.read_bytes())
            asked, cells = content[ASKED], dict(content[CELLS])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ImpastoError(f"cannot go on with {path}: {error}; delete it, or give another folder") from error
        if not (difference := _difference(asked, self.asked)):
            self.cells = {name: entry for name, entry in cells.items() if self._is_whole(name, entry)}
        elif not all(map(_is_cut_short, cells.values())):
            raise ImpastoError(
                f"{self._folder} holds another figure ({difference}); give another folder, or delete {path} to "
                "start afresh"
            )

    def _write(self) -> None:
        content = json.dumps({ASKED: self.asked, CELLS: self.cells}, indent=1) + "\n"
        write_atomically(self._folder / FILE_NAME, content.encode(), durable=True)


def asked_for(figure: Figure, made_with: Mapping[str, Any]) -> dict[str, Any]:
    """Return plain values that decide every cell: images by their hashes, settings, network and provider."""
    named: dict[str, str | None] = {"content": None}
    for kind, path in figure.inputs:
        named[kind if kind == "content" else f"style {len(named)}"] = _named(path)
    init = Path(figure.cells[0].settings.init)
    return {
        "figure": figure.number,
        "title": figure.title,
        **made_with,
        **named,
        **({"init": _named(init)} if str(init) not in STARTS and init.is_file() else {}),
        "settings": {cell.name: cell.settings.as_dict() for cell in figure.cells},
    }


def _is_cut_short(entry: Any) -> bool:
    return isinstance(entry, dict) and entry.get("outcome") == Outcome.CANCELLED.value


def _named(path: Path) -> str:
    return f"{path.name}, sha256 {sha256_of(path)}"


def _unweighted(kind: str, result: Result) -> float | None:
    """Return L_content (equation 1) or L_style (equation 5), without alpha and beta; None if there is none."""
    weight = {"content": result.settings.content_weight, "style": result.settings.style_weight}[kind]
    return sum(value for name, value in result.terms.items() if name.startswith(kind)) / weight if weight else None


def _difference(before: Any, now: Any, name: str = "") -> str:
    """Say the first thing in which two values differ; "" where they do not."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in [*now, *(key for key in before if key not in now)]:
            found = _difference(before.get(key), now.get(key), key)
            if found:
                return found
        return ""
    return "" if before == now else f"{name} was {before}, now {now}"
