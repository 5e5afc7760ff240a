"""Graphs for programs without Python: of any size, with images as bytes, and with their weights in one file."""

from impasto.export.bundle.free_size import free_size
from impasto.export.bundle.pixels import PICTURE, pixels_model, with_picture
from impasto.export.bundle.render_loop import EVALUATIONS, render_loop
from impasto.export.bundle.weights_file import WEIGHTS_FILE, write_with_shared_weights

__all__ = [
    "EVALUATIONS",
    "PICTURE",
    "WEIGHTS_FILE",
    "free_size",
    "pixels_model",
    "render_loop",
    "with_picture",
    "write_with_shared_weights",
]
