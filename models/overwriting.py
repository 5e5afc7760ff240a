"""Whether writing a file would destroy one that the same run reads."""

import os
from collections.abc import Hashable, Iterable, Iterator, Mapping
from pathlib import Path

from impasto.models.errors import ImpastoError

Name = str | os.PathLike[str]


def check_not_read(outputs: Iterable[Name | None], inputs: Mapping[str, object], advice: str) -> None:
    """Refuse an output that is one of the inputs, through whatever name or link.

    Args:
        outputs: paths; None is passed over.
        inputs: by what the input is called, as "the content image"; what is not a path is passed over.
        advice: what to do next.

    Raises:
        ImpastoError: an output is an input.
    """
    read = {key: name for name, path in inputs.items() if isinstance(path, str | os.PathLike) for key in keys_of(path)}
    for output in outputs:
        found = next((read[key] for key in keys_of(output) if key in read), None) if output is not None else None
        if found is not None:
            raise ImpastoError(f"cannot write {output}: it is {found}, which the run reads; {advice}")


def keys_of(path: Name) -> Iterator[Hashable]:
    """Yield what two names of one file have in common: the name without links, and the file's number if it exists."""
    try:
        yield os.path.normcase(os.path.realpath(path))
        status = Path(path).stat()
        yield status.st_dev, status.st_ino
    except (OSError, ValueError):  # ValueError: a NUL in the name
        return
