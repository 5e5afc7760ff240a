"""Pictures in kitty's graphics protocol (sw.kovidgoyal.net/kitty/graphics-protocol), which Ghostty has too."""

import base64
import zlib

import numpy as np
import numpy.typing as npt

_CHUNK_BYTES = 4096  # the protocol's limit


def encode(samples: npt.NDArray[np.uint8], columns: int, rows: int, identity: int) -> bytes:
    """Return what shows a picture at the cursor and leaves the cursor there.

    A picture with the same identity is replaced. The terminal is told to answer nothing.

    Args:
        samples: uint8 H x W x 3, RGB.
        columns: of cells that it fills.
        rows: likewise.
        identity: 1 to 2^32 - 1.
    """
    height, width = samples.shape[:2]
    data = base64.b64encode(zlib.compress(samples.tobytes(), 1))
    chunks = [data[start : start + _CHUNK_BYTES] for start in range(0, len(data), _CHUNK_BYTES)]
    # Transmit and display (T), 24-bit RGB, deflated, size, identity and placement, cells, cursor stays, no answers.
    first = f"a=T,f=24,o=z,s={width},v={height},i={identity},p=1,c={columns},r={rows},C=1,q=2,"
    parts = []
    for number, chunk in enumerate(chunks):
        keys = f"{first if number == 0 else ''}m={int(number < len(chunks) - 1)}"
        parts.append(b"\x1b_G" + keys.encode() + b";" + chunk + b"\x1b\\")
    return b"".join(parts)
