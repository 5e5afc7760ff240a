"""Line charts with a logarithmic axis, as SVG elements for a page of HTML.

Colours are classes (`line-0` to `line-7`), which the page's style sheet defines for light and dark; dashes tell lines
apart for those who do not see them.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape

COLOURS = 8
WIDTH, HEIGHT = 640, 340
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 16, 24, 52
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
        drawable = {name: drawable_points(line) for name, line in self.lines.items()}
        points = [point for line in drawable.values() for point in line]
        if not points:
            return "<p>No iteration was finished, so there is nothing to draw.</p>"
        axes = _Axes.around(points)
        parts = [
            f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-labelledby="{self.name}-title {self.name}-desc">',
            f'<title id="{self.name}-title">{escape(self.title)}</title>',
            f'<desc id="{self.name}-desc">{escape(self._description(drawable))}</desc>',
            *axes.y_grid(),
            *axes.x_grid(self.x_label),
            *(_mark(axes, x, text) for x, text in self.marks),
            *(_polyline(axes, index, line) for index, line in enumerate(drawable.values()) if line),
            "</svg>",
        ]
        return "\n".join(parts)

    def _description(self, lines: Mapping[str, Line]) -> str:
        """Say in words what a reader sees."""
        courses = [
            f"{name} goes from {line[0][1]:.3g} to {line[-1][1]:.3g}" if line else f"{name} is never above 0"
            for name, line in lines.items()
        ]
        return f"Lines on a logarithmic scale over {self.x_label}: {'; '.join(courses)}."


@dataclass(frozen=True)
class _Axes:
    """Data to pixels.

    Attributes:
        x_low: left end, likewise the others; y is a power of ten.
    """

    x_low: float
    x_high: float
    y_low: int
    y_high: int

    @classmethod
    def around(cls, points: Line) -> "_Axes":
        """Return axes that hold all points, y from one power of ten to another."""
        exponents = [math.log10(y) for _, y in points]
        low, high = math.floor(min(exponents)), math.ceil(max(exponents))
        x_high = max(x for x, _ in points)
        return cls(0.0, x_high if x_high > 0 else 1.0, low, max(high, low + 1))

    def x(self, value: float) -> float:
        return _LEFT + (value - self.x_low) / (self.x_high - self.x_low) * (WIDTH - _LEFT - _RIGHT)

    def y(self, exponent: float) -> float:
        """Return where the value of that decimal logarithm is."""
        share = (exponent - self.y_low) / (self.y_high - self.y_low)
        return HEIGHT - _BOTTOM - share * (HEIGHT - _TOP - _BOTTOM)

    def y_grid(self) -> list[str]:
        """Return a line and a label per power of ten, and labels at 2 and 5 where there are few powers."""
        decades = self.y_high - self.y_low
        step = -(-decades // _MOST_DECADES)
        ticks = [(float(power), _power(power)) for power in range(self.y_low, self.y_high + 1, step)]
        if decades <= 2:
            ticks += [
                (power + math.log10(digit), f"{digit}·{_power(power)}")
                for power in range(self.y_low, self.y_high)
                for digit in (2, 5)
            ]
        left, right = _LEFT, WIDTH - _RIGHT
        return [
            f'<path class="grid" d="M{left} {self.y(exponent):.1f}H{right}"/>'
            f'<text x="{left - 6}" y="{self.y(exponent) + 5:.1f}" text-anchor="end">{label}</text>'
            for exponent, label in ticks
        ]

    def x_grid(self, label: str) -> list[str]:
        bottom = HEIGHT - _BOTTOM
        ticks = [
            f'<path class="grid" d="M{self.x(value):.1f} {_TOP}V{bottom}"/>'
            f'<text x="{self.x(value):.1f}" y="{bottom + 19}" text-anchor="middle">{value:g}</text>'
            for value in round_steps(self.x_low, self.x_high)
        ]
        middle = (_LEFT + WIDTH - _RIGHT) / 2
        return [*ticks, f'<text x="{middle:g}" y="{HEIGHT - 8}" text-anchor="middle">{escape(label)}</text>']


def swatch(index: int) -> str:
    """Return a sample of a line for a legend."""
    return f'<svg class="swatch" viewBox="0 0 36 10" aria-hidden="true"><path {_stroke(index)} d="M2 5H34"/></svg>'


def drawable_points(line: Line) -> list[tuple[float, float]]:
    """Return the points that a logarithmic axis has a place for."""
    return [(x, y) for x, y in line if math.isfinite(y) and y > 0]


def round_steps(low: float, high: float) -> list[float]:
    """Return about six round numbers (1, 2 or 5 times a power of ten apart) from low to high."""
    rough = (high - low) / 6
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(number * step, 12) for number in range(first, last + 1)]


def _polyline(axes: _Axes, index: int, line: Line) -> str:
    if len(line) == 1:
        x, y = line[0]
        return f'<circle {_stroke(index)} cx="{axes.x(x):.1f}" cy="{axes.y(math.log10(y)):.1f}" r="2"/>'
    points = " ".join(f"{axes.x(x):.1f},{axes.y(math.log10(y)):.1f}" for x, y in line)
    return f'<polyline {_stroke(index)} points="{points}"/>'


def _stroke(index: int) -> str:
    """Return colour and dashes; no two of the first 32 lines have both in common."""
    dashes = _DASHES[(index + index // COLOURS) % len(_DASHES)]
    return f'class="line line-{index % COLOURS}" stroke-dasharray="{dashes}"'


def _mark(axes: _Axes, x: float, text: str) -> str:
    at = axes.x(min(max(x, axes.x_low), axes.x_high))
    anchor = "end" if at > WIDTH / 2 else "start"
    return (
        f'<path class="mark" d="M{at:.1f} {_TOP}V{HEIGHT - _BOTTOM}"/>'
        f'<text x="{at:.1f}" y="{_TOP - 7}" text-anchor="{anchor}">{escape(text)}</text>'
    )


def _power(exponent: int) -> str:
    return f"10{str(exponent).translate(_SUPERSCRIPTS)}"
