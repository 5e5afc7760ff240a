"""The cache of targets: the features and Gram matrices of a picture, by a hash of everything they depend on."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from impasto.engine.cache.store import Store

TARGETS = Store("targets", ".npz", 512 << 20)


def find(key: str) -> dict[str, np.ndarray] | None:
    """Return the arrays of a key; None if they are missing or the file is broken."""
    return TARGETS.find(key, _read)


def put(key: str, arrays: Mapping[str, np.ndarray]) -> None:
    """Keep arrays under a key, unless they take more than half of the store's limit."""

    def write(part: Path) -> None:
        with part.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]

    if sum(array.nbytes for array in arrays.values()) <= TARGETS.limit_bytes // 2:
        TARGETS.put(key, write)


def _read(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of an archive, whose own checksums are compared."""
    with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}
