"""A page from runs. Everything is in it, and its policy forbids the browser to load anything else."""

import base64
from collections.abc import Mapping, Sequence
from html import escape

from impasto.engine.watch.report.look import SCRIPT, style_sheet

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


def page(title: str, parts: Sequence[str]) -> str:
    """Return an HTML document.

    Args:
        title: of the window; plain text.
        parts: HTML.
    """
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(title)}</title>",
            '<link rel="icon" href="data:,">',
            f"<style>{style_sheet()}</style>",
            "</head>",
            "<body>",
            *parts,
            f"<script>{SCRIPT}</script>",
            "</body>",
            "</html>",
            "",
        ]
    )


def image(file: tuple[str, bytes], alt: str, extra: str = "") -> str:
    """Return an img element that holds its file.

    Args:
        file: media type and content.
        alt: what is to be seen, as plain text.
        extra: more attributes.
    """
    kind, content = file
    data = base64.b64encode(content).decode("ascii")
    return f'<img src="data:{kind};base64,{data}" alt="{escape(alt)}"{extra}>'


def shared(files: Mapping[str, tuple[str, bytes]]) -> str:
    """Return a style attribute with images for `shared_image`, so that the page holds each of them once.

    Args:
        files: media type and content by name; names are letters, digits and hyphens.
    """
    encoded = {name: (kind, base64.b64encode(content).decode("ascii")) for name, (kind, content) in files.items()}
    variables = "".join(f"--{name}: url(data:{kind};base64,{data}); " for name, (kind, data) in encoded.items())
    return f' style="{variables}"'


def shared_image(name: str, alt: str, more: str = "", style: str = "") -> str:
    """Return an element that shows an image of `shared`, inside the element that has its attribute.

    Args:
        name: as it was given there.
        alt: what is to be seen, as plain text.
        more: classes.
        style: CSS, such as its proportions.
    """
    look = f"background-image: var(--{name}); {style}"
    return f'<div class="shared {more}" role="img" aria-label="{escape(alt)}" style="{look}"></div>'


def comparison(
    name: str,
    before: tuple[str, bytes] | str,
    after: tuple[str, bytes],
    *,
    labels: tuple[str, str],
    alts: tuple[str, str],
    size: tuple[int, int],
    of: str = "",
) -> str:
    """Return two images on top of each other and a slider that moves the border between them.

    Args:
        name: the id of the slider.
        before: media type and file of the image on the left; or the name of a `shared` one.
        after: of the image on the right, which gives the proportions.
        labels: what they are in a word or two, as plain text.
        alts: what is to be seen on them, as plain text.
        size: height and width, px, of the image on the right.
        of: what it is about, as plain text, on a page with more than one.
    """
    height, width = size
    left, right = (escape(label) for label in labels)
    shown_px = max(width, 512)
    shown_before = (
        shared_image(before, alts[0], "before")
        if isinstance(before, str)
        else image(before, alts[0], ' class="before" draggable="false"')
    )
    about = f": {escape(of)}" if of else ""
    return f"""<div class="compare" style="width: min({shown_px}px, calc(85vh * {width} / {height}))">
<div class="frame" style="aspect-ratio: {width} / {height}">
{image(after, alts[1], ' class="after" draggable="false"')}
{shown_before}
<span class="divider" aria-hidden="true"></span>
</div>
<input type="range" id="{name}" min="0" max="100" value="50" autocomplete="off"
 aria-label="Border between {left} and {right}{about}" data-before="{left}" data-after="{right}">
<div class="ends" aria-hidden="true"><span>{left}</span><span>{right}</span></div>
</div>"""


def figure(file: tuple[str, bytes], alt: str, caption: str) -> str:
    """Return an image with a line below it."""
    return f"<figure>{image(file, alt)}<figcaption>{escape(caption)}</figcaption></figure>"


def table(caption: str, rows: Mapping[str, str]) -> str:
    """Return names and values as a table of two columns."""
    lines = [f'<tr><th scope="row">{escape(name)}</th><td>{escape(value)}</td></tr>' for name, value in rows.items()]
    return "\n".join(["<table>", f"<caption>{escape(caption)}</caption>", *lines, "</table>"])


def tables(content: Mapping[str, Mapping[str, str]]) -> str:
    """Return tables of two columns beside each other, by caption."""
    columns = "".join(f"<div>{table(caption, rows)}</div>" for caption, rows in content.items())
    return f'<div class="columns">{columns}</div>'


def command_section(command: str) -> list[str]:
    """Return a section that shows a command; nothing where there is none."""
    if not command:
        return []
    return [
        '<section aria-labelledby="command">',
        '<h2 id="command">The command</h2>',
        f"<pre><code>{escape(command)}</code></pre>",
        "</section>",
    ]
