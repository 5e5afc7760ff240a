"""The figure as a page that needs no other file: every cell with its losses, and what it was made from."""

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from impasto.engine.figures.plan import Cell, Plan
from impasto.engine.figures.record import Record
from impasto.engine.figures.sheet import note
from impasto.engine.images import encode_for_page, read_image
from impasto.engine.watch.report.page import figure, image, page
from impasto.models.store import atomic_file

AFTER = "After Gatys, Ecker and Bethge, A Neural Algorithm of Artistic Style, arXiv:1508.06576."
MOST_PX = 1024  # longer sides of cells are reduced, for the page's sake
TITLE_PX = 128  # the width of the titles of rows
LEAST_COLUMN_PX, COLUMN_PX = 128, 224
"""A column is at least the one and at most the other, or as wide as its cells where they are between or above."""


def write_page(plan: Plan, record: Record, path: Path, made_with: Mapping[str, Any]) -> None:
    """Write the page of a figure whose cells are all finished.

    Raises:
        ImpastoError: it cannot be written.
    """
    with atomic_file(path, durable=True) as part:
        part.write_text(_Page(plan, record).html(note(plan, record, made_with)), encoding="utf-8")


class _Page:
    """Originals are shown as large as the cells."""

    def __init__(self, plan: Plan, record: Record) -> None:
        self._plan, self._record = plan, record
        entries = record.cells.values()
        self._long_side_px = min(MOST_PX, max(max(entry["width"], entry["height"]) for entry in entries))
        self._widest_px = min(MOST_PX, max(entry["width"] for entry in entries))

    def html(self, made: str) -> str:
        """Return the page; `made` says how the cells were made."""
        title = f"Figure {self._plan.number}. {self._plan.title}"
        parts = [
            f"<h1>{escape(title)}</h1>",
            f'<p class="faint">{escape(made)}</p>',
            f'<p class="faint">{AFTER}</p>',
            "<main>",
            *([] if any(self._plan.originals) else [self._originals()]),
            self._cells(),
            "<h2>Losses</h2>",
            self._losses(),
            "</main>",
        ]
        return page(title, parts)

    def _originals(self) -> str:
        """Return the inputs beside each other, for a figure that has none beside its rows."""
        shown = (
            figure(self._encoded(path), f"The {kind} image {path.name}", f"{kind} image: {path.name}")
            for kind, path in self._plan.inputs
        )
        return f'<div class="originals">{"".join(shown)}</div>'

    def _cells(self) -> str:
        """Return the cells as a table of equal columns, with the titles of rows and columns as its headers."""
        plan = self._plan
        has_originals, has_titles = any(plan.originals), any(plan.rows)
        count = max(cell.column for cell in plan.cells) + 1 + has_originals
        title_px = TITLE_PX if has_titles else 0
        least_px, most_px = (
            title_px + count * min(max(self._widest_px, least), most)
            for least, most in ((LEAST_COLUMN_PX, COLUMN_PX), (COLUMN_PX, MOST_PX))
        )
        lines = [
            '<div class="scroll" role="region" aria-label="The cells" tabindex="0">',
            f'<table class="cells" style="width: min(100%, {most_px}px); min-width: {least_px}px">',
            f'<colgroup><col style="width: {title_px}px"></colgroup>' if has_titles else "",
        ]
        if plan.columns:
            headers = "".join(f'<th scope="col">{escape(column)}</th>' for column in plan.columns)
            lines.append(f"<thead><tr>{'<td></td>' * (has_titles + has_originals)}{headers}</tr></thead>")
        lines.append("<tbody>")
        for index, title in enumerate(plan.rows):
            lines.append("<tr>")
            if has_titles:
                lines.append(f'<th scope="row">{escape(title)}</th>')
            if has_originals:
                lines.append(f"<td>{self._original(plan.originals[index])}</td>")
            lines += [self._cell(cell) for cell in plan.cells if cell.row == index]
            lines.append("</tr>")
        return "\n".join([*filter(None, lines), "</tbody></table></div>"])

    def _original(self, path: Path | None) -> str:
        return figure(self._encoded(path), f"The original, {path.name}", path.name) if path else ""

    def _cell(self, cell: Cell) -> str:
        entry = self._record.cells[cell.name]
        caption = f"{escape(cell.caption)} " if cell.caption else ""
        losses = "".join(
            f'<span class="loss">{name} {entry[f"{name}_loss"]:.3g}</span>'
            for name in ("content", "style")
            if _has(entry, name)
        )
        told = f"<div>{caption}{losses}</div>"
        if self._plan.insets and cell.style:
            told = image(self._encoded(cell.style), f"The style image {cell.style.name}") + told
        alt = f"{cell.description}, after {entry['evaluations']} evaluations"
        shown = image(encode_for_page(read_image(self._record.image(cell)), MOST_PX), alt)
        return f"<td><figure>{shown}<figcaption>{told}</figcaption></figure></td>"

    def _losses(self) -> str:
        """Return what the cells came to, as a table."""
        lines = [
            '<div class="scroll" role="region" aria-label="Losses of the cells" tabindex="0"><table>',
            "<caption>Content: equation 1. Style: equation 5, the sum of w E. Both without alpha and beta.</caption>",
            '<thead><tr><th scope="col">cell</th><th scope="col" class="number">content</th>'
            '<th scope="col" class="number">style</th><th scope="col" class="number">share of the start</th>'
            '<th scope="col" class="number">evaluations</th></tr></thead><tbody>',
        ]
        for cell in self._plan.cells:
            entry = self._record.cells[cell.name]
            share = entry["loss"] / max(sum(entry["initial_terms"].values()), 1e-30)
            values = [f"{entry[f'{name}_loss']:.4g}" if _has(entry, name) else "" for name in ("content", "style")]
            texts = (*values, f"{share:.2e}", entry["evaluations"])
            numbers = "".join(f'<td class="number">{text}</td>' for text in texts)
            lines.append(f'<tr><th scope="row">{escape(cell.description)}</th>{numbers}</tr>')
        return "\n".join([*lines, "</tbody></table></div>"])

    def _encoded(self, path: Path) -> tuple[str, bytes]:
        return encode_for_page(read_image(path), self._long_side_px)


def _has(entry: Mapping[str, Any], name: str) -> bool:
    return entry[f"{name}_loss"] is not None
