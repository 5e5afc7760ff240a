"""What a result says about itself: a JSON object inside the file.

PNG files hold it in a text chunk named "impasto"; JPEG, WebP and TIFF files in the image description (tag 270 of TIFF
and EXIF), after the word "impasto".
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import ExifTags
from PIL.PngImagePlugin import PngImageFile

from impasto.engine.images.errors import ImageError
from impasto.engine.images.formats import broken, is_npy, open_image, read_head
from impasto.engine.images.limits import own_limit_only

KEYWORD = "impasto"


def as_json(metadata: Mapping[str, Any]) -> str:
    """Return metadata as one line of ASCII JSON."""
    return json.dumps(metadata, allow_nan=False)


def as_description(metadata: Mapping[str, Any]) -> str:
    """Return metadata as an image description."""
    return f"{KEYWORD} {as_json(metadata)}"


def read_metadata(path: str | Path) -> dict[str, Any]:
    """Return what `write_image` wrote into a file; pixels are not decoded.

    Raises:
        ImageError: the file cannot be read, is not an image, or holds nothing from impasto.
    """
    path = Path(path)
    if is_npy(read_head(path)):
        raise ImageError(
            f"{path} holds no settings: .npy files have no room for them; look at .png, .jpg, .webp or .tif"
        )
    try:
        with path.open("rb") as stream, own_limit_only():
            image = open_image(stream, path)
            if isinstance(image, PngImageFile):
                text = image.info.get(KEYWORD, "")
            else:
                keyword, _, text = str(image.getexif().get(ExifTags.Base.ImageDescription)).partition(" ")
                text = text if keyword == KEYWORD else ""
    except Exception as error:  # a plug-in may raise anything on broken data
        raise broken(path, error) from error
    try:
        metadata = json.loads(text)
    except (TypeError, ValueError):
        metadata = None
    if not isinstance(metadata, dict):
        raise ImageError(
            f"{path} holds no settings: impasto did not write it, or they were lost when it was edited or converted"
        )
    return metadata
