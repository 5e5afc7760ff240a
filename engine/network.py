"""Which network was asked for, and its features model."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import onnx_ir as ir

from impasto.export.half_storage import widen
from impasto.export.tap_model import import_weights
from impasto.models.errors import ImpastoError
from impasto.models.store import EMBEDDED, FULL, list_networks, network_name, network_path

WEIGHT_FILES = (".safetensors", ".pth", ".npz")


@dataclass(frozen=True)
class Network:
    """A features model and where it comes from.

    Attributes:
        name: in the cache, or the file's name.
        model: its graph, with one output per tap.
        sha256: of the file.
        choice: what "auto" took and how to get the other, in one sentence; "" where the network was named.
    """

    name: str
    model: ir.Model
    sha256: str
    choice: str = ""

    @property
    def metadata(self) -> Mapping[str, str]:
        """What the file says of itself: preprocessing, licence, attribution."""
        return self.model.metadata_props


def load_network(model: str | Path = "auto") -> Network:
    """Load a network by name or path.

    Args:
        model: "auto" (vgg19 where the cache has it, else the embedded vgg19-slim), a name that `impasto weights list`
            shows, a features model (.onnx), or a weights file (.safetensors, .pth, .npz), which is turned into a tap
            model once and then found in the cache.

    Raises:
        ImpastoError: there is no such network, or the file cannot be read.
    """
    path, choice = _chosen() if str(model) == "auto" else (_resolve(model), "")
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    try:
        features = ir.load(path)
    except Exception as error:
        raise ImpastoError(f"not an ONNX model: {path} ({type(error).__name__}); expected a features model") from error
    widen(features)
    return Network(path.stem, features, digest, choice)


def _chosen() -> tuple[Path, str]:
    """Return the features model that "auto" stands for, and why."""
    if FULL in list_networks():
        return network_path(FULL), f"network {FULL}; --model {EMBEDDED} is a faster approximation"
    return network_path(EMBEDDED), f"network {EMBEDDED}, a small stand-in; `impasto weights fetch {FULL}` gets VGG-19"


def _resolve(model: str | Path) -> Path:
    """Return the features model's file."""
    path = Path(model)
    if path.suffix in (".onnx", *WEIGHT_FILES):
        if not path.is_file():
            raise ImpastoError(f"no such file: --model {path}")
        return path if path.suffix == ".onnx" else _converted(path)
    if path.name != str(model):
        raise ImpastoError(
            f"not a network: --model {path}; expected a name that `impasto weights list` shows, "
            "or a .onnx, .safetensors, .pth or .npz file"
        )
    return network_path(str(model))


def _converted(path: Path) -> Path:
    """Return the tap model of a weights file, made at first use and kept under the file's own hash."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    name = network_name(f"{path.stem}-{digest[:8]}")
    return network_path(name) if name in list_networks() else import_weights(path, name)
