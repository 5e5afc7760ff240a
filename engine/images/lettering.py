"""Text for a contact sheet: in a font that has its characters, broken into lines that fit."""

import unicodedata
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import chain

from PIL import ImageFont

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

OTHERS = ("NotoSans-Regular.ttf", "DejaVuSans.ttf", "LiberationSans-Regular.ttf", "NotoSansCJK-Regular.ttc",
          "wqy-zenhei.ttc", "DroidSansFallbackFull.ttf", "Arial Unicode.ttf", "segoeui.ttf", "msyh.ttc")  # fmt: skip
"""Files that systems have, in this order, for characters that Pillow's own font lacks: it is Latin alone."""

GAP = "..."  # all fonts have it
_BREAK_AFTER = "-_./"
_NOBODYS = "\U0010ffff"  # a code point that is no character


@dataclass(frozen=True)
class Text:
    """Lines and the font that they were measured in."""

    lines: list[str]
    font: Font


def set_text(text: str, size_px: int, width_px: float, most_lines: int | None = None) -> Text:
    """Return a text as lines that fit; characters for which there is no font are spelt out, as numbers if need be.

    Lines are broken between words, over-long words after punctuation or wherever they must be. What is still too long
    loses its middle, because names differ at their ends.

    Args:
        text: anything, such as a file's name.
        size_px: of the font.
        width_px: of a line at most; a line has a character in any case.
        most_lines: None is as many as it takes.
    """
    text = unicodedata.normalize("NFC", text)
    others = (font for name in OTHERS if (font := _of_the_system(name, size_px)))
    fonts = chain([_own(size_px)], others)
    font = next((font for font in fonts if all(_has(font, character) for character in set(text))), None)
    if font is None:
        font = _own(size_px)
        text = "".join(character if _has(font, character) else _spelt(font, character) for character in text)
    lines = _broken(text, font, width_px)
    if most_lines is not None and len(lines) > most_lines:
        shorter = [_without_middle(text, kept) for kept in range(len(text))]
        first_too_long = bisect_left(shorter, most_lines + 1, key=lambda one: len(_broken(one, font, width_px)))
        lines = _broken(shorter[max(first_too_long - 1, 0)], font, width_px)
    return Text(lines, font)


def _without_middle(text: str, kept: int) -> str:
    return text[: kept - kept // 2].rstrip() + GAP + text[len(text) - kept // 2 :].lstrip()


def _broken(text: str, font: Font, width_px: float) -> list[str]:
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and font.getlength(longer) <= width_px:
            lines[-1] = longer
        else:
            lines += _pieces(word, font, width_px)
    return lines


def _pieces(word: str, font: Font, width_px: float) -> Iterator[str]:
    while font.getlength(word) > width_px and len(word) > 1:
        count = next((n for n in range(len(word) - 1, 1, -1) if font.getlength(word[:n]) <= width_px), 1)
        mark = max(word.rfind(mark, 0, count) for mark in _BREAK_AFTER) + 1
        count = mark if mark > count // 2 else count
        yield word[:count]
        word = word[count:]
    yield word


def _spelt(font: Font, character: str) -> str:
    """Return a character without its accents, or else its number."""
    plain = "".join(part for part in unicodedata.normalize("NFKD", character) if not unicodedata.combining(part))
    return plain if plain and all(_has(font, part) for part in plain) else f"\\u{ord(character):04x}"


@cache
def _own(size_px: int) -> Font:
    return ImageFont.load_default(size_px)


@cache
def _of_the_system(name: str, size_px: int) -> Font | None:
    try:
        return ImageFont.truetype(name, size_px)
    except OSError:
        return None


@cache
def _has(font: Font, character: str) -> bool:
    """Return whether a font draws a character as something else than what it draws for those that it lacks."""
    if character.isspace():
        return True
    drawn, missing = (font.getmask(text) for text in (character, _NOBODYS))
    return unicodedata.category(character)[0] != "C" and (drawn.size, bytes(drawn)) != (missing.size, bytes(missing))
