"""TIFF files of 8 or 16 bits a channel; Pillow writes no 16-bit colour.

TIFF 6.0 with Adobe's deflate compression and horizontal differencing (section 14); the whole image is one strip.
"""

import io
import zlib

from PIL import TiffImagePlugin as Tiff

from impasto.engine.images.samples import AnyArray

_DEFLATE = 8
_HORIZONTAL_DIFFERENCING = 2
_RGB = 2
_CHUNKY = 1
_UNASSOCIATED_ALPHA = 2
_COMPRESSION_LEVEL = 6


def encode_tiff(samples: AnyArray, profile: bytes, description: str | None = None) -> bytes:
    """Return a little-endian TIFF file; the same bytes for the same arguments.

    Args:
        samples: uint8 or uint16, H x W x 3 (RGB) or H x W x 4 (RGBA).
        profile: the ICC profile of the colours.
        description: ASCII text for tag 270.
    """
    height, width, channels = samples.shape
    differences = samples.copy()
    differences[:, 1:] -= samples[:, :-1]  # modulo 2^bits
    strip = zlib.compress(differences.astype(samples.dtype.newbyteorder("<")).tobytes(), _COMPRESSION_LEVEL)
    tags = Tiff.ImageFileDirectory_v2(prefix=Tiff.II)
    tags[Tiff.IMAGEWIDTH] = width
    tags[Tiff.IMAGELENGTH] = height
    tags[Tiff.BITSPERSAMPLE] = (8 * samples.itemsize,) * channels
    tags[Tiff.COMPRESSION] = _DEFLATE
    tags[Tiff.PHOTOMETRIC_INTERPRETATION] = _RGB
    tags[Tiff.SAMPLESPERPIXEL] = channels
    tags[Tiff.ROWSPERSTRIP] = height
    tags[Tiff.STRIPOFFSETS] = 0  # counted from the end of the tags, where the strip follows
    tags[Tiff.STRIPBYTECOUNTS] = len(strip)
    tags[Tiff.PLANAR_CONFIGURATION] = _CHUNKY
    tags[Tiff.PREDICTOR] = _HORIZONTAL_DIFFERENCING
    if channels == 4:
        tags[Tiff.EXTRASAMPLES] = _UNASSOCIATED_ALPHA
    tags[Tiff.ICCPROFILE] = profile
    if description:
        tags[Tiff.IMAGEDESCRIPTION] = description
    file = io.BytesIO()
    tags.save(file)
    return file.getvalue() + strip
