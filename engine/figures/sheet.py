"""The figure as one labelled picture."""

import math
from pathlib import Path

import numpy as np

from impasto.engine.figures.figure import Figure
from impasto.engine.figures.record import Record
from impasto.engine.images import read_image, write_image
from impasto.engine.images.sheet import Labelled, SheetRow, draw_sheet

LEAST_PX = 800
"""Of all columns together: small cells are enlarged, by a whole number, so that the labels are sharp in a README."""


def write_sheet(figure: Figure, record: Record, path: Path) -> None:
    """Write the sheet of a figure whose cells are all finished.

    Raises:
        ImpastoError: it cannot be written.
    """
    pictures = {cell.name: read_image(record.image(cell)) for cell in figure.cells}
    widest_px = max(picture.width for picture in pictures.values())
    columns = max(cell.column for cell in figure.cells) + 1 + any(figure.originals)
    factor = math.ceil(LEAST_PX / (columns * widest_px))
    pictures = {name: shown.resized(shown.height * factor, shown.width * factor) for name, shown in pictures.items()}
    long_side_px = max(max(picture.height, picture.width) for picture in pictures.values())
    rows = []
    for index, (title, original) in enumerate(zip(figure.rows, figure.originals, strict=True)):
        row: list[Labelled | None] = []
        if any(figure.originals):
            row.append(Labelled(_fitted(original, long_side_px), original.name) if original else None)
        for cell in figure.cells:
            if cell.row == index:
                inset = _fitted(cell.style, long_side_px) if figure.insets and cell.style else None
                row.append(Labelled(pictures[cell.name].pixels, cell.caption, inset))
        rows.append(SheetRow(title, row))
    titles = ["", *figure.columns] if figure.columns and any(figure.originals) else figure.columns
    sheet = draw_sheet(f"Figure {figure.number}. {figure.title}", titles, rows, note(figure, record))
    write_image(path, sheet)


def note(figure: Figure, record: Record) -> str:
    """Say in a line how the finished cells were made."""
    settings, asked = figure.cells[0].settings, record.asked
    images = ", ".join(dict.fromkeys(path.name for _, path in figure.inputs))
    network = f"{asked['model']} on {asked['provider']}, {asked['precision']}"
    sizes = sorted({(entry["width"], entry["height"]) for entry in record.finished})
    evaluations = sorted({entry["evaluations"] for entry in record.finished})
    made = [f"{' and '.join(f'{width} x {height}' for width, height in sizes)} px"] if sizes else []
    made += [f"{' to '.join(map(str, dict.fromkeys(evaluations[:1] + evaluations[-1:])))} evaluations"] if sizes else []
    made += [f"{settings.pool} pooling", f"from {settings.init}", f"seed {settings.seed}"]
    return f"{images}; {network}; {', '.join(made)}; impasto {asked['impasto']}"


def _fitted(path: Path, long_side_px: int) -> np.ndarray:
    return read_image(path, long_side_px).pixels
