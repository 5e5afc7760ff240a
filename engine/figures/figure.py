"""What the figures of the paper's arXiv version consist of.

1: content reconstructions from five taps, style reconstructions from five nested sets of taps, from white noise.
2: one content image in the style of several paintings.
3: one pair; rows are the nested sets (w_l = 1 / taps of the set), columns are alpha / beta.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from impasto.engine.jobs.reconstruction import STYLE_HISTORY, content_reconstruction, style_reconstruction
from impasto.engine.settings import STYLE_TAPS, Settings
from impasto.models.errors import ImpastoError

FIGURES = (1, 2, 3)

# The images of a figure for which none are given: four of the project's own, small, in the package.
PICTURES = Path(__file__).parent / "pictures"
DEFAULT_CONTENT = PICTURES / "harbour.jpg"
DEFAULT_STYLES = tuple(PICTURES / name for name in ("swirls.jpg", "mosaic.jpg", "woodcut.jpg"))

RATIOS = (1e-5, 1e-4, 1e-3, 1e-2)
NESTED = tuple(STYLE_TAPS[: count + 1] for count in range(len(STYLE_TAPS)))
FIGURE_2_COLUMNS, FIGURE_2_RATIO = 3, 1e-4
LONGEST_STEM = 60  # of a style's file in a cell's; file systems have 255 bytes for a name, a letter up to 4
FROM_NOISE: Mapping[str, Any] = {"init": "noise", "history": STYLE_HISTORY}


@dataclass(frozen=True)
class Cell:
    """One picture of a figure.

    Attributes:
        name: of its file, without the extension.
        row: from 0.
        column: from 0.
        caption: what is written below it.
        description: what it shows, for readers who do not see it.
        content: the content image, or None.
        style: the style image, or None.
        settings: of the run.
    """

    name: str
    row: int
    column: int
    caption: str
    description: str
    content: Path | None
    style: Path | None
    settings: Settings


@dataclass(frozen=True)
class Figure:
    """A figure that can be made.

    Attributes:
        number: in the paper.
        title: what it shows.
        rows: titles, "" for none.
        columns: titles above the cells; empty for none.
        originals: an image that stands before the cells of each row, or None; `insets` draws styles into the cells.
        insets: whether each cell shows its style image in a corner.
        cells: row by row, so that neighbours share a compiled graph.
    """

    number: int
    title: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    originals: tuple[Path | None, ...]
    insets: bool
    cells: tuple[Cell, ...]

    @property
    def inputs(self) -> tuple[tuple[str, Path], ...]:
        """Every image that the figure is made from, once: the "content", which cells share, then each "style"."""
        contents = [("content", cell.content) for cell in self.cells if cell.content is not None]
        styles = [("style", cell.style) for cell in self.cells if cell.style is not None]
        return tuple(dict.fromkeys(contents + styles))


def plan_figure(
    number: int,
    content: Path | None = None,
    styles: Sequence[Path] = (),
    *,
    ratio: float | None = None,
    **settings: Any,
) -> Figure:
    """Return a figure of the paper, with all its cells.

    Args:
        number: 1, 2 or 3.
        content: the content image; None is the package's. Figure 1 with one image is that image's row alone.
        styles: the style images: one, for figure 2 any number; none are the package's.
        ratio: alpha / beta of figure 2, which alone takes one; None is `FIGURE_2_RATIO`.
        settings: of `Settings`, the same for all cells; they start from noise unless these say otherwise.

    Raises:
        ImpastoError: no such figure, too many images, a ratio for another figure than 2, or a setting out of range.
    """
    if number not in FIGURES:
        raise ImpastoError(f"no figure {number}: allowed are {', '.join(map(str, FIGURES))}")
    if number != 2 and len(styles) > 1:
        raise ImpastoError(f"figure {number} has one style image, not {len(styles)}: give --style once")
    if number != 2 and ratio is not None:
        of = "no alpha/beta" if number == 1 else f"its own: {', '.join(map(_power, RATIOS))}"
        raise ImpastoError(f"bad ratio {ratio:g}: figure 2 alone takes one, and figure {number} has {of}; drop --ratio")
    if number == 1 and (content or styles):
        return _figure_1(content, styles[0] if styles else None, settings)
    content, styles = content or DEFAULT_CONTENT, styles or DEFAULT_STYLES
    if number == 2:
        return _figure_2(content, styles, FIGURE_2_RATIO if ratio is None else ratio, settings)
    return (_figure_1 if number == 1 else _figure_3)(content, styles[0], settings)


def names_of_defaults(paths: Sequence[Path]) -> str:
    """Say which of some images are the package's; "" where none is."""
    names = [path.name for path in paths if path.parent == PICTURES]
    return f"from the package: {', '.join(names)}" if names else ""


def _figure_1(content: Path | None, style: Path | None, settings: dict[str, Any]) -> Figure:
    originals = {"Content\nreconstructions": content, "Style\nreconstructions": style}
    rows = {title: path for title, path in originals.items() if path is not None}
    cells: list[Cell] = []
    if content is not None:
        for column, tap in enumerate(STYLE_TAPS):
            description = f"{content.name} reconstructed from its features at {tap}"
            chosen = content_reconstruction([tap], **settings)
            cells.append(Cell(f"content-{tap}", 0, column, tap, description, content, None, chosen))
    if style is not None:
        for column, taps in enumerate(NESTED):
            description = f"A texture with the Gram matrices of {style.name} at {_set(taps)}"
            chosen = style_reconstruction(taps, **settings)
            cells.append(Cell(f"style-{taps[-1]}", len(rows) - 1, column, _set(taps), description, None, style, chosen))
    title = "Content and style reconstructions"
    return Figure(1, title, tuple(rows), (), tuple(rows.values()), False, tuple(cells))


def _figure_2(content: Path, styles: Sequence[Path], ratio: float, settings: dict[str, Any]) -> Figure:
    chosen = Settings(content_weight=ratio, style_weight=1.0, **{**FROM_NOISE, **settings})
    cells = []
    for index, style in enumerate(styles):
        row, column = divmod(index, FIGURE_2_COLUMNS)
        description = f"{content.name} in the style of {style.name}"
        name = f"{index + 1}-{style.stem[:LONGEST_STEM]}"
        cells.append(Cell(name, row, column, style.stem, description, content, style, chosen))
    rows = ("",) * (cells[-1].row + 1)
    originals = (content, *(None for _ in rows[1:]))
    title = f"One photograph in several styles, alpha/beta {_power(ratio)}"
    return Figure(2, title, rows, (), originals, True, tuple(cells))


def _figure_3(content: Path, style: Path, settings: dict[str, Any]) -> Figure:
    cells = []
    for row, taps in enumerate(NESTED):
        for column, ratio in enumerate(RATIOS):
            chosen = Settings(style_taps=taps, content_weight=ratio, style_weight=1.0, **{**FROM_NOISE, **settings})
            power, pair = _power(ratio), f"{content.name} in the style of {style.name}"
            description = f"{pair}: style taps {_set(taps)}, alpha/beta {power}"
            cells.append(Cell(f"{taps[-1]}-{power}", row, column, "", description, content, style, chosen))
    rows = tuple(("" if row == 0 else "+ ") + taps[-1] for row, taps in enumerate(NESTED))
    columns = tuple(f"alpha/beta {_power(ratio)}" for ratio in RATIOS)
    title = "Style taps (rows, each with those above it) against alpha/beta (columns)"
    return Figure(3, title, rows, columns, (None,) * len(rows), False, tuple(cells))


def _set(taps: Sequence[str]) -> str:
    return taps[0] if len(taps) == 1 else f"{taps[0]} to {taps[-1]}"


def _power(ratio: float) -> str:
    """Write 0.0001 as 1e-4."""
    mantissa, exponent = f"{ratio:.6e}".split("e")
    return f"{float(mantissa):g}e{int(exponent)}"
