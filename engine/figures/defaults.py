"""The images of a figure for which none are given: four of the project's own, small, in the package."""

from collections.abc import Sequence
from pathlib import Path

FOLDER = Path(__file__).parent / "pictures"
CONTENT = FOLDER / "harbour.jpg"
STYLES = tuple(FOLDER / name for name in ("swirls.jpg", "mosaic.jpg", "woodcut.jpg"))


def with_defaults(number: int, content: Path | None, styles: Sequence[Path]) -> tuple[Path | None, tuple[Path, ...]]:
    """Return the content image and the style images of a figure.

    Args:
        number: 1, 2 or 3. Figure 1 with one image is that image's row alone; the others need both.
        content: as given, or None.
        styles: as given; none are the package's, three for figure 2 and else one.
    """
    if number == 1 and (content or styles):
        return content, tuple(styles)
    return content or CONTENT, tuple(styles) or STYLES[: 3 if number == 2 else 1]


def names_of_defaults(paths: Sequence[Path]) -> str:
    """Say which of some images are the package's; "" where none is."""
    names = [path.name for path in paths if path.parent == FOLDER]
    return f"from the package: {', '.join(names)}" if names else ""
