"""API keys: a file of ids, hashes, scopes and quotas."""

import hashlib
import hmac
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from impasto.models.errors import ImpastoError, reason

READ, WRITE, INFER, METRICS = SCOPES = ("read", "write", "infer", "metrics")
"""What a key may do: read its jobs and styles; submit and change them; the inference protocol; the metrics."""

LOCAL = "local"
"""The owner of everything on a server without keys."""

_ID, _DIGEST = re.compile(r"[A-Za-z0-9_.-]{1,64}"), re.compile(r"[0-9a-f]{64}")
_FIELDS = {"id", "sha256", "scopes", "jobs", "styles", "max_priority"}


@dataclass(frozen=True)
class Key:
    """A key.

    Attributes:
        id: names the owner of jobs and styles.
        sha256: of the key, as hexadecimal digits.
        scopes: of `SCOPES`.
        jobs: jobs that have not ended, at most; None is the server's limit.
        styles: kept styles at most.
        max_priority: highest priority that it may give.
    """

    id: str
    sha256: str = ""
    scopes: frozenset[str] = frozenset(SCOPES)
    jobs: int | None = None
    styles: int = 1000
    max_priority: int = 8


ANYONE = Key(LOCAL)


class Keys:
    """The keys of a server; without a file, everyone is `ANYONE`.

    Args:
        path: of the file; None is no keys.

    Raises:
        ImpastoError: the file cannot be read, or an entry is wrong.
    """

    def __init__(self, path: Path | None) -> None:
        self.are_required = path is not None
        self._keys = () if path is None else _read(path)

    def find(self, secret: str) -> Key | None:
        """Return the key, in a time that does not depend on how much of it is right."""
        digest = hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()
        found = None
        for key in self._keys:
            if hmac.compare_digest(key.sha256, digest):
                found = key
        return found


def _read(path: Path) -> tuple[Key, ...]:
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ImpastoError(f"cannot read the keys in {path}: {reason(error)}; give another file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ImpastoError(f"cannot read the keys in {path}: {error}; expected TOML with [[key]] entries") from error
    entries = values.get("key", [])
    if not isinstance(entries, list) or not entries or set(values) != {"key"}:
        raise ImpastoError(f"no keys in {path}: expected one [[key]] entry or more, each with id and sha256")
    keys = tuple(_key(path, entry) for entry in entries)
    if len({key.id for key in keys}) < len(keys):
        raise ImpastoError(f"an id is twice in {path}: give each key its own")
    return keys


def _key(path: Path, entry: Any) -> Key:
    def refuse(what: str) -> ImpastoError:
        return ImpastoError(f"bad key in {path}: {what}")

    if not isinstance(entry, dict) or not set(entry) <= _FIELDS:
        raise refuse(f"allowed are {', '.join(sorted(_FIELDS))}")
    name, digest = entry.get("id"), entry.get("sha256")
    if not isinstance(name, str) or not _ID.fullmatch(name) or name == LOCAL:
        raise refuse(f"id {name!r}; allowed are up to 64 letters, digits, '.', '_' and '-', except {LOCAL!r}")
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest.lower()):
        raise refuse(f"sha256 of {name!r}; expected the 64 hexadecimal digits that `sha256sum` prints for the key")
    scopes = entry.get("scopes", list(SCOPES))
    if not isinstance(scopes, list) or not set(scopes) <= set(SCOPES):
        raise refuse(f"scopes of {name!r}; allowed are {', '.join(SCOPES)}")
    numbers = {field: entry[field] for field in ("jobs", "styles", "max_priority") if field in entry}
    for field, value in numbers.items():
        if type(value) is not int or value < (-8 if field == "max_priority" else 0):
            raise refuse(f"{field} of {name!r} is {value!r}; expected a whole number")
    return Key(name, digest.lower(), frozenset(scopes), **numbers)
