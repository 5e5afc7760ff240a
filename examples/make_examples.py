"""Make the example images: two pictures to restyle and three to take the style from.

python examples/make_examples.py [--only NAME] [--out DIR] [--long-side PIXELS]
"""

import argparse
import importlib
import io
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

PICTURES = ("harbour", "still_life", "swirls", "mosaic", "woodcut")
"""Each is made by the module of that name in ``studio``."""
LARGEST_BYTES = 295_000
QUALITIES = range(92, 60, -1)


def encode(pixels: npt.NDArray[np.uint8]) -> bytes:
    """Return a JPEG of at most LARGEST_BYTES, of the best quality that allows it."""
    image = Image.fromarray(pixels)
    for quality in QUALITIES:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=quality, optimize=True)
        if buffer.tell() <= LARGEST_BYTES:
            break
    return buffer.getvalue()


def long_side(text: str) -> int:
    """Parse a picture width: a multiple of 4 from 128 to 2048."""
    if not text.isdecimal() or not 128 <= int(text) <= 2048 or int(text) % 4:
        raise argparse.ArgumentTypeError(f"{text!r} is not a multiple of 4 from 128 to 2048")
    return int(text)


def main() -> None:
    """Render the pictures, write them and say so."""
    parser = argparse.ArgumentParser(description="Make impasto's example images.")
    parser.add_argument("--only", choices=PICTURES, help="make this one only")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder for the images")
    parser.add_argument("--long-side", type=long_side, default=1024, help="width in pixels (default 1024); 4:3")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for name in [options.only] if options.only else PICTURES:
        start = time.perf_counter()
        pixels = importlib.import_module(f"studio.{name}").render(options.long_side, options.long_side * 3 // 4)
        path = options.out / f"{name}.jpg"
        data = encode(pixels)
        path.write_bytes(data)
        seconds = time.perf_counter() - start
        print(f"{path}: {pixels.shape[1]}x{pixels.shape[0]}, {len(data) // 1000} kB, made in {seconds:.1f} s")


if __name__ == "__main__":
    main()
