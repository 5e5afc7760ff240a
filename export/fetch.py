"""A network from its official address to the user's cache: download, convert, delete the download."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from impasto.export.features import require_torch
from impasto.export.network_info import read_info
from impasto.export.tap_model import import_weights
from impasto.models.checksum import sha256_of
from impasto.models.download import PATIENCE, DownloadError, Patience, ProgressFunction, download
from impasto.models.errors import ImpastoError
from impasto.models.sources import Source
from impasto.models.store import CACHE_VARIABLE, cache_dir, network_file


@dataclass(frozen=True)
class Fetched:
    """The result of `fetch_network`.

    Attributes:
        path: of the tap model.
        is_new: False where the cache already had it, made from the same weights.
    """

    path: Path
    is_new: bool


def fetch_network(
    source: Source,
    url: str | None = None,
    *,
    on_progress: ProgressFunction = lambda received, total: None,
    on_wait: Callable[[], None] = lambda: None,
    convert: Callable[[Path, str], Path] = import_weights,
    patience: Patience = PATIENCE,
) -> Fetched:
    """Download a weights file and turn it into a tap model in the cache.

    Processes that fetch one network at once wait for each other, and only the first one downloads. The next
    call resumes an interrupted download. The downloaded file is deleted once it is converted. The ``url`` is that of a
    mirror, whose file must have the same hash. ``on_progress`` gets the bytes received and the total, None where it is
    unknown; ``on_wait`` is called once, before waiting for another process.

    Raises:
        ImpastoError: PyTorch is missing, the download fails (the message says how to import a local file), or
            the cache cannot be written.
    """
    require_torch()
    folder = cache_dir() / "downloads"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder / f"{source.name}.lock", on_wait):
            if _is_converted(source):
                return Fetched(network_file(source.name), is_new=False)
            original = folder / Path(source.url).name
            _download(source, url or source.url, original, on_progress, patience)
            path = convert(original, source.name)
            original.unlink()
            return Fetched(path, is_new=True)
    except OSError as error:
        raise ImpastoError(
            f"cannot write to {folder}: {error.strerror or error}; set {CACHE_VARIABLE} to another folder"
        ) from error


def _locked(path: Path, on_wait: Callable[[], None]) -> AbstractContextManager[object]:
    """Lock a file; wait while another process or thread holds it. The system releases it when a process dies."""
    from filelock import FileLock, Timeout

    lock = FileLock(path)
    try:
        return lock.acquire(blocking=False)
    except Timeout:
        on_wait()
        return lock.acquire()


def _download(source: Source, url: str, original: Path, on_progress: ProgressFunction, patience: Patience) -> None:
    """Get the file, unless an earlier call did and could not convert it."""
    if original.is_file() and sha256_of(original).startswith(source.sha256_prefix):
        return
    try:
        download(url, original, sha256_prefix=source.sha256_prefix, on_progress=on_progress, patience=patience)
    except DownloadError as error:
        raise DownloadError(
            f"{error}; for a file that you have, run `impasto weights import FILE --name {source.name}`"
        ) from error


def _is_converted(source: Source) -> bool:
    path = network_file(source.name)
    if not path.is_file():
        return False
    try:
        return read_info(path).weights_sha256.startswith(source.sha256_prefix)
    except ImpastoError:  # a damaged file is made anew
        return False
