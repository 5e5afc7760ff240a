"""Which network was asked for, and its features model.

Differs from Gatys et al.: where VGG-19 is not installed, "auto" takes vgg19-slim, which was trained to imitate it.
"""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from impasto.engine.cache.network_facts import NetworkFacts, recall, remember, stamp
from impasto.export.taps import find_tap
from impasto.models.checksum import sha256_of
from impasto.models.errors import ImpastoError
from impasto.models.store import EMBEDDED, FULL, list_networks, network_name, network_path
from impasto.models.vgg import VGG19

if TYPE_CHECKING:
    import onnx_ir as ir

WEIGHT_FILES = (".safetensors", ".pth", ".npz")


class Network:
    """A features model and where it comes from. Its graph is read when it is first needed.

    Attributes:
        name: in the cache, or the file's name.
        path: its file.
        choice: what "auto" took and how to get the other, in one sentence; "" where the network was named.
        facts: what is known without the graph.
        sha256: the hash of the file.
        metadata: what the file says of itself: preprocessing, licence, attribution.
    """

    def __init__(self, path: Path, choice: str = "") -> None:
        """Find out the facts, from an earlier run or from the file.

        Raises:
            ImpastoError: the file cannot be read.
        """
        self.name, self.path, self.choice = path.stem, path, choice
        self._lock = threading.Lock()
        self._model: ir.Model | None = None
        self._stamp = stamp(path)
        known = recall(path)
        self.facts = known if known is not None else self._learned()
        self.sha256, self.metadata = self.facts.sha256, self.facts.metadata

    def misfit(self, pool: str) -> str:
        """Return what there is to say of a pooling that the network was not distilled with; "" where there is nothing.

        Args:
            pool: as in `Settings`.
        """
        if pool == "avg":
            return ""
        from impasto.export.tap_graph import CHANNELS

        if CHANNELS not in self.metadata:
            return ""
        return f"network {self.name} was distilled with --pool avg: with {pool} it is less like VGG-19"

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
                self._model, _ = _read(self.path)
            return self._model

    def find_tap(self, name: str) -> str:
        """Return the network's own name for a tap; `conv4_2` is the paper's name for `relu4_2`.

        Raises:
            ImpastoError: it has no such tap; where vgg19 has it, that is said.
        """
        try:
            return find_tap(self.facts.taps, name, self.name)
        except ImpastoError as error:
            if self.name != EMBEDDED or name.replace("conv", "relu", 1) not in VGG19.taps:
                raise
            way = f"--model {FULL}" if FULL in list_networks() else f"`impasto weights fetch {FULL}`"
            raise ImpastoError(f"{error}; {FULL} has it: {way}") from error

    def _learned(self) -> NetworkFacts:
        """Read the file for its facts, and remember them."""
        from impasto.export.tap_graph import available_taps

        with ThreadPoolExecutor(1) as background:
            digest = background.submit(sha256_of, self.path)
            self._model, whole = _read(self.path)
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
        model: "auto" (vgg19 where the cache has it, else the embedded vgg19-slim), a name that `impasto weights list`
            shows, a features model (.onnx), or a weights file (.safetensors, .pth, .npz), which is turned into a tap
            model once and then found in the cache.

    Raises:
        ImpastoError: there is no such network, or the file cannot be read.
    """
    return Network(*_chosen()) if str(model) == "auto" else Network(_resolve(model))


def _read(path: Path) -> tuple["ir.Model", bool]:
    """Return the graph of a features model, its weights as float32 and in memory; and whether it is in one file."""
    import onnx_ir as ir

    from impasto.export.half_storage import widen
    from impasto.export.serialised import hold_weights, is_whole

    try:
        features = ir.load(path)
        whole = is_whole(features)
        if not whole:
            ir.external_data.load_to_model(features)
    except Exception as error:
        raise ImpastoError(f"not an ONNX model: {path} ({type(error).__name__}); expected a features model") from error
    if not features.graph.outputs:
        raise ImpastoError(f"not a features model: {path} has no outputs; expected one per tap")
    widen(features)
    hold_weights(features)
    return features, whole


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
    name = network_name(f"{path.stem}-{sha256_of(path)[:8]}")
    if name in list_networks():
        return network_path(name)
    from impasto.export.tap_model import import_weights

    return import_weights(path, name)
