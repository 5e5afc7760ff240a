"""Images in and out: files, PIL images and arrays become sRGB pixels in 0..1, and pixels become files.

Pillow is imported in this package and nowhere else.
"""

from impasto.engine.images.animation import check_animation, write_animation
from impasto.engine.images.embedding import data_url, reduce_colours, thumbnail
from impasto.engine.images.errors import ImageError
from impasto.engine.images.metadata import read_metadata
from impasto.engine.images.picture import (
    Picture,
    fit_long_side,
    from_nchw,
    interpolate,
    require_min_side,
    resize,
    to_nchw,
)
from impasto.engine.images.reading import Source, name_of, read_image, read_resized, read_size, read_within
from impasto.engine.images.writing import EXTENSIONS, check_writable, write_array, write_image

__all__ = [
    "EXTENSIONS",
    "ImageError",
    "Picture",
    "Source",
    "check_animation",
    "check_writable",
    "data_url",
    "fit_long_side",
    "from_nchw",
    "interpolate",
    "name_of",
    "read_image",
    "read_metadata",
    "read_resized",
    "read_size",
    "read_within",
    "reduce_colours",
    "require_min_side",
    "resize",
    "thumbnail",
    "to_nchw",
    "write_animation",
    "write_array",
    "write_image",
]
