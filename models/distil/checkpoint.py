"""The whole state of a training run in one file, written so that a killed run always finds a complete one."""

import json
from pathlib import Path
from typing import Any

import torch

from impasto.models.atomic import atomic_file
from impasto.models.errors import ImpastoError, one_line

State = dict[str, Any]


def write(state: State, path: Path) -> None:
    """Write the whole file or leave the old one.

    Raises:
        ImpastoError: the file cannot be written.
    """
    with atomic_file(path, durable=True) as part:
        torch.save(state, part)


def read(path: Path) -> State:
    """Read what `write` wrote: tensors, numbers, texts and containers only.

    Raises:
        ImpastoError: there is no such file, or it is damaged.
    """
    if not path.is_file():
        raise ImpastoError(f"no such file: {path}; `init` writes init.pt, then `train` checkpoint.pt")
    try:
        state: State = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # zipfile, pickle and torch share no base class
        raise ImpastoError(f"damaged checkpoint: {path} ({one_line(error, 100)}); take another --run") from error
    return state


def log(path: Path, record: State) -> None:
    """Append one line of JSON."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")


def logged(path: Path) -> list[State]:
    """Return what `log` appended; nothing where there is no such file."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [json.loads(line) for line in lines]
