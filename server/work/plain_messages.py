"""Messages for clients: they name no path of the machine."""

from collections.abc import Mapping
from pathlib import Path


def without_paths(message: str, paths: Mapping[str, str | None]) -> str:
    """Return a message in which each path is replaced by a name.

    Args:
        message: of an error.
        paths: by name.
    """
    for name, path in paths.items():
        if path is not None:
            for text in (str(path), Path(path).name):
                message = message.replace(f"image {text}", "image").replace(text, name)
            message = message.replace(str(Path(path).parent), "the server's folder")
    return " ".join(message.split())
