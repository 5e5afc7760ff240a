"""The results of a run and of an evaluation."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from impasto.engine import images
from impasto.engine import setting_checks as checks
from impasto.engine.images import Picture
from impasto.engine.inputs.scales import ScaleDone
from impasto.engine.settings import Settings

if TYPE_CHECKING:
    from impasto.engine.inputs.run_state import RunState


@dataclass(frozen=True)
class Evaluation:
    """The score of one image.

    Attributes:
        loss: the total.
        terms: every weighted term by name; they add up to the loss.
        gradient: d loss / d pixel, float32 H x W x 3, RGB, for pixels on 0..255.
        evaluation_s: seconds that one run of loss and gradient took.
    """

    loss: float
    terms: Mapping[str, float]
    gradient: np.ndarray
    evaluation_s: float


@dataclass(frozen=True)
class Result:
    """A finished picture, its losses, settings and origin.

    Attributes:
        picture: pixels float32 H x W x 3, RGB, nominally 0..1 (not clipped), and the content image's alpha.
        loss: the total at the end.
        terms: every weighted term at the end, by name.
        initial_terms: every weighted term at the start image; empty if another network evaluated it.
        iterations: accepted steps.
        evaluations: runs of loss and gradient.
        outcome: why the run ended; a name that programs can compare.
        message: why the run ended, as a sentence.
        seconds: total time.
        setup_s: the part of `seconds` before the first iteration began.
        evaluations_s: the part of `seconds` inside the evaluations; the optimiser and the events take the rest.
        settings: the settings of the run.
        provenance: names and hashes of network and images, provider, precision, versions.
        loop: "host" or "device": where the optimiser worked at the end.
        state: the final state, to continue from; None unless the caller requested it.
        scales: the sizes that the run went through, from coarse to fine; empty if it had one scale.
    """

    picture: Picture
    loss: float
    terms: Mapping[str, float]
    initial_terms: Mapping[str, float]
    iterations: int
    evaluations: int
    outcome: str
    message: str
    seconds: float
    setup_s: float
    evaluations_s: float
    settings: Settings
    provenance: Mapping[str, Any]
    loop: str = "host"
    state: "RunState | None" = None
    scales: tuple[ScaleDone, ...] = ()

    def summary(self) -> dict[str, Any]:
        """Return everything but the pixels as plain values for JSON."""
        height, width = self.picture.pixels.shape[:2]
        return {
            "loss": self.loss,
            "terms": dict(self.terms),
            "initial_terms": dict(self.initial_terms),
            "iterations": self.iterations,
            "evaluations": self.evaluations,
            "seconds": self.seconds,
            "setup_s": self.setup_s,
            "evaluations_s": self.evaluations_s,
            "width": width,
            "height": height,
            "provider": self.provenance["provider"],
            "precision": self.provenance["precision"],
            "model": self.provenance["model"],
            "loop": self.loop,
            **({"scales": [dataclasses.asdict(scale) for scale in self.scales]} if self.scales else {}),
            **{name: self.provenance[name] for name in ("refine", "draft") if name in self.provenance},
            "outcome": self.outcome,
        }

    def record(self) -> dict[str, Any]:
        """Return the settings and provenance that `save` writes into the file, as plain values for JSON."""
        record = {
            **self.provenance,
            "settings": self.settings.as_dict(),
            "loss": self.loss,
            "terms": dict(self.terms),
            "iterations": self.iterations,
            "evaluations": self.evaluations,
            "outcome": self.outcome,
        }
        if self.scales:
            counts = ("width", "height", "iterations", "evaluations")
            record["scales"] = [{name: getattr(scale, name) for name in counts} for scale in self.scales]
        return record

    def save(self, path: str | Path, *, bits: int = 8) -> None:
        """Write the picture, with its settings and provenance inside.

        The same run gives the same file, because the file records neither time nor machine.

        Args:
            path: .png, .jpg, .webp, .tif, or .npy (float32 H x W x 3, 0..255, not clipped).
            bits: per channel, 8 or 16.

        Raises:
            ImpastoError: the file cannot be written.
        """
        path, bits = checks.path("path", path), checks.whole("bits", bits)
        images.write_image(path, self.picture.pixels, self.picture.alpha, metadata=self.record(), bits=bits)
