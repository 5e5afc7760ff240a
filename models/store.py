"""The tap models by name: those in the user's cache, and the one that comes with the package.

The cache's folder is `networks/` in the platform's cache folder for impasto, or in IMPASTO_CACHE when that is set.
Nothing is created before something is written. A network in the cache hides one of the same name in the package.
"""

import os
import re
from pathlib import Path

from impasto.models.errors import ImpastoError

CACHE_VARIABLE = "IMPASTO_CACHE"
EMBEDDED_DIR = Path(__file__).parent / "embedded"
EMBEDDED = "vgg19-slim"
FULL = "vgg19"
LONGEST_NAME = 100


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


AUTO = "auto"
"""No network has this name: as a value of `--model` it lets impasto choose."""


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
    if name == AUTO:
        raise ImpastoError(f"bad network name {name!r}: `--model {AUTO}` lets impasto choose; give another name")
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


def _is_name(text: str) -> bool:
    return re.fullmatch(rf"[a-z0-9][a-z0-9._-]{{0,{LONGEST_NAME - 1}}}", text) is not None
