"""Oil paint: bristled, curved, opaque brush strokes on a canvas that remembers how thick the paint is."""

from dataclasses import dataclass

import numpy as np

from studio.noise import Array, Tile, smoothstep

BATCH = 256
"""Strokes drawn at once: enough to keep numpy busy, few enough to stay in memory."""


@dataclass(frozen=True)
class Brush:
    """One layer of strokes; lengths are fractions of the picture's width.

    Attributes:
        length: Length of a stroke.
        width: Width of a stroke.
        count: Number of strokes.
        load: Thickness of the paint, 1 for a full brush.
        streaks: Lightness difference between the bristles.
    """

    length: float
    width: float
    count: int
    load: float = 1.0
    streaks: float = 0.07


class Canvas:
    """Colour (height x width x 3, 0..1) and paint thickness (height x width)."""

    def __init__(self, ground: Array) -> None:
        self.colour = ground.copy()
        self.thickness: Array = np.zeros(ground.shape[:2], np.float32)

    def stroke(self, starts: Array, colours: Array, brush: Brush, flow: Array, rng: np.random.Generator) -> None:
        """Draw strokes in the given order.

        Args:
            starts: N x 2, (x, y) in pixels where each stroke begins.
            colours: N x 3 in 0..1.
            brush: Their shape.
            flow: height x width x 2, the direction (unit vectors) that strokes follow.
            rng: Source of bristles and of the variation in size.
        """
        for first in range(0, len(starts), BATCH):
            part = slice(first, first + BATCH)
            self._batch(starts[part], colours[part], brush, flow, rng)

    def _batch(self, starts: Array, colours: Array, brush: Brush, flow: Array, rng: np.random.Generator) -> None:
        height, width = self.thickness.shape
        count = len(starts)
        along = max(int(brush.length * width / 0.8), 4)
        across = max(int(brush.width * width / 0.7), 3)
        size = rng.uniform(0.65, 1.25, (count, 1)).astype(np.float32)
        path, normal = _follow(starts, flow, along, 0.8 * size)

        s = np.linspace(0, 1, along, dtype=np.float32)
        v = np.linspace(-1, 1, across, dtype=np.float32)
        half = size * brush.width * width / 2 * _outline(s)
        points = path[:, :, None] + normal[:, :, None] * (half[:, :, None] * v)[..., None]
        bristle = _bristles(count, across, rng)
        # The brush runs dry: towards the end only the bristles with most paint still touch.
        wet = bristle[:, None, :] > (-4 + 4.6 * smoothstep(0.45, 1, s))[None, :, None]
        px, py = np.rint(points[..., 0]).astype(np.int64), np.rint(points[..., 1]).astype(np.int64)
        keep = wet & (px >= 0) & (px < width) & (py >= 0) & (py < height)

        # Wet in wet: the brush takes up some of the paint that lies where it starts.
        sx = np.clip(starts[:, 0], 0, width - 1).astype(np.int64)
        sy = np.clip(starts[:, 1], 0, height - 1).astype(np.int64)
        paint = 0.88 * colours + 0.12 * self.colour[sy, sx]
        shade = 1 + brush.streaks * bristle[:, None, :] * (0.6 + 0.4 * s)[None, :, None]
        ridge = 0.55 + 0.25 * bristle + 0.5 * np.abs(v) ** 3
        thick = brush.load * ridge[:, None, :] * (1.1 - 0.5 * s)[None, :, None]

        stroke = np.broadcast_to(np.arange(count)[:, None, None], keep.shape)[keep]
        flat = py[keep] * width + px[keep]
        self.colour.reshape(-1, 3)[flat] = np.clip(paint[stroke] * shade[keep][:, None], 0, 1)
        self.thickness.reshape(-1)[flat] = 0.35 * self.thickness.reshape(-1)[flat] + thick[keep]

    def lit(self, relief: float = 0.42, gloss: float = 0.22) -> Array:
        """Return the painting under a lamp at the upper left, which shows the relief of the paint."""
        height, width = self.thickness.shape
        weave = Tile(5, 256, 0.4, 20, 128).values
        canvas = np.tile(weave, (height // 256 + 1, width // 256 + 1))[:height, :width]
        surface = _soften(self.thickness) + 0.06 * canvas
        dy, dx = np.gradient(surface)
        slope = -(dx + dy) * np.float32(0.7)
        diffuse = 1 - relief * slope.clip(-1.2, 1.2)
        shine = gloss * smoothstep(0.25, 0.9, -slope)
        return np.asarray(np.clip(self.colour * diffuse[..., None] + shine[..., None], 0, 1), np.float32)


def _follow(starts: Array, flow: Array, steps: int, step: Array) -> tuple[Array, Array]:
    """Walk along the flow from each start; return points and unit normals, N x steps x 2."""
    height, width = flow.shape[:2]
    point: Array = starts.astype(np.float32)
    points, normals = [], []
    for _ in range(steps):
        ix = np.clip(point[:, 0], 0, width - 1).astype(np.int64)
        iy = np.clip(point[:, 1], 0, height - 1).astype(np.int64)
        direction = flow[iy, ix]
        points.append(point)
        normals.append(np.stack([-direction[:, 1], direction[:, 0]], 1))
        point = point + direction * step
    return np.stack(points, 1), np.stack(normals, 1)


def _outline(s: Array) -> Array:
    """Half width along a stroke: a round beginning, a long body, a narrower end."""
    return np.asarray(np.sqrt(np.clip(1 - (1 - np.clip(s / 0.08, 0, 1)) ** 2, 0.02, 1)) * (1 - 0.45 * s**3), np.float32)


def _bristles(count: int, across: int, rng: np.random.Generator) -> Array:
    """Random load of each bristle, count x across, zero mean, neighbours alike."""
    raw = rng.standard_normal((count, across + 2)).astype(np.float32)
    return (raw[:, :-2] + 1.4 * raw[:, 1:-1] + raw[:, 2:]) / np.float32(2)


def _soften(image: Array) -> Array:
    """Blur a little (binomial 3 x 3): wet paint levels out."""
    rows = np.pad(image, ((1, 1), (0, 0)), "edge")
    image = (rows[:-2] + 2 * rows[1:-1] + rows[2:]) / 4
    columns = np.pad(image, ((0, 0), (1, 1)), "edge")
    return np.asarray((columns[:, :-2] + 2 * columns[:, 1:-1] + columns[:, 2:]) / 4, np.float32)
