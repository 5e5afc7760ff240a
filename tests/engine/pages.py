"""A report read back: its elements, and the numbers in its charts."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from xml.etree import ElementTree

SVG = re.compile(r"<svg viewBox.*?</svg>", re.DOTALL)
DIGITS = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")
VOID = {"meta", "link", "img", "input", "br"}


@dataclass
class Element:
    tag: str
    attributes: Mapping[str, str]
    text: str = ""


@dataclass
class Document(HTMLParser):
    """Collects elements with the text directly inside them, and refuses tags that do not match."""

    elements: list[Element] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self._open: list[Element] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs})
        assert len(element.attributes) == len(attrs), f"an attribute of {tag} is there twice"
        self.elements.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(Element(tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop().tag == tag

    def handle_data(self, data: str) -> None:
        if self._open:
            self._open[-1].text += data

    def every(self, tag: str) -> list[Element]:
        return [element for element in self.elements if element.tag == tag]

    def ended(self) -> bool:
        return not self._open


def read(html: str) -> Document:
    document = Document()
    document.feed(html)
    document.close()
    assert document.ended()
    return document


def charts(html: str) -> list[ElementTree.Element]:
    return [ElementTree.fromstring(text) for text in SVG.findall(html) if "swatch" not in text]  # noqa: S314


def polylines(chart: ElementTree.Element) -> list[list[tuple[float, float]]]:
    """The lines of a chart in the units of its axes, which are found by their labels."""
    x_at, y_at = _scale(chart, "middle", float), _scale(chart, "end", _exponent)
    return [
        [(x_at(float(x)), 10 ** y_at(float(y))) for x, y in (pair.split(",") for pair in line.split())]
        for line in (element.attrib["points"] for element in chart.iter("polyline"))
    ]


def _scale(chart: ElementTree.Element, anchor: str, read_label: Callable[[str], float]) -> Callable[[float], float]:
    """The map from pixels to a value that the first and the last label of an axis give."""
    places = []
    grid = None
    for element in chart:
        if element.tag == "path" and element.attrib.get("class") == "grid":
            grid = re.match(r"M([\d.]+) ([\d.]+)", element.attrib["d"])
        elif element.tag == "text" and element.attrib.get("text-anchor") == anchor and grid is not None:
            try:
                places.append((float(grid[1 if anchor == "middle" else 2]), read_label(str(element.text))))
            except ValueError:
                continue  # the name of the axis
    places.sort()
    (first_px, first), (last_px, last) = places[0], places[-1]
    return lambda px: first + (px - first_px) / (last_px - first_px) * (last - first)


def _exponent(label: str) -> float:
    match = re.fullmatch(r"10([⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)", label)
    if match is None:
        raise ValueError(label)
    return float(match[1].translate(DIGITS))
