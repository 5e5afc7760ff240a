"""The current image in the terminal, without holding up the run."""

from impasto.engine.preview.pace import Pace
from impasto.engine.preview.preview import Preview, open_preview
from impasto.engine.preview.terminals import AUTO, KINDS, detect

__all__ = ["AUTO", "KINDS", "Pace", "Preview", "detect", "open_preview"]
