"""`figure.json`: what a figure was asked to be, and every cell that is finished.

It is written anew, whole, after each cell, and a cell's image before it. A cell is finished when its entry is there,
with all that belongs to one, and its image is the one that the entry was written for; so a process may be killed at any
moment.
"""

import json
from collections.abc import Mapping
from numbers import Real
from pathlib import Path
from typing import Any

from impasto.engine.figures.plan import Cell, Plan
from impasto.engine.inputs.manifest import STARTS
from impasto.engine.result import Result
from impasto.models.checksum import sha256_of
from impasto.models.errors import ImpastoError
from impasto.models.store import atomic_file

FILE_NAME = "figure.json"
ASKED, CELLS = "asked", "cells"

_OF_AN_ENTRY: Mapping[str, type | tuple[type, ...]] = {
    "file": str,
    "sha256": str,
    "row": int,
    "column": int,
    "description": str,
    "width": int,
    "height": int,
    "loss": Real,
    "terms": dict,
    "initial_terms": dict,
    "content_loss": (Real, type(None)),
    "style_loss": (Real, type(None)),
    "iterations": int,
    "evaluations": int,
    "outcome": str,
    "precision": str,
    "seconds": Real,
    "settings": dict,
}


class Record:
    """The finished cells of a figure in one folder.

    Attributes:
        cells: entries by name. An entry that lacks something, or whose image is not there as it was written, is left
            out: that cell is made again.
    """

    def __init__(self, folder: Path, asked: Mapping[str, Any]) -> None:
        """Take up what the folder has, or begin.

        Args:
            folder: it is made where it does not exist.
            asked: plain values that decide every cell, as `asked_for` gives them.

        Raises:
            ImpastoError: the folder holds another figure, or cannot be written to.
        """
        self._folder, self._asked = folder, json.loads(json.dumps(asked))
        self.cells: dict[str, dict[str, Any]] = {}
        path = folder / FILE_NAME
        if path.is_file():
            kept = self._kept(path)
            self.cells = {name: entry for name, entry in kept.items() if self._is_whole(name, entry)}
        self._write()

    def is_finished(self, cell: Cell) -> bool:
        """Return whether a cell's entry and image are there."""
        return cell.name in self.cells

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
        self.cells[cell.name] = {
            "file": path.name,
            "sha256": sha256_of(path),
            "row": cell.row,
            "column": cell.column,
            "description": cell.description,
            "width": result.picture.width,
            "height": result.picture.height,
            "loss": result.loss,
            "terms": dict(result.terms),
            "initial_terms": dict(result.initial_terms),
            "content_loss": _unweighted("content", result),
            "style_loss": _unweighted("style", result),
            "iterations": result.iterations,
            "evaluations": result.evaluations,
            "outcome": result.outcome,
            "precision": result.provenance["precision"],
            "seconds": result.seconds,
            "settings": result.settings.as_dict(),
        }
        self._write()

    def _is_whole(self, name: str, entry: Any) -> bool:
        """Return whether an earlier start's entry is one, and its image the one that it was written for."""
        if name not in self._asked["settings"] or not isinstance(entry, dict):
            return False
        if not all(isinstance(entry.get(key, ...), kind) for key, kind in _OF_AN_ENTRY.items()):
            return False
        path = self._folder / f"{name}.png"
        return entry["file"] == path.name and path.is_file() and sha256_of(path) == entry["sha256"]

    def _kept(self, path: Path) -> dict[str, Any]:
        """Return what an earlier start wrote of its cells.

        Raises:
            ImpastoError: the file is not a record, or it is one of another figure that has cells.
        """
        try:
            content = json.loads(path.read_bytes())
            asked, cells = content[ASKED], dict(content[CELLS])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ImpastoError(f"cannot go on with {path}: {error}; delete it, or give another folder") from error
        difference = _difference(asked, self._asked)
        if cells and difference:
            raise ImpastoError(
                f"{self._folder} holds another figure ({difference}); give another folder, or delete {path} to "
                "start afresh"
            )
        return cells

    def _write(self) -> None:
        with atomic_file(self._folder / FILE_NAME, durable=True) as part:
            part.write_text(json.dumps({ASKED: self._asked, CELLS: self.cells}, indent=1) + "\n")


def asked_for(plan: Plan, made_with: Mapping[str, Any]) -> dict[str, Any]:
    """Return plain values that decide every cell: images by their hashes, settings, network and provider."""
    init = Path(plan.cells[0].settings.init)
    return {
        "figure": plan.number,
        "title": plan.title,
        **made_with,
        "content": None if plan.content is None else _named(plan.content),
        **{f"style {number}": _named(path) for number, path in enumerate(plan.styles, 1)},
        **({"init": _named(init)} if str(init) not in STARTS and init.is_file() else {}),
        "settings": {cell.name: cell.settings.as_dict() for cell in plan.cells},
    }


def _named(path: Path) -> str:
    return f"{path.name}, sha256 {sha256_of(path)}"


def _unweighted(kind: str, result: Result) -> float | None:
    """Return L_content (equation 1) or L_style (equation 5), without alpha and beta; None where there is none."""
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
