"""The workshop of an engine: the network, provider and compiler that all its jobs use."""

from collections.abc import Mapping
from functools import partial
from importlib import metadata
from typing import Any

from impasto.engine.compile.compiler import Compiler
from impasto.engine.compile.network import Network
from impasto.engine.device.placement import LoopPlacement
from impasto.engine.images import Picture
from impasto.engine.inputs.pictures import Painting
from impasto.engine.runtime import providers
from impasto.engine.runtime.providers import Provider
from impasto.models.version import VERSION


class Workshop:
    """Holds the network, the provider and the compiler. A change to a safer precision replaces the last two.

    Attributes:
        network: the network of all jobs.
        provider: the provider in use.
        compiler: makes evaluators on that provider.
        placement: where optimisers run.
    """

    def __init__(
        self, network: Network, provider: Provider, threads: int, placement: LoopPlacement, *, checks_memory: bool
    ) -> None:
        self.network, self.provider, self.placement = network, provider, placement
        self._compiler = partial(Compiler, network, threads=threads, placement=placement, checks_memory=checks_memory)
        self.compiler = self._compiler(provider)

    def has_safer(self, provider: Provider) -> bool:
        """Return whether a run on a provider can continue in a safer precision."""
        return self.provider != provider or providers.safer(provider) is not None

    def make_safer(self) -> bool:
        """Change to the next safer precision that the provider has; return whether there is one."""
        safer = providers.safer(self.provider)
        if safer is None:
            return False
        self.compiler.close()
        self.provider = safer
        self.compiler = self._compiler(safer, after=self.compiler.precisions)
        return True

    def provenance(self, scene: Picture, painting: Painting) -> Mapping[str, Any]:
        """Return the origin that a result records. It has no time or place, so that equal runs give equal files."""
        return {
            "impasto": VERSION,
            "model": self.network.name,
            "model_sha256": self.network.sha256,
            "content": scene.name or None,
            "style": painting.name or None,
            "provider": self.provider.name,
            "precision": self.provider.precision,
            "versions": {"onnxruntime": self.provider.runtime_version(), "numpy": metadata.version("numpy")},
        }
