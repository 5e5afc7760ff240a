"""The rows of a manifest as pictures in a folder: what is there already is left alone."""

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from impasto.engine import images
from impasto.engine.events import Event
from impasto.engine.inputs.manifest import STARTS, Row
from impasto.engine.jobs.engine import Engine
from impasto.engine.jobs.many import Finished, Job
from impasto.engine.optimisers.outcome import Outcome
from impasto.engine.result import Result
from impasto.models.checksum import sha256_of
from impasto.models.errors import ImpastoError

DONE, SKIPPED, FAILED = "done", "skipped", "failed"


@dataclass(frozen=True)
class Ended:
    """A row that was run.

    Attributes:
        row: of the manifest.
        result: what came out and was written; None where it failed.
        error: why it failed; None where it did not.
    """

    row: Row
    result: Result | None
    error: ImpastoError | None

    @property
    def status(self) -> str:
        """`DONE` or `FAILED`."""
        return FAILED if self.result is None else DONE


def prepare_outputs(manifest: Path, rows: Sequence[Row], *, bits: int, make: bool = True) -> None:
    """Make the folders of the outputs, and refuse before a long run what could not be written after it.

    Args:
        manifest: to be named in an error.
        rows: of it.
        bits: per channel.
        make: False makes no folders, and only asks whether that could be done.

    Raises:
        ImpastoError: with the row: a place or a kind of file that cannot be written.
    """
    for row in rows:
        try:
            folder = row.output.parent
            if make:
                folder.mkdir(parents=True, exist_ok=True)
            while not folder.exists():
                folder = folder.parent
            images.check_writable(folder / row.output.name, bits=bits)
        except (ImpastoError, OSError) as error:
            raise ImpastoError(f"{manifest}, row {row.number}, column output: {error}") from error


def split_finished(engine: Engine, rows: Sequence[Row], *, bits: int) -> tuple[list[Row], list[Row]]:
    """Return the rows whose outputs are there, of the same images, network and settings; and the others.

    Provider and precision may be others. Outputs without room for settings (.npy) are made again.

    Args:
        engine: its network counts.
        rows: of a manifest.
        bits: per channel, which count too.
    """
    hashed = cache(sha256_of)
    finished = [row for row in rows if _is_finished(engine, row, bits, hashed)]
    return finished, [row for row in rows if row not in finished]


def run_rows(
    engine: Engine,
    rows: Sequence[Row],
    *,
    bits: int,
    batch: int | None,
    on_event: Callable[[Row, Event], None],
    cancel: Callable[[], bool],
) -> Iterator[Ended]:
    """Run rows and write their outputs, each as soon as it is finished; a row that is cancelled leaves nothing.

    Args:
        engine: runs them.
        rows: of a manifest.
        bits: per channel.
        batch: as for `Engine.transfer_many`.
        on_event: called with a row and what `Engine.transfer` would tell of it.
        cancel: asked before every evaluation; True ends all.

    Raises:
        ImpastoError: the batch is out of range.
    """
    jobs = (Job(row.content, row.style, row.settings) for row in rows)
    hashed = cache(sha256_of)
    for found in engine.transfer_many(
        jobs, batch=batch, on_event=lambda index, _, event: on_event(rows[index], event), cancel=cancel
    ):
        cancelled = cancel() if found.result is None else found.result.outcome == Outcome.CANCELLED.value
        if not cancelled:
            yield _written(rows[found.index], found, bits, hashed)


def _written(row: Row, found: Finished, bits: int, hashed: Callable[[Path], str]) -> Ended:
    """Write a row's output."""
    result, error = found.result, found.error
    if result is not None:
        try:
            origin = {**result.provenance, **_origin(row, bits, hashed)}
            dataclasses.replace(result, provenance=origin).save(row.output, bits=bits)
        except (ImpastoError, OSError) as failure:
            result, error = None, failure if isinstance(failure, ImpastoError) else ImpastoError(str(failure))
    return Ended(row, result, error)


def _is_finished(engine: Engine, row: Row, bits: int, hashed: Callable[[Path], str]) -> bool:
    """Tell whether a row's output is what a run would make, but for rounding."""
    if not row.output.is_file():
        return False
    with suppress(ImpastoError, OSError):
        record = images.read_metadata(row.output)
        wanted = {
            "model_sha256": engine.network.sha256,
            "settings": json.loads(json.dumps(row.settings.as_dict())),
            **_origin(row, bits, hashed),
        }
        return all(record.get(name) == value for name, value in wanted.items())
    return False


def _origin(row: Row, bits: int, hashed: Callable[[Path], str]) -> Mapping[str, Any]:
    """Return what a row's output says of its images.

    Raises:
        OSError: an image cannot be read.
    """
    files = {"content_sha256": row.content, "style_sha256": row.style}
    if row.settings.init not in STARTS:
        files["init_sha256"] = Path(row.settings.init)
    return {**{name: hashed(path) for name, path in files.items()}, "bits": bits}
