"""The current image in the terminal, without holding up the run."""

from impasto.engine.watch.preview.pace import Pace
from impasto.engine.watch.preview.preview import Preview, open_preview
from impasto.engine.watch.preview.terminals import AUTO, KINDS, detect

__all__ = ["AUTO", "KINDS", "Pace", "Preview", "detect", "open_preview"]
