"""The figure as one labelled picture."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from impasto.engine.figures.plan import Plan
from impasto.engine.figures.record import Record
from impasto.engine.images import Picture, fit_long_side, read_image, write_image
from impasto.engine.images.sheet import Labelled, SheetRow, draw_sheet

LEAST_PX = 800
"""Of all columns together: small cells are enlarged, by a whole number, so that the labels are sharp in a README."""


def write_sheet(plan: Plan, record: Record, path: Path, made_with: Mapping[str, Any]) -> None:
    """Write the sheet of a figure whose cells are all finished.

    Raises:
        ImpastoError: it cannot be written.
    """
    pictures = {cell.name: read_image(record.image(cell)) for cell in plan.cells}
    widest_px = max(picture.width for picture in pictures.values())
    columns = max(cell.column for cell in plan.cells) + 1 + any(plan.originals)
    factor = math.ceil(LEAST_PX / (columns * widest_px))
    pictures = {name: shown.resized(shown.height * factor, shown.width * factor) for name, shown in pictures.items()}
    long_side_px = max(max(picture.height, picture.width) for picture in pictures.values())
    rows = []
    for index, title in enumerate(plan.rows):
        original = plan.originals[index]
        row: list[Labelled | None] = []
        if any(plan.originals):
            row.append(Labelled(_fitted(original, long_side_px), original.name) if original else None)
        for cell in plan.cells:
            if cell.row == index:
                inset = _fitted(cell.style, long_side_px) if plan.insets and cell.style else None
                row.append(Labelled(pictures[cell.name].pixels, cell.caption, inset))
        rows.append(SheetRow(title, row))
    titles = ["", *plan.columns] if plan.columns and any(plan.originals) else plan.columns
    sheet = draw_sheet(f"Figure {plan.number}. {plan.title}", titles, rows, note(plan, record, made_with))
    write_image(path, sheet)


def note(plan: Plan, record: Record, made_with: Mapping[str, Any]) -> str:
    """Say in a line how the cells were made."""
    settings = plan.cells[0].settings
    evaluations = sorted({entry["evaluations"] for entry in record.cells.values()})
    counted = " to ".join(str(count) for count in dict.fromkeys((evaluations[0], evaluations[-1])))
    sizes = sorted({(entry["width"], entry["height"]) for entry in record.cells.values()})
    size = " and ".join(f"{width} x {height}" for width, height in sizes)
    images = dict.fromkeys(path.name for _, path in plan.inputs)
    return (
        f"{', '.join(images)}; {made_with['model']} on {made_with['provider']}, {made_with['precision']}; "
        f"{size} px, {counted} evaluations, {settings.pool} pooling, from {settings.init}, "
        f"seed {settings.seed}; impasto {made_with['impasto']}"
    )


def _fitted(path: Path, long_side_px: int) -> np.ndarray:
    picture: Picture = read_image(path)
    return picture.resized(*fit_long_side(picture.height, picture.width, long_side_px)).pixels
