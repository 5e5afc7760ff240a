"""What a result says about itself: a JSON object inside the file.

PNG files hold it in a text chunk named "impasto"; JPEG, WebP and TIFF files in the image description (tag 270 of TIFF
and EXIF), after the word "impasto".
"""

from pathlib import Path
from typing import Any

from PIL import ExifTags
from PIL.PngImagePlugin import PngImageFile

from impasto.engine.images.errors import ImageError
from impasto.engine.images.formats import broken, is_npy, open_image
from impasto.engine.images.limits import own_limit_only
from impasto.models.json_record import parse_object

KEYWORD = "impasto"


def read_metadata(path: str | Path) -> dict[str, Any]:
    """Return what `write_image` wrote into a file; pixels are not decoded.

    Raises:
        ImageError: the file cannot be read, is not an image, or holds nothing from impasto.
    """
    path = Path(path)
    if is_npy(path):
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
        return parse_object(str(text))
    except ValueError as error:
        raise ImageError(
            f"{path} holds no settings: impasto did not write it, or they were lost when it was edited or converted"
        ) from error
