"""Graphs that earlier runs built: a run that finds its own here starts without building and optimising it.

`KEY.json` in the folder names the files of one graph (see `impasto.export.shared_weights`) and its terms.
"""

import dataclasses
import json
import shutil
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from impasto.engine import run_cache
from impasto.export import shared_weights
from impasto.export.terms import Term

_NEW = ".new-"
_ABANDONED_S = 3600.0


@dataclass(frozen=True)
class StoredGraph:
    """A graph on disk and the terms in the order of its columns; a targets graph has none."""

    path: Path
    terms: tuple[Term, ...]


def find(key: str) -> StoredGraph | None:
    """Return the graph kept under a key; None where there is none, or it is no longer what was written."""
    folder, entry = run_cache.folder(run_cache.GRAPHS), _entry(key)
    if not run_cache.enabled() or not entry.is_file():
        return None
    with run_cache.Tolerant(f"use the graph {key}"):
        files, terms = _read(entry)
        if shared_weights.intact(folder, files):
            run_cache.touch(entry)
            return StoredGraph(folder / files[0], terms)
    with suppress(OSError):
        entry.unlink()
    return None


def put(key: str, source: bytes | Path, terms: tuple[Term, ...]) -> None:
    """Keep a graph under a key.

    Args:
        key: from `run_cache.key_of`, of everything that the graph depends on.
        source: as `shared_weights.split` takes it.
        terms: of an objective.
    """
    with run_cache.Tolerant(f"keep the graph {key}"):
        files = shared_weights.split(source, run_cache.folder(run_cache.GRAPHS))
        content = {"files": files, "terms": [dataclasses.asdict(term) for term in terms]}
        run_cache.write(_entry(key), json.dumps(content).encode())
        _trim()


def new_folder() -> Path | None:
    """Return a new folder beside the graphs, for one that is being written; None where none can be made."""
    if run_cache.enabled():
        with run_cache.Tolerant("make a folder"):
            parent = run_cache.folder(run_cache.GRAPHS)
            parent.mkdir(parents=True, exist_ok=True)
            return Path(tempfile.mkdtemp(dir=parent, prefix=_NEW))
    return None


def _entry(key: str) -> Path:
    return run_cache.folder(run_cache.GRAPHS) / f"{key}.json"


def _read(entry: Path) -> tuple[tuple[str, ...], tuple[Term, ...]]:
    content = json.loads(entry.read_bytes())
    return tuple(content["files"]), tuple(Term(**term) for term in content["terms"])


def _trim() -> None:
    """Delete the graphs that were not used for longest until the rest fits, and the files that no graph refers to."""
    folder, kept, total = run_cache.folder(run_cache.GRAPHS), set[str](), 0
    for entry in sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime, reverse=True):
        new = set(_read(entry)[0]) - kept
        total += sum((folder / name).stat().st_size for name in new if (folder / name).is_file())
        if total > run_cache.LIMITS_BYTES[run_cache.GRAPHS]:
            entry.unlink(missing_ok=True)
        else:
            kept |= new
    files = [path for path in folder.iterdir() if path.suffix in (shared_weights.GRAPH, shared_weights.WEIGHTS)]
    run_cache.drop_unreferenced(files, kept)
    for path in folder.glob(f"{_NEW}*"):
        if time.time() - path.stat().st_mtime > _ABANDONED_S:
            shutil.rmtree(path, ignore_errors=True)
