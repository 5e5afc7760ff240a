"""What decides a graph."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Form:
    """Everything but the network that a graph of a run depends on: runs of one form share a session.

    Attributes:
        content_taps: taps of the content terms, as the network calls them.
        style_taps: taps of the style terms.
        height: of the image, px.
        width: of the image, px.
        pool: "avg" or "max".
        seamless: whether the image counts as repeated without end.
        tv: whether there is a total variation term.
        batch: images in one evaluation.
    """

    content_taps: tuple[str, ...]
    style_taps: tuple[str, ...]
    height: int
    width: int
    pool: str
    seamless: bool = False
    tv: bool = False
    batch: int = 1
