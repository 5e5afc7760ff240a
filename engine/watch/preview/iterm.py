"""Pictures in iTerm2's protocol (iterm2.com/documentation-images.html), which WezTerm and mintty have too."""

import base64

import numpy as np
import numpy.typing as npt

from impasto.engine.images.png import encode_png


def encode(samples: npt.NDArray[np.uint8], columns: int, rows: int) -> bytes:
    """Return what shows a picture at the cursor; where the cursor is afterwards depends on the terminal.

    Args:
        samples: uint8 H x W x 3, RGB.
        columns: of cells that it fills.
        rows: likewise.
    """
    file = encode_png(samples)
    keys = f"inline=1;size={len(file)};width={columns};height={rows};preserveAspectRatio=0"
    return b"\x1b]1337;File=" + keys.encode() + b":" + base64.b64encode(file) + b"\x07"
