"""Paint every content picture in every style, as one labelled sheet.

python examples/contact_sheet.py -o docs/contact-sheet.jpg
python examples/contact_sheet.py --content a.jpg --style b.jpg --style c.jpg -o sheet.png --size 256
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from impasto.engine import Engine, Settings, preset

HERE = Path(__file__).resolve().parent
CONTENTS = [HERE / "harbour.jpg", HERE / "still_life.jpg"]
STYLES = [HERE / "swirls.jpg", HERE / "mosaic.jpg", HERE / "woodcut.jpg"]
GAP, LABEL = 8, 22
QUALITY = 88


def main() -> None:
    """Parse, paint, paste, save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--content", type=Path, action="append", help="repeatable; default: the project's own")
    parser.add_argument("--style", type=Path, action="append", help="repeatable; default: the project's own")
    parser.add_argument("--model", default="auto")
    parser.add_argument("--size", type=int, default=384)
    parser.add_argument("--preset", default="painterly")
    parser.add_argument("--cells", type=Path, help="folder in which finished cells are kept and found again")
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()
    contents, styles = arguments.content or CONTENTS, arguments.style or STYLES
    settings = preset(arguments.preset, size=arguments.size)
    with Engine(arguments.model) as engine:
        rows = [[(style.stem, small(style, arguments.size)) for style in styles]]
        for content in contents:
            row = [paint(engine, content, style, settings, arguments.cells) for style in styles]
            rows.append([(f"{content.stem} + {style.stem}", cell) for style, cell in zip(styles, row, strict=True)])
    originals = [("", None), *((content.stem, small(content, arguments.size)) for content in contents)]
    table = [[first, *row] for first, row in zip(originals, rows, strict=True)]
    sheet(table, arguments.size).save(arguments.output, quality=QUALITY)


def paint(engine: Engine, content: Path, style: Path, settings: Settings, cells: Path | None) -> Image.Image:
    """Return one cell, from its file where it was finished before."""
    path = cells / f"{content.stem}-{style.stem}.png" if cells else None
    if path is not None and path.is_file():
        return Image.open(path).convert("RGB")
    result = engine.transfer(content, style, settings)
    print(f"{content.stem} + {style.stem}: loss {result.loss:.4g} after {result.evaluations} evaluations", flush=True)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        result.save(path)
    return Image.fromarray(np.rint(np.clip(result.picture.pixels, 0, 1) * 255).astype(np.uint8))


def small(path: Path, size: int) -> Image.Image:
    """Return a picture with the cells' long side."""
    picture = Image.open(path).convert("RGB")
    picture.thumbnail((size, size), Image.Resampling.LANCZOS)
    return picture


def sheet(table: list[list[tuple[str, Image.Image | None]]], size: int) -> Image.Image:
    """Return a labelled table of pictures; every cell is as wide and high as the largest."""
    pictures = [picture for row in table for _, picture in row if picture is not None]
    width, height = max(p.width for p in pictures), max(p.height for p in pictures)
    columns = max(len(row) for row in table)
    result = Image.new(
        "RGB", (GAP + columns * (width + GAP), GAP + len(table) * (height + LABEL + GAP)), (255, 255, 255)
    )
    draw, font = ImageDraw.Draw(result), ImageFont.load_default(size=15)
    for r, row in enumerate(table):
        for c, (label, picture) in enumerate(row):
            x, y = GAP + c * (width + GAP), GAP + r * (height + LABEL + GAP)
            if picture is not None:
                result.paste(picture, (x + (width - picture.width) // 2, y + (height - picture.height) // 2))
            draw.text((x + width // 2, y + height + LABEL // 2), label, fill=(60, 60, 60), font=font, anchor="mm")
    return result


if __name__ == "__main__":
    main()
