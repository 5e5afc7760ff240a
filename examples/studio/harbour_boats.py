"""Sailing boats and an open dinghy."""

import numpy as np

from studio.harbour_parts import CLOTH, HULL, bar, block, look
from studio.noise import Array, cell_random, hexes
from studio.raytrace import Solid, box, solid

HULLS = hexes("1f3d5a", "f2efe6", "7c1f1f", "27483c", "d9d2bf", "c98d2c")
SAILS = hexes("efe6d0", "a8492c", "e7d3a4")
WOOD, ROPE = look(0.50, 0.33, 0.19), look(0.14, 0.12, 0.11)


def dinghy(base: Array, length: float, number: int) -> list[Solid]:
    """A rowing boat along u, bow forwards, afloat at v = 0."""
    return [_hull(base, length, number, hollow=0.12 * length)]


def boat(base: Array, length: float, number: int, under_sail: bool) -> list[Solid]:
    """A sailing boat along u, bow forwards, afloat at v = 0."""
    beam, deck = length * 0.30, _freeboard(length)
    tall = length * (1.05 + 0.2 * float(cell_random(np.arange(8), number, 6)[0]))
    foot = 0.12 * length
    cabin = (-0.22 * length, 0.10 * length, deck, deck + 0.62, -0.26 * beam, 0.26 * beam)
    parts = [
        _hull(base, length, number, hollow=0),
        block(base, cabin, HULL, look(0.86, 0.83, 0.75, deck + 0.5, number)),
        bar(base, (foot, deck, 0), (foot, tall, 0), 0.085, WOOD),
        bar(base, (foot, deck + 1.25, 0), (-0.40 * length, deck + 1.25, 0), 0.06, WOOD),
    ]
    stays = [(length * 0.49, 0), (-length * 0.49, 0), (foot, beam / 2), (foot, -beam / 2)]
    parts += [bar(base, (u, deck, w), (foot, tall * 0.98, 0), 0.022, ROPE) for u, w in stays]
    if under_sail:
        return [*parts, *_sails(base, length, foot, deck, tall, number)]
    return [*parts, _furled(base, length, foot, deck, number)]


def _freeboard(length: float) -> float:
    """Height of the deck over the water."""
    return 0.55 + 0.045 * length


def _hull(base: Array, length: float, number: int, hollow: float) -> Solid:
    """A hull with flared sides and a sharp bow; open over ``hollow`` metres each side of the keel."""
    beam, deck = length * 0.30, _freeboard(length)
    planes = [(0.0, -1.0, 0.0, 0.4), (-0.05, 1.0, 0.0, deck), (-1.0, -0.15, 0.0, length / 2)]
    for side in (-1.0, 1.0):
        planes += [(0, -0.30, side, beam / 2 - 0.1), (0.22, -0.3, side, beam * 0.35 + 0.11 * length)]
        planes += [(0.55, -0.4, side, 0.275 * length), (-0.12, -0.3, side, beam * 0.36 + 0.06 * length)]
    size = (-length / 2 - 0.3, length / 2 + 0.5, -0.4, deck + 0.03 * length, -beam / 2 - 0.3, beam / 2 + 0.3)
    return solid(base, planes, size, HULL, look(*HULLS[number % len(HULLS)], deck, number, hollow))


def _sails(base: Array, length: float, foot: float, deck: float, tall: float, number: int) -> list[Solid]:
    """Mainsail and jib, thin triangular prisms."""
    thin = [(0, 0, -1, 0.03), (0, 0, 1, 0.03)]
    rise, run = tall - deck - 1.8, 0.50 * length
    main = [*thin, (1, 0, 0, foot - 0.12), (0, -1, 0, -deck - 1.4), (-rise, run, 0, run * tall * 0.95 - rise * foot)]
    rise, run = tall * 0.80, 0.37 * length
    jib = [*thin, (-1, 0, 0, -foot - 0.25), (0, -1, 0, -deck - 0.7), (rise, run, 0, rise * foot + run * tall * 0.84)]
    cloth = look(*SAILS[number % len(SAILS)], number)
    return [
        solid(base, main, (-0.42 * length, foot, deck + 1.4, tall, -0.03, 0.03), CLOTH, cloth),
        solid(base, jib, (foot, 0.5 * length, deck, tall, -0.03, 0.03), CLOTH, look(0.92, 0.86, 0.74, number)),
    ]


def _furled(base: Array, length: float, foot: float, deck: float, number: int) -> Solid:
    """A sail rolled up on its boom."""
    low = deck + 1.28
    bounds = (-0.38 * length, foot - 0.1, low, low + 0.34, -0.17, 0.17)
    bevels = [(0, a, b, 0.20 + a * (low + 0.15)) for a in (-1, 1) for b in (-1, 1)]
    taper = (0.10, 1, 0, low + 0.36)
    return solid(base, [*box(*bounds), *bevels, taper], bounds, CLOTH, look(*SAILS[number % len(SAILS)], number))
