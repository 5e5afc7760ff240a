"""Files that can be read from the start to the end, and what else a path may name."""

import os
import stat
from pathlib import Path

from impasto.models.errors import reason

NO_SUCH_FILE, A_FOLDER = "no such file", "it is a folder"

_KINDS = {
    stat.S_IFDIR: A_FOLDER,
    stat.S_IFIFO: "it is a pipe; save what it gives to a file first",
    stat.S_IFCHR: "it is a device",
    stat.S_IFBLK: "it is a device",
    stat.S_IFSOCK: "it is a socket",
}


def why_unreadable(path: str | os.PathLike[str]) -> str:
    """Return why a path does not name a regular file, in words without the path; "" if it names one.

    It returns at once. Opening a pipe would wait for its writer, and a device such as /dev/zero has no end. Symbolic
    links are followed, so /dev/stdin is whatever stdin is.
    """
    try:
        mode = Path(path).stat().st_mode
    except FileNotFoundError:
        return NO_SUCH_FILE
    except OSError as error:
        return reason(error)
    except ValueError as error:  # a NUL, or a surrogate that names no byte
        return f"no file has such a name: {str(error).lower()}"
    return "" if stat.S_ISREG(mode) else _KINDS.get(stat.S_IFMT(mode), "it is no regular file")
