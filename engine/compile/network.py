"""Networks: finding the one that the user named, and reading its features model.

Differs from Gatys et al.: if VGG-19 is not installed, "auto" takes vgg19-slim, which was trained to imitate it.
"""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from impasto.engine.cache.network_facts import NetworkFacts, recall, remember, stamp
from impasto.engine.compile.features_file import read_features
from impasto.export.taps import find_tap
from impasto.models.checksum import sha256_of
from impasto.models.errors import ImpastoError
from impasto.models.regular_file import NO_SUCH_FILE, why_unreadable
from impasto.models.store import EMBEDDED, FULL, list_networks, network_name, network_path
from impasto.models.vgg import VGG19

if TYPE_CHECKING:
    import onnx_ir as ir

WEIGHT_FILES = (".safetensors", ".pth", ".npz")


class Network:
    """A features model and its origin. Its graph is read when it is first needed.

    Its facts come from the cache, or are read from the file.

    Attributes:
        name: name in the cache, or the name of the file.
        path: path of the file.
        choice: a sentence on the network that "auto" chose and on the alternative; "" if the user named the network.
        facts: properties that are known without the graph.
        sha256: hash of the file.
        metadata: texts in the file: preprocessing, licence, attribution.

    Raises:
        ImpastoError: the file cannot be read.
    """

    def __init__(self, path: Path, choice: str = "") -> None:
        self.name, self.path, self.choice = path.stem, path, choice
        self._lock = threading.Lock()
        self._model: ir.Model | None = None
        self._stamp = stamp(path)
        self.facts = recall(path) or self._learned()
        self.sha256, self.metadata = self.facts.sha256, self.facts.metadata

    @property
    def model(self) -> "ir.Model":
        """The graph, with one output per tap.

        Raises:
            ImpastoError: the file was changed since the network was loaded.
        """
        with self._lock:
            if self._model is None:
                if stamp(self.path) != self._stamp:
                    raise ImpastoError(f"the network was changed while it was in use: {self.path}; start again")
                self._model, _ = read_features(self.path)
            return self._model

    def find_tap(self, name: str) -> str:
        """Return the network's own name for a tap; `conv4_2` is the paper's name for `relu4_2`.

        Raises:
            ImpastoError: the network has no such tap; the message says whether vgg19 has it.
        """
        try:
            return find_tap(self.facts.taps, name, self.name)
        except ImpastoError as error:
            if self.name != EMBEDDED or name.replace("conv", "relu", 1) not in VGG19.taps:
                raise
            way = f"--model {FULL}" if FULL in list_networks() else f"`impasto weights fetch {FULL}`"
            raise ImpastoError(f"{error}; {FULL} has it: {way}") from error

    def _learned(self) -> NetworkFacts:
        """Read the facts from the file, and keep them in the cache."""
        from impasto.export.tap_graph import available_taps

        with ThreadPoolExecutor(1) as background:
            digest = background.submit(sha256_of, self.path)
            self._model, whole = read_features(self.path)
        facts = NetworkFacts(
            sha256=digest.result(),
            taps=available_taps(self._model),
            metadata=dict(self._model.metadata_props),
            whole=whole,
        )
        remember(self.path, self._stamp, facts)
        return facts


def load_network(model: str | Path = "auto") -> Network:
    """Load a network by name or path.

    Args:
        model: "auto" (vgg19 if the cache has it, otherwise the embedded vgg19-slim); a name that `impasto weights list`
            shows; a features model (.onnx); or a weights file (.safetensors, .pth, .npz), which is converted once and
            then kept in the cache.

    Raises:
        ImpastoError: the network does not exist, or the file cannot be read.
    """
    if str(model) != "auto":
        return Network(_resolve(model))
    if FULL in list_networks():
        return Network(network_path(FULL), f"network {FULL}; --model {EMBEDDED} is a faster approximation")
    choice = f"network {EMBEDDED}, a small stand-in; `impasto weights fetch {FULL}` gets VGG-19"
    return Network(network_path(EMBEDDED), choice)


def _resolve(model: str | Path) -> Path:
    """Return the features model's file."""
    path = Path(model)
    if path.suffix in (".onnx", *WEIGHT_FILES):
        if why := why_unreadable(path):
            raise ImpastoError(
                f"no such file: --model {path}" if why == NO_SUCH_FILE else f"cannot read --model {path}: {why}"
            )
        return path if path.suffix == ".onnx" else _converted(path)
    if path.name != str(model):
        raise ImpastoError(
            f"not a network: --model {path}; expected a name that `impasto weights list` shows, "
            "or a .onnx, .safetensors, .pth or .npz file"
        )
    return network_path(str(model))


def _converted(path: Path) -> Path:
    """Return the tap model of a weights file. It is made once and cached under the file's hash."""
    name = network_name(f"{path.stem}-{sha256_of(path)[:8]}")
    if name in list_networks():
        return network_path(name)
    from impasto.engine.compile.installing import install

    return install(path, name)
