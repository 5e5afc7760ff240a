"""What the harbour's surfaces look like: plaster, timber frames, windows, tiles, stone, hulls and sails.

Every function takes the looks of N hits (N x 16, as harbour_houses and harbour_boats fill them) and their
local coordinates in metres, and returns linear colours, N x 3.
"""

import numpy as np

from studio.harbour_parts import BRICK, CLOTH, HULL, MASONRY, PLAIN, ROOF, STONE, TIMBERED, WALL
from studio.noise import Array, Mask, Tile, cell_random, sample, smoothstep

ROUGH = Tile(41, 512, 1.0, 3, 200)
SOFT = Tile(42, 512, 1.8, 2, 30)


def linear(colour: Array) -> Array:
    """SRGB to linear light, near enough (gamma 2.2)."""
    return np.asarray(colour**2.2, np.float32)


def colours(surface: int, look: Array, local: Array, normal: Array) -> tuple[Array, Mask]:
    """Colour of hits on one kind of surface, and which of them are window panes.

    Args:
        surface: One of the constants of harbour_parts.
        look: N x 16.
        local: N x 3, u v w.
        normal: N x 3 in local axes.
    """
    u, v, w = local.T
    side = np.abs(normal[:, 2]) < 0.5
    glass = np.zeros(len(look), np.bool_)
    if surface == WALL:
        return _wall(look, np.where(side, w - look[:, 1] / 2, u), v, side)
    if surface == ROOF:
        return _tiles(look, u, v, w), glass
    if surface == MASONRY:
        return _masonry(look, local, normal), glass
    base = linear(look[:, :3])
    if surface == HULL:
        return _hull(base, look, local, normal), glass
    if surface == CLOTH:
        folds = 1 + 0.10 * np.sin(u * 9 + 2 * sample(SOFT, u * 0.1, v * 0.1)) + 0.05 * sample(ROUGH, u * 0.2, v * 0.2)
        seams = 1 - 0.22 * (np.abs(v % 0.9 - 0.45) < 0.025)
        return base * (folds * seams)[:, None], glass
    if surface == PLAIN:
        return base * (1 + 0.12 * sample(ROUGH, u * 0.3 + w * 0.2, v * 0.3))[:, None], glass
    raise ValueError(f"no surface {surface}")


def _wall(look: Array, h: Array, v: Array, side: Mask) -> tuple[Array, Mask]:
    """A house wall; h runs along it from its middle, v up from the ground."""
    width = np.where(side, look[:, 1], look[:, 0])
    count = np.where(side, np.maximum(np.round(look[:, 1] / 3.4), 1), look[:, 4])
    storey, kind, number = look[:, 5], look[:, 6], look[:, 7]
    cell = width / count
    place = (h / width + 0.5) * count
    column, row = np.floor(place), np.floor(v / storey)
    x, y = (place - column - 0.5) * cell, v - row * storey
    chance = cell_random(column + 40 * row, number, 8)

    colour = _render_coat(linear(look[:, 8:11]), kind, h + 17 * number, v)
    line = (y < 0.16) & (kind < TIMBERED)
    colour = np.where(line[:, None], colour * 1.2 + 0.03, colour)
    colour = np.where(((storey - y < 0.1) & (kind < TIMBERED))[:, None], colour * 0.72, colour)

    half = np.minimum(0.58, 0.27 * cell) * np.where(kind == STONE, 0.7, 1)
    ground = row == 0
    sill = np.where(kind == STONE, 2.0, np.where(ground, 0.7, 0.9))
    top = np.where(kind == STONE, storey - 1.2, storey - np.where(ground, 0.55, 0.5))
    centre = (column + 0.5) / count * width - width / 2
    under = np.where(side, look[:, 2], look[:, 2] + (width / 2 - np.abs(centre) - half) * look[:, 3])
    exists = (row * storey + top + 0.25 < under) & ~((kind == STONE) & (row % 4 < 2)) & ~(side & (chance > 0.6))
    door = ground & (chance < 0.30) & ~side & (kind != STONE)
    sill = np.where(door, 0.0, sill)

    timber = (kind == TIMBERED) & _beams(x, y, cell, half, sill, storey, chance)
    wood = np.asarray([0.075, 0.042, 0.024], np.float32) * (1 + 0.25 * sample(ROUGH, h * 0.4, v * 0.4))[:, None]
    colour = np.where(timber[:, None], wood, colour)
    return _window(colour, look, x, y, half, sill, top, exists, door, chance)


def _render_coat(base: Array, kind: Array, h: Array, v: Array) -> Array:
    """Plaster with stains and streaks, or bricks, or blocks of stone."""
    stain = sample(SOFT, h * 0.07, v * 0.07)
    streak = sample(ROUGH, h * 0.35, v * 0.03)
    grit = sample(ROUGH, h * 0.5, v * 0.5)
    light = 1 + 0.10 * stain + 0.07 * streak + 0.07 * grit - 0.30 * smoothstep(1.0, 0.0, v + 0.3 * grit)
    colour = base * light[:, None]
    course = np.where(kind == STONE, 0.55, 0.19)
    line = np.floor(v / course)
    length = course * np.where(kind == STONE, 1.9, 2.2)
    brick = np.floor(h / length + 0.5 * (line % 2))
    tone = 0.72 + 0.5 * cell_random(brick, line, 21)
    joint = (v / course - line < 0.14) | (h / length + 0.5 * (line % 2) - brick < 0.06)
    clay = np.where((kind == BRICK)[:, None], np.asarray([0.33, 0.125, 0.075], np.float32), base)
    laid = clay * (tone * (1 + 0.08 * grit))[:, None]
    laid = np.where(joint[:, None], 0.55 * laid + 0.10, laid)
    bare = (kind >= BRICK) | ((stain + 0.25 * grit > 2.1) & (kind == 0))
    return np.asarray(np.where(bare[:, None], laid, colour), np.float32)


def _beams(x: Array, y: Array, cell: Array, half: Array, sill: Array, storey: Array, chance: Array) -> Mask:
    """The timber frame of one bay: sills, posts and braces."""
    level = (y < 0.2) | (storey - y < 0.12) | (np.abs(y - sill) < 0.09)
    post = (np.abs(x) > cell / 2 - 0.10) | (np.abs(np.abs(x) - half - 0.16) < 0.08)
    slant = np.where(chance > 0.5, x, -x) + cell / 2
    brace = (np.abs(y * 0.75 - slant) < 0.13) & (y < storey * 0.9) & (np.abs(x) > half + 0.1)
    return np.asarray(level | post | brace)


def _window(colour: Array, look: Array, x: Array, y: Array, half: Array, sill: Array, top: Array,
            exists: Mask, door: Mask, chance: Array) -> tuple[Array, Mask]:  # fmt: skip
    """Set a window, or a door, with frame, bars, sill, shutters and their small shadows into each bay."""
    across, inside = np.abs(x), (y > sill) & (y < top)
    shutter_end = half * 1.72
    shutters = exists & ~door & (look[:, 14] > 0) & inside & (across > half + 0.03) & (across < shutter_end)
    slat = 0.80 + 0.3 * (np.sin(y * 52) > -0.2)
    panel = (np.abs(y - (sill + top) / 2) < 0.06) | (across > shutter_end - 0.06) | (across < half + 0.09)
    tint = linear(look[:, 11:14])
    colour = np.where(shutters[:, None], tint * np.where(panel, 1.0, slat)[:, None], colour)
    shade = exists & (look[:, 14] > 0) & ~shutters & inside & (x < -half) & (x > -shutter_end - 0.09)
    surround = (
        exists & ~shutters & (across < half + 0.13) & (y > sill - 0.1) & (y < top + 0.17) & (look[:, 6] != TIMBERED)
    )
    colour = np.where(shade[:, None], colour * 0.6, colour)
    colour = np.where(surround[:, None], 0.45 * colour + 0.33, colour)
    ledge = exists & ~door & (across < half + 0.2) & (y > sill - 0.13) & (y <= sill)
    below = exists & ~door & (x > -half - 0.3) & (x < half + 0.12) & (y > sill - 0.42) & (y <= sill - 0.13)
    colour = np.where(below[:, None], colour * 0.66, colour)
    colour = np.where(ledge[:, None], np.asarray([0.60, 0.56, 0.49], np.float32), colour)

    opening = exists & inside & (across < half)
    rail = (top - sill) * 0.62 + sill
    bar = (across > half - 0.085) | (across < 0.04) | (y > top - 0.09) | (y < sill + 0.08) | (np.abs(y - rail) < 0.04)
    deep = (x > half - 0.17) | (y > top - 0.20)
    wood = np.where(chance > 0.85, 0.16, 0.68)
    leaf = np.where(door & (y < 2.15), 1.0, 0.0)[:, None] * tint * (0.7 + 0.3 * (np.abs(x % 0.4 - 0.2) > 0.03))[:, None]
    colour = np.where(opening[:, None], wood[:, None] * np.asarray([1, 0.97, 0.9]), colour)
    pane = opening & ~bar & ~(door & (y < 2.15))
    curtain = (chance > 0.45) & (across > half * (0.35 + 0.4 * chance))
    room = np.where(curtain, 0.26, 0.022)[:, None] * np.asarray([1, 0.95, 0.85])
    colour = np.where(pane[:, None], room, colour)
    colour = np.where((opening & door & (y < 2.15))[:, None], leaf, colour)
    colour = np.where((opening & deep)[:, None], colour * 0.42, colour)
    return colour.astype(np.float32), pane


def _tiles(look: Array, u: Array, v: Array, w: Array) -> Array:
    """Roof tiles in staggered rows, each fired a little differently, mossy in places."""
    along = np.where(look[:, 5] > 0, w, u)
    down = v / np.sin(np.arctan(look[:, 4]))
    line = np.floor(down / 0.34)
    tile = np.floor(along / 0.25 + 0.5 * (line % 2))
    part, across = down / 0.34 - line, along / 0.25 + 0.5 * (line % 2) - tile
    tone = 0.70 + 0.55 * cell_random(tile, line, 31) + 0.12 * sample(ROUGH, along * 0.1, down * 0.1)
    tone = tone * (0.55 + 0.45 * smoothstep(0.0, 0.3, part)) * (0.8 + 0.25 * np.sin(across * np.pi))
    moss = smoothstep(0.7, 2.0, sample(SOFT, along * 0.06 + look[:, 0] * 0.37, down * 0.05)) * 0.55
    green = np.asarray([0.13, 0.13, 0.06], np.float32)
    colour = linear(look[:, 1:4]) * (1 - moss[:, None]) + green * moss[:, None]
    return np.asarray(colour * tone[:, None] * 1.15, np.float32)


def _masonry(look: Array, local: Array, normal: Array) -> Array:
    """Rough ashlar on upright faces, cobbles on level ones; wet and green towards the water."""
    u, v, w = local.T
    level = normal[:, 1] > 0.5
    a = np.where(np.abs(normal[:, 0]) > 0.5, w, u)
    b = np.where(level, w, v)
    a = a + 0.05 * sample(ROUGH, a * 0.2, b * 0.2)
    b = b + 0.04 * sample(ROUGH, a * 0.2 + 0.5, b * 0.2)
    height = np.where(level, 0.34, 0.42) * look[:, 3]
    line = np.floor(b / height)
    length = height * (1.3 + 1.1 * cell_random(line, 0, 51)) * np.where(level, 0.7, 1)
    shift = a / length + cell_random(line, 1, 52)
    stone = np.floor(shift)
    edge = np.minimum(
        np.minimum(b / height - line, line + 1 - b / height), 1.6 * np.minimum(shift - stone, stone + 1 - shift)
    )
    tone = 0.62 + 0.6 * cell_random(stone, line, 53) + 0.14 * sample(ROUGH, a * 0.3, b * 0.3)
    tone = tone * (0.42 + 0.58 * smoothstep(0.02, 0.16, edge)) * np.where(level, 0.9, 1)
    warm = cell_random(stone, line, 54)[:, None] * np.asarray([0.10, 0.03, -0.04], np.float32) + 1
    colour = linear(look[:, :3]) * tone[:, None] * warm
    wet = smoothstep(0.75, 0.25, v + 0.2 * sample(ROUGH, a * 0.1, v * 0.2)) * (look[:, 3] >= 1) * ~level
    weed = np.asarray([0.035, 0.045, 0.018], np.float32) * (1 + 0.4 * sample(ROUGH, a * 0.5, v * 0.5))[:, None]
    return np.asarray(colour * (1 - wet[:, None]) + weed * wet[:, None], np.float32)


def _hull(base: Array, look: Array, local: Array, normal: Array) -> Array:
    """Painted planks with a varnished rail, a boot stripe and a wooden deck."""
    u, v, w = local.T
    plank = 1 - 0.18 * (np.abs(v % 0.22 - 0.11) > 0.095) + 0.05 * sample(ROUGH, u * 0.2, v * 0.5)
    colour = base * plank[:, None]
    rail = look[:, 3] - v
    varnish = np.asarray([0.34, 0.17, 0.07], np.float32)
    colour = np.where((rail < 0.13)[:, None], varnish, colour)
    colour = np.where((np.abs(rail - 0.22) < 0.035)[:, None], np.asarray([0.75, 0.7, 0.6], np.float32), colour)
    colour = np.where((v < 0.14)[:, None], np.asarray([0.16, 0.035, 0.03], np.float32), colour)
    deck = np.asarray([0.42, 0.28, 0.16], np.float32) * (1 - 0.3 * (np.abs(w % 0.18 - 0.09) > 0.078))[:, None]
    # An open boat: inside the rail one looks at its dark planks, with a thwart every metre.
    bench = np.abs((u + 0.3) % 1.25 - 0.62) < 0.15
    floor = np.where(
        bench[:, None], deck * 0.9, np.asarray([0.085, 0.055, 0.032], np.float32) * (1 + 0.9 * (w > 0.1))[:, None]
    )
    hollow = (look[:, 5] > 0) & (np.abs(w) < look[:, 5] * np.clip(1.05 - 0.9 * np.clip(u / 2.2, 0, 1) ** 2, 0.05, 1))
    deck = np.where(hollow[:, None], floor, deck)
    return np.asarray(np.where((normal[:, 1] > 0.8)[:, None], deck, colour), np.float32)
