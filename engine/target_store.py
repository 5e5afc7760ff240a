"""Targets that earlier runs computed: the features and Gram matrices of a picture, by everything they depend on."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np

from impasto.engine import run_cache
from impasto.models.atomic import atomic_file


def find(key: str) -> dict[str, np.ndarray] | None:
    """Return the arrays kept under a key; None where there are none, or they are no longer what was written."""
    path = _path(key)
    if not run_cache.enabled() or not path.is_file():
        return None
    arrays = None
    with run_cache.Tolerant(f"use the targets {key}"):
        arrays = _read(path)
        run_cache.touch(path)
    if arrays is None:
        with suppress(OSError):
            path.unlink()
    return arrays


def put(key: str, arrays: Mapping[str, np.ndarray]) -> None:
    """Keep arrays under a key, and drop those of other keys that were not used for longest."""
    limit_bytes = run_cache.LIMITS_BYTES[run_cache.TARGETS]
    if not run_cache.enabled() or sum(array.nbytes for array in arrays.values()) > limit_bytes // 2:
        return
    with run_cache.Tolerant(f"keep the targets {key}"):
        with atomic_file(_path(key)) as part, part.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
        run_cache.drop_oldest(run_cache.folder(run_cache.TARGETS).glob("*.npz"), limit_bytes)


def _read(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of an archive, whose own checksums are compared."""
    with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def _path(key: str) -> Path:
    return run_cache.folder(run_cache.TARGETS) / f"{key}.npz"
