"""Runs of the rows of a manifest. Rows whose results exist already are skipped."""

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
from impasto.engine.jobs.job import Finished, Job
from impasto.engine.optimisers.solution import Outcome
from impasto.engine.result import Result
from impasto.models.checksum import sha256_of
from impasto.models.errors import ImpastoError

DONE, SKIPPED, FAILED = "done", "skipped", "failed"


@dataclass(frozen=True)
class Ended:
    """A row that was run.

    Attributes:
        row: the row of the manifest.
        result: the result, which has been written; None if the row failed.
        error: why the row failed; None if it did not fail.
    """

    row: Row
    result: Result | None
    error: ImpastoError | None

    @property
    def status(self) -> str:
        """`DONE` or `FAILED`."""
        return FAILED if self.result is None else DONE


def prepare_outputs(manifest: Path, rows: Sequence[Row], *, bits: int, make: bool = True) -> None:
    """Make the folders of the outputs, and check before a long run that every output can be written.

    Args:
        manifest: path of the manifest, for messages.
        rows: the rows of the manifest.
        bits: bits per channel.
        make: whether to make the folders; False only checks that they can be made.

    Raises:
        ImpastoError: an output cannot be written; the message names the row.
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
    """Return the rows whose outputs exist, made from the same images, network and settings; and the remaining rows.

    Provider and precision may differ. Outputs that cannot hold settings (.npy) are made again.

    Args:
        engine: its network is compared with that of the outputs.
        rows: the rows of a manifest.
        bits: bits per channel, which are compared, too.
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
    """Run rows and write each output as soon as the row has ended. A cancelled row writes no output.

    Args:
        engine: runs the rows.
        rows: the rows of a manifest.
        bits: bits per channel.
        batch: as for `Engine.transfer_many`.
        on_event: called with a row and one of its events.
        cancel: called before every evaluation; True ends all rows.

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
    """Return whether a row's output exists and has the same images, network, settings and bits as the row."""
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
    """Return what a row's output records of its images.

    Raises:
        OSError: an image cannot be read.
    """
    files = {"content_sha256": row.content, "style_sha256": row.style}
    if row.settings.init not in STARTS:
        files["init_sha256"] = Path(row.settings.init)
    return {**{name: hashed(path) for name, path in files.items()}, "bits": bits}
