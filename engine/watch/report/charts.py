"""Line charts with a logarithmic axis, as SVG elements for a page of HTML.

Colours are classes (`line-0` to `line-7`), which the page's style sheet defines for light and dark; dashes tell lines
apart for those who do not see them.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from impasto.engine.watch.report.page import render

COLOURS = 8
_AREA = {"width": 640, "height": 340, "left": 58, "right": 624, "top": 24, "bottom": 288}
"""Of the picture and, inside it, of the axes, px."""

_MOST_DECADES = 9
_DASHES = ("none", "9 3", "2.5 2.5", "10 3 2.5 3")
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")

Line = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Chart:
    """What to draw.

    Attributes:
        name: its id in the page; others begin with it.
        title: read out, and shown by the page above it.
        x_label: below the axis.
        lines: by name, points in order of x; y of 0 and less, infinity and NaN have no place on the axis and are left
            out.
        marks: vertical lines, x and text.
    """

    name: str
    title: str
    x_label: str
    lines: Mapping[str, Line]
    marks: Sequence[tuple[float, str]] = field(default=())

    def svg(self) -> str:
        """Return the chart; a sentence instead where there is nothing to draw."""
        drawable = {name: [(x, y) for x, y in line if math.isfinite(y) and y > 0] for name, line in self.lines.items()}
        points = [point for line in drawable.values() for point in line]
        if not points:
            return "<p>No iteration was finished, so there is nothing to draw.</p>"
        axes = _Axes(points)
        courses = [
            f"{name} goes from {line[0][1]:.3g} to {line[-1][1]:.3g}" if line else f"{name} is never above 0"
            for name, line in drawable.items()
        ]
        return render(
            __package__,
            "chart.html",
            chart=self,
            area=_AREA,
            description=f"Lines on a logarithmic scale over {self.x_label}: {'; '.join(courses)}.",
            x_ticks=[(axes.x(value), f"{value:g}") for value in round_steps(0.0, axes.x_high)],
            y_ticks=[(axes.y(exponent), label) for exponent, label in axes.y_ticks()],
            marks=[(axes.x(min(max(x, 0.0), axes.x_high)), text) for x, text in self.marks],
            lines=[
                (stroke(index), [(axes.x(x), axes.y(math.log10(y))) for x, y in line])
                for index, line in enumerate(drawable.values())
                if line
            ],
        )


class _Axes:
    """Data to pixels: x from 0 to its highest value, y from one power of ten to another, which are exponents here."""

    def __init__(self, points: Line) -> None:
        exponents = [math.log10(y) for _, y in points]
        self.y_low = math.floor(min(exponents))
        self.y_high = max(math.ceil(max(exponents)), self.y_low + 1)
        self.x_high = max(x for x, _ in points) or 1.0

    def x(self, value: float) -> float:
        """Return where a value is, px."""
        return _AREA["left"] + value / self.x_high * (_AREA["right"] - _AREA["left"])

    def y(self, exponent: float) -> float:
        """Return where the value of that decimal logarithm is, px."""
        share = (exponent - self.y_low) / (self.y_high - self.y_low)
        return _AREA["bottom"] - share * (_AREA["bottom"] - _AREA["top"])

    def y_ticks(self) -> list[tuple[float, str]]:
        """Return exponent and label of each power of ten, and of its 2 and 5 where there are few powers."""
        decades = self.y_high - self.y_low
        step = -(-decades // _MOST_DECADES)
        ticks = [(float(power), _power(power)) for power in range(self.y_low, self.y_high + 1, step)]
        if decades <= 2:
            ticks += [
                (power + math.log10(digit), f"{digit}·{_power(power)}")
                for power in range(self.y_low, self.y_high)
                for digit in (2, 5)
            ]
        return ticks


def stroke(index: int) -> tuple[int, str]:
    """Return the number of a line's colour, and its dashes; no two of the first 32 lines have both in common."""
    return index % COLOURS, _DASHES[(index + index // COLOURS) % len(_DASHES)]


def round_steps(low: float, high: float) -> list[float]:
    """Return about six round numbers (1, 2 or 5 times a power of ten apart) from low to high."""
    rough = (high - low) / 6
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(number * step, 12) for number in range(first, last + 1)]


def _power(exponent: int) -> str:
    return f"10{str(exponent).translate(_SUPERSCRIPTS)}"
