"""The objects of the still life and where they stand: fruit, a jug, a bowl, a bottle, a bunch of grapes."""

from collections.abc import Callable

import numpy as np

from studio import still_life_paints as paints
from studio.noise import Array, cell_random
from studio.sdf import Distance, Paint, Thing, polar, rod, rotation, torus, turned

JUG = (
    (-0.62, 0.26), (-0.57, 0.28), (-0.35, 0.41), (-0.08, 0.46), (0.18, 0.38),
    (0.36, 0.25), (0.52, 0.215), (0.66, 0.26), (0.70, 0.275),
)  # fmt: skip
BOWL = ((-0.17, 0.20), (-0.14, 0.22), (-0.08, 0.36), (0.04, 0.53), (0.17, 0.61))
BOTTLE = (
    (-0.74, 0.20), (-0.70, 0.225), (-0.1, 0.23), (0.16, 0.225), (0.34, 0.13),
    (0.48, 0.078), (0.86, 0.072), (0.90, 0.080), (0.94, 0.078),
)  # fmt: skip
"""Profiles for the lathe: height over the centre, radius."""

FRUIT = (
    ("orange", (0.42, 0.335, 0.12), 0.205, (0.5, 0.3, 0.0), 0),
    ("orange", (0.83, 0.345, 0.18), 0.215, (-0.4, 1.0, 0.0), 1),
    ("apple", (0.60, 0.355, 0.55), 0.225, (0.1, 2.0, 0.2), 2),
    ("apple", (0.64, 0.600, 0.26), 0.200, (-0.35, 0.4, -0.2), 5),
    ("pear", (-0.22, 0.245, -0.02), 0.235, (0.05, 0.5, 0.1), 1),
    ("pear", (1.38, 0.225, 0.10), 0.225, (0.1, 0.3, -1.32), 4),
    ("apple", (1.18, 0.215, -0.42), 0.235, (-0.25, 1.2, 0.15), 3),
    ("apple", (-1.52, 0.205, 0.02), 0.225, (-0.2, 4.0, 0.1), 7),
    ("lemon", (-0.98, 0.165, -0.38), 0.155, (1.45, 0.9, 0.0), 0),
    ("lemon", (-1.30, 0.160, -0.62), 0.150, (1.5, -0.7, 0.1), 2),
)
"""Kind, centre, radius, turn (see sdf.rotation) and seed of the paint."""


def things() -> list[Thing]:
    """Everything on the table (the table top is y = 0)."""
    stoneware = paints.plain((0.74, 0.72, 0.65), 0.85, 0.03)
    items = [
        Thing(turned(JUG, 0.035, 0.0), _at(-0.78, 0.62, 0.50), rotation(heading=0.5), 0.86, paints.jug),
        Thing(torus(0.27, 0.042, 1.25), _at(-1.22, 0.80, 0.42), rotation(heading=0.18), 0.45, stoneware),
        Thing(turned(BOWL, 0.032, -0.10), _at(0.62, 0.185, 0.30), rotation(), 0.66, paints.bowl),
        Thing(turned(BOTTLE), _at(0.02, 0.74, 0.95), rotation(), 1.0, paints.bottle),
        Thing(_half(_ball(0.205)), _at(0.36, 0.150, -0.66), rotation(-0.95, 0.25), 0.22, paints.cut_orange(0.205)),
    ]
    for kind, centre, radius, turn, seed in FRUIT:
        items += _fruit(kind, _at(*centre), radius, rotation(*turn), seed)
    return items + _grapes()


def _at(x: float, y: float, z: float) -> Array:
    return np.asarray([x, y, z], np.float32)


def _fruit(kind: str, place: Array, radius: float, turn: Array, seed: int) -> list[Thing]:
    """A fruit and, on an apple or a pear, its stalk."""
    kinds: dict[str, tuple[Callable[[float], Distance], Paint, float, float]] = {
        "apple": (_apple, paints.apple(seed), 1.45, 0.68),
        "pear": (_pear, paints.pear(seed), 1.7, 1.40),
        "lemon": (_lemon, paints.citrus(paints.LEMON), 1.45, 0),
        "orange": (_ball, paints.citrus(paints.ORANGE), 1.1, 0),
    }
    shape, paint, reach, foot = kinds[kind]
    whole = Thing(shape(radius), place, turn, radius * reach, paint)
    if not foot:
        return [whole]
    stalk = rod(radius * 0.55, radius * 0.045, 0.25 * (-1) ** seed)
    bark = paints.plain((0.10, 0.055, 0.025), 0.1)
    return [whole, Thing(stalk, place + turn @ _at(0, radius * foot, 0), turn, radius * 0.75, bark)]


def _ball(radius: float) -> Distance:
    return polar(np.full(3, radius, np.float32))


def _bump(t: Array, centre: float, width: float) -> Array:
    return np.asarray(np.exp(-(((t - centre) / width) ** 2)))


def _apple(radius: float) -> Distance:
    t = np.linspace(0, np.pi, 256)
    return polar(radius * (1 - 0.30 * _bump(t, 0, 0.36) - 0.13 * _bump(t, np.pi, 0.30) - 0.05 * (t / np.pi) ** 2))


def _pear(radius: float) -> Distance:
    t = np.linspace(0, np.pi, 256)
    body = 1 + 0.62 * _bump(t, 0, 0.42) - 0.10 * _bump(t, 0.95, 0.38) - 0.10 * _bump(t, np.pi, 0.3)
    return polar(radius * body * (1 - 0.10 * _bump(t, 0, 0.06)))


def _lemon(radius: float) -> Distance:
    t = np.linspace(0, np.pi, 256)
    return polar(radius * (1 + 0.22 * np.cos(t) ** 2 + 0.20 * _bump(t, 0, 0.20) + 0.16 * _bump(t, np.pi, 0.17)))


def _half(shape: Distance) -> Distance:
    """The lower half (y < 0) of a shape."""

    def distance(p: Array) -> Array:
        return np.maximum(shape(p), p[:, 1])

    return distance


def _grapes() -> list[Thing]:
    """A bunch that lies on the table, heaped highest near its stalk."""
    stack: list[tuple[float, float, float, float]] = []
    for seed in range(400):
        chance = cell_random(np.arange(4), seed, 12).tolist()
        along, size = chance[0], 0.062 + 0.014 * chance[3]
        wide = 0.25 * (1 - along) ** 0.7 + 0.03
        x, z = -0.30 - 0.56 * along, -0.62 - 0.12 * along + wide * (2 * chance[1] - 1) * 0.9
        y = size + 0.24 * (1 - along) * chance[2]
        if all((x - a) ** 2 + (y - b) ** 2 + (z - c) ** 2 > (0.76 * (size + s)) ** 2 for a, b, c, s in stack):
            stack.append((x, y, z, size))
    items = [
        Thing(_ball(size), _at(x, y, z), rotation(heading=seed), size * 1.02, paints.grape(seed))
        for seed, (x, y, z, size) in enumerate(stack)
    ]
    bark = paints.plain((0.16, 0.11, 0.04), 0.1)
    return [*items, Thing(rod(0.30, 0.014, 0.2), _at(-0.36, 0.16, -0.60), rotation(0.1, 0.2, -1.1), 0.36, bark)]
