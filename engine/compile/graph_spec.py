"""Specifications of graphs, and the key of runs that can share an evaluation."""

from dataclasses import dataclass, replace

from impasto.engine.optimisers.lbfgs import LbfgsSettings
from impasto.export.terms import GRAM, SQUARED


@dataclass(frozen=True)
class GraphSpec:
    """Everything except the network that a run's graph depends on. Runs with the same spec can use the same session.

    Attributes:
        content_taps: taps of the content terms, as the network calls them.
        style_taps: taps of the style terms.
        height: height of the image, px.
        width: width of the image, px.
        pool: "avg" or "max".
        seamless: whether every padding wraps, as for an image that tiles.
        padding: of the first convolution: "zero", "replicate" or "reflect"; "zero" in a seamless graph, which has none.
        style_loss: of the style terms; `GRAM` where the graph has none.
        tv: whether the graph has a total variation term.
        tv_norm: of that term; `SQUARED` where the graph has none.
        batch: images in one evaluation.
    """

    content_taps: tuple[str, ...]
    style_taps: tuple[str, ...]
    height: int
    width: int
    pool: str
    seamless: bool = False
    padding: str = "zero"
    style_loss: str = GRAM
    tv: bool = False
    tv_norm: str = SQUARED
    batch: int = 1

    def content_targets(self) -> "GraphSpec":
        """Return the spec of the graph that computes the targets of the content image."""
        return replace(self.without_tv(), style_taps=(), style_loss=GRAM, batch=1)

    def style_targets(self, height: int, width: int) -> "GraphSpec":
        """Return the spec of the graph that computes the targets of a style image of that size, px."""
        return replace(self.without_tv(), content_taps=(), height=height, width=width, batch=1)

    def without_tv(self) -> "GraphSpec":
        """Return the spec of the graph without total variation."""
        return replace(self, tv=False, tv_norm=SQUARED)


@dataclass(frozen=True)
class BatchKey:
    """Runs with the same key can be evaluated together.

    Attributes:
        spec: specification of the graph, with a batch of 1.
        lbfgs: settings of L-BFGS if the runs share a loop on the device, without the noise of the loss, which the
            provider adds; None if each run has its own optimiser on the host.
    """

    spec: GraphSpec
    lbfgs: LbfgsSettings | None = None
