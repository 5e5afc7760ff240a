"""Houses with gables, dormers and chimneys, in rows; a church."""

from collections.abc import Sequence

import numpy as np

from studio.harbour_parts import BRICK, MASONRY, PLAIN, PLASTER, ROOF, STONE, TIMBERED, WALL, block, look, moved
from studio.noise import Array, cell_random, hexes
from studio.raytrace import Solid, box, solid

PLASTERS = hexes("e9c46a", "d98a5b", "f1e3c6", "c8553d", "9fb8ad", "e8b4a0", "f4d9a0", "7d9bb5", "d8cbb0", "b5442f")
ROOFS = hexes("8f3d2a", "a24b33", "6e3a30", "57423c", "94503a")
SHUTTERS = hexes("2f5d50", "31507a", "6b2d2a", "f0ead8", "3d4a3a")


def row(start: Array, length: float, number: int) -> list[Solid]:
    """Houses side by side along u, until ``length`` metres are built on; ``number`` is the first one's."""
    parts, u = [], 0.0
    while u < length:
        chance = cell_random(np.arange(6), number, 4).tolist()
        width = 6.2 + 4.5 * chance[0]
        base = moved(start, u + width / 2, 0, 0.9 * chance[3])
        storeys = 3 + int(2.2 * chance[2])
        parts += house(base, width - 0.06, 10 + 3 * chance[4], storeys, chance[1] > 0.36, number)
        u += width
        number += 1
    return parts


def house(base: Array, width: float, depth: float, storeys: int, gable: bool, number: int) -> list[Solid]:
    """A house whose front stands at w = 0, centred on u = 0; its ridge runs back (``gable``) or along the front."""
    chance = cell_random(np.arange(16), number, 3).tolist()
    storey = 2.75 + 0.5 * chance[0]
    eave = storeys * storey + 0.6
    pitch = 1.05 + 0.5 * chance[1] if gable else 0.85 + 0.3 * chance[1]
    crest = eave + pitch * (width if gable else depth) / 2
    kind = TIMBERED if chance[2] > 0.76 else BRICK if chance[2] > 0.62 else PLASTER
    wall, roof = PLASTERS[number * 7 % len(PLASTERS)], ROOFS[int(chance[3] * len(ROOFS))]
    shutter = SHUTTERS[int(chance[4] * len(SHUTTERS))]
    columns = max(round(width / (2.0 + 0.6 * chance[5])), 2)
    rake = pitch if gable else 0
    plan = (width, depth, eave, rake, columns, storey, kind, number)
    appearance = look(*plan, *wall, *shutter, chance[6] > 0.45, gable)

    bounds = (-width / 2, width / 2, -0.2, crest, 0, depth)
    slopes: list[tuple[float, ...]] = [(pitch * side, 1, 0, crest) for side in (-1, 1)]
    if not gable:
        slopes = [(0, 1, pitch * side, crest + pitch * side * depth / 2) for side in (-1, 1)]
    parts = [solid(base, [*box(*bounds), *slopes], bounds, WALL, appearance)]
    parts += _roof(base, width, depth, crest, pitch, gable, look(number, *roof, pitch, gable))
    back = depth * (0.3 + 0.3 * chance[7])
    at = moved(base, width * (0.22 if gable else 0.36), crest, back)
    parts.append(block(at, (-0.45, 0.45, -2.5, 1.1, 0, 0.8), MASONRY, look(0.55, 0.30, 0.24, 0.35)))
    if not gable:
        for u in np.linspace(-width / 2, width / 2, columns // 2 + 2)[1:-1]:
            parts += _dormer(moved(base, float(u), eave + 0.5, 0.55), wall, roof, number)
    return parts


def _roof(
    base: Array, width: float, depth: float, crest: float, pitch: float, gable: bool, appearance: Array
) -> list[Solid]:
    """Two slabs that meet in the ridge and overhang the walls."""
    thick, half, middle = 0.32, width / 2, depth / 2
    low = crest - pitch * ((half if gable else middle) + 0.5)
    bounds = (-half - 0.5, half + 0.5, low, crest + thick, -0.5, depth + 0.5)
    slabs = []
    slope: tuple[float, ...]
    for side in (-1, 1):
        if gable:
            slope, rise = (pitch * side, 1, 0), 0.0
            limits = [(-side, 0, 0, 0), (side, 0, 0, half + 0.45), (0, 0, -1, 0.45), (0, 0, 1, depth + 0.3)]
        else:
            slope, rise = (0, 1, pitch * side), pitch * side * middle
            limits = [(0, 0, -side, -side * middle), (0, 0, side, side * middle + middle + 0.45)]
            limits += [(-1, 0, 0, half + 0.15), (1, 0, 0, half + 0.15)]
        faces = [(*slope, crest + thick + rise), (*(-c for c in slope), -crest - rise), *limits]
        slabs.append(solid(base, faces, bounds, ROOF, appearance))
    return slabs


def _dormer(base: Array, wall: Sequence[float], roof: Sequence[float], number: int) -> list[Solid]:
    """A little gabled house on the roof, with one window."""
    bounds = (-0.75, 0.75, -0.6, 2.1, 0, 3)
    plan = (1.5, 3, 1.35, 1.0, 1, 1.5, PLASTER, number)
    slopes = [(1, 1, 0, 2.1), (-1, 1, 0, 2.1)]
    parts = [solid(base, [*box(*bounds), *slopes], bounds, WALL, look(*plan, *wall, *wall, 0, 1))]
    for side in (-1, 1):
        faces = [(side, 1, 0, 2.28), (-side, -1, 0, -2.1), (-side, 0, 0, 0), (side, 0, 0, 0.95)]
        ends = [(0, 0, -1, 0.2), (0, 0, 1, 3)]
        cover = (-0.95, 0.95, 1.1, 2.3, -0.2, 3)
        parts.append(solid(base, [*faces, *ends], cover, ROOF, look(number, *roof, 1, 1)))
    return parts


def church(base: Array) -> list[Solid]:
    """A nave with a steep roof and a tower with a pointed spire."""
    grey = (0.56, 0.50, 0.42)
    tower = look(7.5, 7.5, 31, 0, 1, 7.2, STONE, 91, *grey, *grey, 0, 0)
    angles = (np.arange(8) + 0.5) * np.pi / 4
    spire = [(0.0, -1.0, 0.0, -31.0)]
    spire += [(float(np.cos(a)), 0.21, float(np.sin(a)), 3.7 + 0.21 * 31) for a in angles]
    return [
        block(base, (-3.75, 3.75, 0, 31, 0, 7.5), WALL, tower),
        block(base, (-4.1, 4.1, 30.4, 31.2, -0.35, 7.85), PLAIN, look(0.42, 0.37, 0.31)),
        solid(moved(base, 0, 0, 3.75), spire, (-4, 4, 31, 49, -4, 4), PLAIN, look(0.16, 0.27, 0.25)),
        *house(moved(base, 13.5, 0, -1), 20, 10, 4, False, 77),
    ]
