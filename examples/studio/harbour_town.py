"""The harbour, put together: quays, rows of houses, boats, lamps, a lighthouse and trees."""

import numpy as np

from studio.foliage import tree_picture
from studio.harbour_boats import boat, dinghy
from studio.harbour_houses import church, row
from studio.harbour_parts import MASONRY, PLAIN, bar, block, frame, look, moved
from studio.noise import Array
from studio.raytrace import Card, Solid, solid

QUAY_HEIGHT = 1.9


def town() -> tuple[list[Solid], list[Card]]:
    """Everything above the water, placed."""
    front, far = frame(-31, QUAY_HEIGHT, 22, 1.137), frame(16, QUAY_HEIGHT, 128, 0.30)
    edge, far_edge = moved(front, -20, -QUAY_HEIGHT, -8.5), moved(far, -2, -QUAY_HEIGHT, -7)
    solids = [_quay(edge, 137, 90), _quay(far_edge, 74, 80), _quay(frame(70, 0, 158, 0.12), 62, 5, 2.6)]
    solids += row(front, 112, 0) + row(moved(front, 4, 4.5, 19), 110, 30)
    solids += row(far, 62, 60) + row(moved(far, 3, 4, 20), 50, 80)
    solids += church(frame(-3, 4, 152, 0.25)) + _lighthouse(frame(90, 2.6, 163, 0.0))
    for k, u in enumerate((44, 58.5, 72, 86.5, 101, 117)):
        berth = moved(edge, u, 0, -2.6 - 0.3 * (k % 2), 0.03 * (-1) ** k)
        solids += boat(berth, 8.5 + 2.2 * (k * 5 % 3), k, under_sail=False)
    solids += boat(frame(14.5, 0, 36, 2.45), 11.5, 7, under_sail=True)
    solids += boat(frame(27, 0, 92, 0.4), 11, 8, under_sail=True)
    solids += boat(frame(52, 0, 120, 2.8), 10, 11, under_sail=False)
    solids += dinghy(frame(1.5, 0, 21.5, 0.75), 4.6, 2)
    for u in (30.0, 48.0, 66.0, 84.0, 102.0):
        solids += _lamp(moved(edge, u, QUAY_HEIGHT, 1.2))
    return solids, _trees(edge)


def _quay(base: Array, length: float, depth: float, height: float = QUAY_HEIGHT) -> Solid:
    """A paved platform with a stone face at w = 0."""
    return block(base, (0, length, -2, height, 0, depth), MASONRY, look(0.50, 0.45, 0.38, 1.0))


def _lamp(base: Array) -> list[Solid]:
    """A street lamp."""
    post = bar(base, (0, 0, 0), (0, 3.6, 0), 0.06, look(0.06, 0.08, 0.08))
    return [post, block(base, (-0.22, 0.22, 3.6, 4.15, -0.22, 0.22), PLAIN, look(0.75, 0.68, 0.5))]


def _lighthouse(base: Array) -> list[Solid]:
    """A tapering tower, striped, with a lantern."""

    def ring(bottom: float, top: float, wide: float, slope: float, appearance: Array) -> Solid:
        angles = np.arange(12) * np.pi / 6
        sides = [(float(np.cos(a)), slope, float(np.sin(a)), wide + slope * bottom) for a in angles]
        ends = [(0, -1, 0, -bottom), (0, 1, 0, top)]
        return solid(base, [*sides, *ends], (-wide, wide, bottom, top, -wide, wide), PLAIN, appearance)

    white, red = look(0.86, 0.83, 0.78), look(0.66, 0.14, 0.11)
    parts = [ring(4.0 * k, 4.0 * k + 4, 2.6 - 0.26 * k, 0.065, red if k % 2 else white) for k in range(5)]
    parts += [ring(20, 20.5, 2.2, 0, look(0.2, 0.2, 0.2)), ring(20.5, 22.6, 1.0, 0, look(0.35, 0.42, 0.42))]
    return [*parts, ring(22.6, 24.4, 1.5, 0.8, red)]


def _trees(edge: Array) -> list[Card]:
    """Trees along the quays and on the shore beyond, each a card that faces the viewer."""
    near = [moved(edge, u, QUAY_HEIGHT, 3.4)[0].tolist() for u in (50.0, 75.0, 93.0)]
    places = [(x, y, z, 8.5 + k) for k, (x, y, z) in enumerate(near)]
    places += [(24 + 13 * k, QUAY_HEIGHT, 133 + 3 * k, 11 + 2 * (k % 2)) for k in range(4)]
    places += [(84 + 9 * k, 0.5, 190 + 6 * (k % 3), 14 + 5 * (k * 7 % 3)) for k in range(5)]
    cards = []
    for number, (x, y, z, tall) in enumerate(places):
        wide = tall * 0.85
        corner, right, up = np.asarray([(x - wide / 2, y, z), (wide, 0, 0), (0, tall, 0)], np.float32)
        cards.append(Card(tree_picture(number % 3), corner, right, up))
    return cards
