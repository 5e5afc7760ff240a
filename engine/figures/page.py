"""The figure as a page that needs no other file: every cell with its losses."""

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from impasto.engine.figures.plan import Cell, Plan
from impasto.engine.figures.record import Record
from impasto.engine.figures.sheet import note
from impasto.engine.images import encode_for_page, read_image
from impasto.engine.report.page import image, page
from impasto.models.store import atomic_file

MOST_PX = 1024


def write_page(plan: Plan, record: Record, path: Path, made_with: Mapping[str, Any]) -> None:
    """Write the page of a figure whose cells are all finished.

    Raises:
        ImpastoError: it cannot be written.
    """
    title = f"Figure {plan.number}. {plan.title}"
    parts = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="faint">{escape(note(plan, record, made_with))}</p>',
        '<p class="faint">After Gatys, Ecker and Bethge, A Neural Algorithm of Artistic Style, arXiv:1508.06576.</p>',
        "<main>",
        _pictures(plan, record),
        "<h2>Losses</h2>",
        _losses(plan, record),
        "</main>",
    ]
    with atomic_file(path, durable=True) as part:
        part.write_text(page(title, parts), encoding="utf-8")


def _pictures(plan: Plan, record: Record) -> str:
    """Return the cells as a table, with the titles of rows and columns as its headers."""
    has_originals, has_titles = any(plan.originals), any(plan.rows)
    lines = ['<div class="scroll"><table>']
    if plan.columns:
        headers = "".join(f'<th scope="col">{escape(column)}</th>' for column in plan.columns)
        lines.append(f"<thead><tr>{'<td></td>' * (has_titles + has_originals)}{headers}</tr></thead>")
    lines.append("<tbody>")
    for index, title in enumerate(plan.rows):
        lines.append("<tr>")
        if has_titles:
            lines.append(f'<th scope="row">{escape(title)}</th>')
        original = plan.originals[index]
        if has_originals:
            shown = f"{_image(original, f'The original, {original.name}')}{escape(original.name)}" if original else ""
            lines.append(f"<td>{shown}</td>")
        lines += [_cell(cell, record) for cell in plan.cells if cell.row == index]
        lines.append("</tr>")
    return "\n".join([*lines, "</tbody></table></div>"])


def _cell(cell: Cell, record: Record) -> str:
    entry = record.cells[cell.name]
    losses = ", ".join(f"{name} {entry[f'{name}_loss']:.3g}" for name in ("content", "style") if _has(entry, name))
    caption = f"{escape(cell.caption)}<br>" if cell.caption else ""
    alt = f"{cell.description}, after {entry['evaluations']} evaluations"
    return f"<td><figure>{_image(record.image(cell), alt)}<figcaption>{caption}{losses}</figcaption></figure></td>"


def _losses(plan: Plan, record: Record) -> str:
    """Return what the cells came to, as a table."""
    lines = [
        '<div class="scroll"><table>',
        "<caption>Content: equation 1. Style: equation 5, the sum of w E. Both without alpha and beta.</caption>",
        '<thead><tr><th scope="col">cell</th><th scope="col" class="number">content</th>'
        '<th scope="col" class="number">style</th><th scope="col" class="number">share of the start</th>'
        '<th scope="col" class="number">evaluations</th></tr></thead><tbody>',
    ]
    for cell in plan.cells:
        entry = record.cells[cell.name]
        share = entry["loss"] / max(sum(entry["initial_terms"].values()), 1e-30)
        values = [f"{entry[f'{name}_loss']:.4g}" if _has(entry, name) else "" for name in ("content", "style")]
        numbers = "".join(f'<td class="number">{text}</td>' for text in (*values, f"{share:.2e}", entry["evaluations"]))
        lines.append(f'<tr><th scope="row">{escape(cell.description)}</th>{numbers}</tr>')
    return "\n".join([*lines, "</tbody></table></div>"])


def _has(entry: Mapping[str, Any], name: str) -> bool:
    return entry[f"{name}_loss"] is not None


def _image(path: Path, alt: str) -> str:
    return image(encode_for_page(read_image(path), MOST_PX), alt)
