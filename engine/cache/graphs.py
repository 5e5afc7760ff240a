"""The cache of graphs. A run that finds its graph here starts without building and optimising it.

`KEY.json` in the folder names the files of one graph (see `impasto.export.shared_weights`) and its terms.
"""

import dataclasses
import json
import tempfile
from pathlib import Path

from impasto.engine.cache.store import Store
from impasto.export import shared_weights
from impasto.export.terms import Term


def find(key: str) -> tuple[Path, tuple[Term, ...]] | None:
    """Return a graph's file and its terms in the order of their columns; None if it is missing or was changed."""
    return GRAPHS.find(key, _intact)


def put(key: str, source: bytes | Path, terms: tuple[Term, ...]) -> None:
    """Keep a graph under a key.

    Args:
        key: from `key_of`, a hash of everything that the graph depends on.
        source: as for `shared_weights.split`.
        terms: the terms of an objective.
    """

    def write(part: Path) -> None:
        files = shared_weights.split(source, GRAPHS.folder)
        content = {"files": files, "terms": [dataclasses.asdict(term) for term in terms]}
        part.write_text(json.dumps(content), encoding="utf-8")

    GRAPHS.put(key, write)


def new_folder() -> Path | None:
    """Return a new folder next to the graphs, for a new graph; None if it cannot be made."""
    try:
        GRAPHS.folder.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(dir=GRAPHS.folder, prefix=".new-"))
    except OSError:
        return None


def _intact(entry: Path) -> tuple[Path, tuple[Term, ...]]:
    files, terms = _read(entry)
    if not shared_weights.intact(entry.parent, files):
        raise ValueError("a file of the graph was changed")
    return entry.parent / files[0], terms


def _read(entry: Path) -> tuple[tuple[str, ...], tuple[Term, ...]]:
    content = json.loads(entry.read_bytes())
    return tuple(content["files"]), tuple(Term(**term) for term in content["terms"])


GRAPHS = Store("graphs", ".json", 1 << 30, lambda entry: _read(entry)[0])
