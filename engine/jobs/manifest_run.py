"""Runs of the rows of a manifest. Rows whose results exist already are skipped, unless they were cut short."""

import dataclasses
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
from impasto.engine.settings import Settings
from impasto.models.checksum import sha256_of
from impasto.models.errors import ImpastoError, one_line, reason
from impasto.models.overwriting import keys_of

DONE, SKIPPED, FAILED, UNFINISHED = "done", "skipped", "failed", "unfinished"


@dataclass(frozen=True)
class Ended:
    """A row that was run.

    Attributes:
        row: the row of the manifest.
        result: the result, or the picture so far of a cancelled run, which has been written; None if the row failed.
        error: why the row failed; None if it did not fail.
    """

    row: Row
    result: Result | None
    error: ImpastoError | None

    @property
    def status(self) -> str:
        """`DONE`, `FAILED`, or `UNFINISHED` if the run was cancelled."""
        return FAILED if self.result is None else UNFINISHED if _is_cancelled(self.result) else DONE


def prepare_outputs(manifest: Path, rows: Sequence[Row], *, bits: int, make: bool = True) -> None:
    """Make the folders of the outputs, and check before a long run that every output can be written.

    Args:
        manifest: path of the manifest, for messages.
        rows: the rows of the manifest.
        bits: bits per channel.
        make: whether to make the folders; False only checks that they can be made.

    Raises:
        ImpastoError: an output cannot be written, or is a file that a row reads; the message names the row.
    """
    read = {
        key: f"the {name} of row {row.number}"
        for row in rows
        for name, path in _files_of(row).items()
        for key in keys_of(path)
    }
    read |= dict.fromkeys(keys_of(manifest), "the list itself")
    for row in rows:
        found = next((read[key] for key in keys_of(row.output) if key in read), None)
        if found is not None:
            where = f"{manifest}, row {row.number}, column output"
            raise ImpastoError(f"{where}: {row.output} is {found}; give another name")
        try:
            folder = row.output.parent
            if make:
                folder.mkdir(parents=True, exist_ok=True)
            while not folder.exists():
                folder = folder.parent
            images.check_writable(folder / row.output.name, bits=bits)
        except (ImpastoError, OSError) as error:
            why = f"cannot write {row.output}: {reason(error)}" if isinstance(error, OSError) else error
            raise ImpastoError(f"{manifest}, row {row.number}, column output: {why}") from error


def _files_of(row: Row) -> dict[str, Path]:
    """Return the files that a row reads, by column."""
    files = {"content": row.content, "style": row.style}
    return files if row.settings.init in STARTS else {**files, "init": Path(row.settings.init)}


def split_finished(engine: Engine, rows: Sequence[Row], *, bits: int) -> tuple[list[Row], list[Row]]:
    """Return the rows whose outputs exist, made from the same images, network and settings; and the remaining rows.

    Provider and precision may differ. Outputs of cancelled runs, and those that cannot hold settings (.npy), are made
    again.

    Args:
        engine: its network is compared with that of the outputs.
        rows: the rows of a manifest.
        bits: bits per channel, which are compared, too.
    """
    hashed = cache(sha256_of)
    finished, left = list[Row](), list[Row]()
    for row in rows:
        (finished if _is_finished(engine, row, bits, hashed) else left).append(row)
    return finished, left


def run_rows(
    engine: Engine,
    rows: Sequence[Row],
    *,
    bits: int,
    batch: int | None,
    on_event: Callable[[Row, Event], None],
    cancel: Callable[[], bool],
    many: Callable[..., Iterator[Finished]] | None = None,
) -> Iterator[Ended]:
    """Run rows and write each output as soon as the row has ended.

    A cancelled row writes its picture so far, whose record has the outcome "cancelled", unless the row's output is a
    finished result. A row that was cancelled before its first evaluation yields nothing.

    Args:
        engine: runs the rows.
        rows: the rows of a manifest.
        bits: bits per channel.
        batch: as for `Engine.transfer_many`.
        on_event: called with a row and one of its events.
        cancel: called before every evaluation; True ends all rows.
        many: runs the jobs in place of `Engine.transfer_many`, with its arguments.

    Raises:
        ImpastoError: the batch is out of range.
    """
    jobs = (Job(row.content, row.style, row.settings) for row in rows)
    hashed = cache(sha256_of)
    for found in (engine.transfer_many if many is None else many)(
        jobs, batch=batch, on_event=lambda index, _, event: on_event(rows[index], event), cancel=cancel
    ):
        row, result = rows[found.index], found.result
        if result is None and cancel():
            continue
        if result is not None and _is_cancelled(result) and _is_finished(engine, row, bits, hashed):
            continue
        yield _written(row, found, bits, hashed)


def _written(row: Row, found: Finished, bits: int, hashed: Callable[[Path], str]) -> Ended:
    """Write a row's output."""
    result, error = found.result, found.error
    if result is not None:
        try:
            origin = {**result.provenance, **_origin(row, bits, hashed)}
            dataclasses.replace(result, provenance=origin).save(row.output, bits=bits)
        except (ImpastoError, OSError, ValueError) as failure:
            result, error = None, failure if isinstance(failure, ImpastoError) else ImpastoError(one_line(failure))
    return Ended(row, result, error)


def _is_finished(engine: Engine, row: Row, bits: int, hashed: Callable[[Path], str]) -> bool:
    """Return whether a row's output is whole, finished, and has the row's images, network, settings and bits."""
    if not row.output.is_file():
        return False
    with suppress(ImpastoError, OSError, ValueError, KeyError):  # ValueError: a NUL in a name; KeyError: no settings
        record = images.read_metadata(row.output)
        wanted = {"model_sha256": engine.network.sha256, **_origin(row, bits, hashed)}
        same = Settings.from_dict(record["settings"]) == row.settings  # an earlier version's may lack a setting
        is_same = same and all(record.get(name) == value for name, value in wanted.items())
        if is_same and record.get("outcome") != Outcome.CANCELLED.value:
            images.read_image(row.output)  # a file that was cut off may still have its record
            return True
    return False


def _is_cancelled(result: Result) -> bool:
    return result.outcome == str(Outcome.CANCELLED.value)


def _origin(row: Row, bits: int, hashed: Callable[[Path], str]) -> Mapping[str, Any]:
    """Return what a row's output records of its images.

    Raises:
        OSError: an image cannot be read.
    """
    return {**{f"{name}_sha256": hashed(path) for name, path in _files_of(row).items()}, "bits": bits}
