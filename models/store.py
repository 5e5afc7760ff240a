"""The tap models by name: those in the user's cache, and the one that comes with the package.

The cache's folder is `networks/` in the platform's cache folder for impasto, or in IMPASTO_CACHE when that is set.
Nothing is created before something is written. A network in the cache hides one of the same name in the package.
"""

import errno
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from impasto.models.errors import ImpastoError

CACHE_VARIABLE = "IMPASTO_CACHE"
EMBEDDED_DIR = Path(__file__).parent / "embedded"
EMBEDDED = "vgg19-slim"
FULL = "vgg19"
LONGEST_NAME = 100
_SUFFIX = ".tmp"


def cache_dir() -> Path:
    """Return the cache folder, which need not exist."""
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(chosen).expanduser()
    import platformdirs

    return Path(platformdirs.user_cache_dir("impasto", appauthor=False))


def networks_dir() -> Path:
    """Return the folder of the tap models, which need not exist."""
    return cache_dir() / "networks"


def list_networks() -> tuple[str, ...]:
    """Return the names of the tap models in the cache and in the package, sorted."""
    folders = (networks_dir(), EMBEDDED_DIR)
    return tuple(sorted({path.stem for folder in folders for path in folder.glob("*.onnx") if _is_name(path.stem)}))


def network_path(name: str) -> Path:
    """Return the file of a tap model.

    Raises:
        ImpastoError: the name is not allowed, or there is no such network.
    """
    for path in (network_file(name), EMBEDDED_DIR / f"{name}.onnx"):
        if path.is_file():
            return path
    raise ImpastoError(
        f"unknown network {name!r}: there is {', '.join(list_networks())}; run `impasto weights list` to see "
        f"what can be fetched, or `impasto weights import FILE --name {name}` with a file that you have"
    )


def network_file(name: str) -> Path:
    """Return where the cache's tap model of that name is or would be.

    Raises:
        ImpastoError: the name is not allowed.
    """
    if not _is_name(name):
        raise ImpastoError(
            f"bad network name {name!r}: use lower-case letters, digits, '.', '_' and '-', "
            f"beginning with a letter or digit, at most {LONGEST_NAME} of them"
        )
    return networks_dir() / f"{name}.onnx"


def network_name(text: str) -> str:
    """Return an allowed name that resembles a text, such as a file's stem."""
    name = re.sub(r"[^a-z0-9._-]+", "-", text.lower()).strip("._-")
    return name[:LONGEST_NAME] or "network"


@contextmanager
def atomic_file(target: Path, *, durable: bool = False) -> Iterator[Path]:
    """Give a path beside the target to write to; it becomes the target when the block ends without an error.

    Two processes that write one target leave one whole file. Nothing is left behind after an error.

    Args:
        target: its folder is made where it does not exist.
        durable: whether even a power cut leaves one whole file, the old or the new: the bytes are on the disk before
            the name is. It takes a moment, and what is checked against a hash when it is read does not need it.

    Raises:
        ImpastoError: the folder cannot be made or the file cannot be written.
    """
    part: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=_prefix(target), suffix=_SUFFIX)
        os.close(handle)
        part = Path(name)
        yield part
        part.chmod(0o666 & ~_umask())  # mkstemp's files are for their owner alone
        if durable:
            _to_disk(part)
        part.replace(target)
        if durable and os.name == "posix":  # elsewhere a folder cannot be opened
            _to_disk(target.parent)
    except OSError as error:
        raise ImpastoError(f"cannot write {target}: {error.strerror or error}; {_advice(target)}") from error
    finally:
        if part is not None:
            part.unlink(missing_ok=True)


def remove_leftovers(target: Path) -> None:
    """Remove what `atomic_file` left next to a target in processes that were killed; nobody else may be writing it."""
    target = target.resolve()
    for path in target.parent.iterdir():
        if path.name.startswith(_prefix(target)) and path.suffix == _SUFFIX:
            path.unlink(missing_ok=True)


def _prefix(target: Path) -> str:
    return f".{target.name}."


def _to_disk(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk; a file system that cannot say is believed."""
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def _advice(target: Path) -> str:
    if target.absolute().is_relative_to(cache_dir().absolute()):
        return f"make room, or set {CACHE_VARIABLE} to another folder"
    return "make room, or give another folder"


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _is_name(text: str) -> bool:
    return re.fullmatch(rf"[a-z0-9][a-z0-9._-]{{0,{LONGEST_NAME - 1}}}", text) is not None
