"""The terms of an objective and the names of its inputs and outputs, as plain data."""

from dataclasses import dataclass

IMAGE, WEIGHTS, LOSS, TERMS, GRADIENT = "image", "weights", "loss", "terms", "d_image"


@dataclass(frozen=True)
class Term:
    """One term of the objective.

    Attributes:
        kind: "content", "style" or "tv".
        tap: the tap that it reads; "image" for total variation.
        channels: C, the feature maps of the tap; of the network that it imitates, where that is a wider one.
        positions: M = height x width of the tap.
    """

    kind: str
    tap: str
    channels: int
    positions: int

    @property
    def name(self) -> str:
        """The name under which the term is reported: ``content_relu4_2``, ``style_relu1_1``, ``tv``."""
        return self.kind if self.kind == "tv" else f"{self.kind}_{self.tap}"

    @property
    def target(self) -> str | None:
        """The name of the target that the term is compared with; None for total variation."""
        return {"content": f"content_{self.tap}", "style": f"gram_{self.tap}", "tv": None}[self.kind]
