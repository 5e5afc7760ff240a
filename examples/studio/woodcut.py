"""Style image: a colour woodcut of mountains over a lake; flat inks, wood grain and carved hatching.

The key block is drawn with line screens: ink stands where the distance to the middle of a line is less than
the tone asks for, so lines swell in the shadows and run out in the light, as a gouge leaves them.
"""

import numpy as np
import numpy.typing as npt

from studio.noise import Array, Mask, Tile, cell_random, grid, hexes, ramp, sample, shrink, smoothstep, to_bytes

SEED = 37
OVERSAMPLING = 2

PAPER, KEY = hexes("f4ead3", "1b1420")
SKY = hexes("6d3a6b", "b4577f", "e58d86", "f7c79a", "f8e3b8")
SUN = hexes("d8402f", "ea6a38")
RIDGES = (
    # Height of the crest and its relief in picture widths, its scale, then the inks in shadow and light.
    (0.275, 0.055, 1.3, hexes("8d6a9a", "d7a3ae")),
    (0.360, 0.060, 1.0, hexes("5f4a7d", "c07f94")),
    (0.425, 0.040, 0.8, hexes("3f5a50", "93a565")),
)
LAKE = hexes("2f3f63", "6d6a95", "d98f93", "f6cfa4")
SHORE = hexes("3c4a24", "6f7f35", "b3ab4d")
WATERLINE = 0.475
SUN_AT = (0.345, 0.150)

HAND = Tile(SEED, 512, 1.1, 4, 120)
SOFT = Tile(SEED + 1, 512, 2.1, 2, 16)


class Print:
    """A picture being printed: flat colours, then the black lines of the key block over them."""

    def __init__(self, x: Array, y: Array, ink: Array, line: Mask) -> None:
        self.x, self.y, self.ink, self.line = x, y, ink, line
        self.hand, self.soft = HAND, SOFT

    @classmethod
    def blank(cls, width: int, height: int) -> "Print":
        """An unprinted sheet."""
        x, y = grid(width, height)
        return cls(x, y, np.full((height, width, 3), PAPER, np.float32), np.zeros((height, width), np.bool_))

    def window(self, left: float, top: float, right: float, bottom: float) -> "Print":
        """The part of the sheet between borders in picture widths; printing on it prints on the sheet."""
        height, width = self.line.shape
        rows = slice(max(int(top * width), 0), min(max(int(bottom * width) + 1, 0), height))
        columns = slice(max(int(left * width), 0), min(max(int(right * width) + 1, 0), width))
        return Print(self.x[rows, columns], self.y[rows, columns], self.ink[rows, columns], self.line[rows, columns])

    def block(self, where: Mask, colour: Array) -> None:
        """Print a colour (one, or one per pixel), wiping the lines beneath."""
        self.ink[where] = colour[where] if colour.ndim > 1 else colour
        self.line &= ~where

    def hatch(self, where: Mask, phase: Array, tone: Array) -> None:
        """Carve lines at the integers of ``phase``; ``tone`` 0..1 is the share of black."""
        uneven = 0.10 * sample(self.hand, self.x * 1.5, self.y * 1.5)
        wobble = phase + 0.10 * sample(self.hand, self.x * 0.9 + 0.5, self.y * 0.9)
        each = 0.16 * (cell_random(np.floor(wobble), 0, SEED) - 0.5)
        distance = np.abs(wobble - np.floor(wobble) - 0.5) * 2
        self.line |= where & (distance < tone + (uneven + each) * smoothstep(0.02, 0.25, tone))

    def finish(self) -> Array:
        """Print on paper: the inks show wood grain and mottle, the key block sits a little askew."""
        grain = sample(Tile(SEED + 2, 512, 1.0, 3, 250), self.x * 0.35, self.y * 5)
        mottle = sample(Tile(SEED + 3, 512, 0.7, 8, 250), self.x * 2.2, self.y * 2.2)
        fibre = sample(Tile(SEED + 4, 512, 0.6, 10, 250), self.x * 3, self.y * 3)
        thin = 0.10 + 0.11 * smoothstep(0.2, 2.0, grain) + 0.12 * smoothstep(0.6, 2.2, mottle)
        colour = self.ink * (1 - thin[..., None]) + np.asarray(PAPER, np.float32) * thin[..., None]
        colour = colour * (1 + 0.018 * fibre + 0.02 * grain)[..., None]
        black = np.roll(self.line, (-1, 2), (0, 1)) * (0.97 - 0.35 * smoothstep(1.1, 2.2, mottle))
        key = np.asarray(KEY, np.float32)
        return np.asarray(colour * (1 - black[..., None]) + key * black[..., None], np.float32)


def render(width: int, height: int) -> npt.NDArray[np.uint8]:
    """Print the woodcut: height x width x 3, RGB."""
    sheet = Print.blank(width * OVERSAMPLING, height * OVERSAMPLING)
    _sky(sheet)
    for number, ridge in enumerate(RIDGES):
        _mountains(sheet, number, *ridge)
    _lake(sheet)
    _shore(sheet)
    for number in range(13):
        _fir(sheet, number)
    return to_bytes(shrink(sheet.finish(), OVERSAMPLING))


def _sky(sheet: Print) -> None:
    """A sky that lightens downwards, ringed by the light of the sun, with rolling clouds."""
    x, y = sheet.x, sheet.y
    sun = np.hypot(x - SUN_AT[0], y - SUN_AT[1])
    everywhere = sun >= 0
    sheet.block(everywhere, ramp(SKY, y * 2.6 + 0.35 * np.exp(-sun * 6) - 0.05))
    ring = sun * 62 + 0.5 * sample(sheet.soft, x * 0.8, y * 0.8)
    sheet.hatch(everywhere, ring, 0.52 * smoothstep(0.06, 0.62, sun) * smoothstep(0.42, -0.02, y) + 0.05)
    for number, (cx, cy, size) in enumerate(
        ((0.70, 0.10, 0.11), (0.93, 0.175, 0.09), (0.07, 0.085, 0.09), (0.57, 0.215, 0.06))
    ):
        _cloud(sheet, cx, cy, size, number)
    disc = sun < 0.082
    sheet.block(disc, ramp(SUN, 0.5 + (y - SUN_AT[1]) * 5))
    sheet.line |= np.abs(sun - 0.083) < 0.0016


def _cloud(sheet: Print, cx: float, cy: float, size: float, number: int) -> None:
    """A cloud of overlapping discs, the far and high ones first, each hatched along its lower right."""
    chance = cell_random(np.arange(60), number, SEED + 5).reshape(20, 3)
    along, above, spread = chance[:, 0] * 2 - 1, chance[:, 1], chance[:, 2]
    dome = np.sqrt(1 - np.minimum(np.abs(along), 0.98) ** 2)
    for k in np.argsort(-above * dome):
        radius = size * (0.16 + 0.24 * spread[k]) * (0.4 + 0.6 * dome[k])
        ox, oy = cx + 1.25 * size * along[k], cy - size * 0.62 * above[k] * dome[k]
        part = sheet.window(ox - radius * 1.1, oy - radius * 1.1, ox + radius * 1.1, oy + radius * 1.1)
        d = np.hypot(part.x - ox, part.y - oy) + 0.0012 * sample(part.hand, part.x * 2, part.y * 2)
        above_base = part.y < cy + size * (0.13 + 0.03 * np.sin(part.x * 60))
        puff = (d < radius) & above_base
        part.block(puff, np.asarray(PAPER, np.float32))
        low = (part.x - ox + 1.4 * (part.y - oy)) / radius
        part.hatch(puff, (d - radius) * 150, 0.62 * smoothstep(-0.3, 1.5, low) * smoothstep(0.3, 1.0, d / radius))
        part.line |= (np.abs(d - radius) < 0.0014) & above_base


def _mountains(
    sheet: Print, number: int, crest: float, relief: float, scale: float, inks: list[tuple[float, ...]]
) -> None:
    """One range: its crest, facets lit from the sun's side, hatched down the slopes."""
    x, y = sheet.x, sheet.y
    rough = Tile(SEED + 10 + number, 512, 1.35, 2, 60)
    top = crest - relief * sample(rough, x * 0.32 * scale, np.full_like(x, 0.5))
    depth = y - top
    inside = (depth > 0) & (y < WATERLINE + 0.01)
    lean = x * scale + 0.35 * depth * np.sin(x * 23 * scale + number)
    step = np.float32(0.004)
    here, there = (sample(rough, (lean + s) * 0.32, 0.5 + depth * 0.35) for s in (-step, step))
    away = (there - here) / (2 * step) * np.sign(x - SUN_AT[0] + 0.25) * -0.035
    dark = smoothstep(-0.25, 0.35, away)
    mist = smoothstep(0.20, 0.02, depth) * 0.85 + 0.15
    sheet.block(inside, ramp(inks, 0.25 + 0.75 * (1 - dark) + 0.3 * (1 - mist)))
    tone = (0.10 + (0.66 + 0.08 * number) * dark) * mist
    sheet.hatch(inside & (dark > 0.5), (x + 0.55 * y) * (95 - 8 * number), tone)
    sheet.hatch(inside & (dark <= 0.5), (x - 0.8 * depth + 0.02 * away) * (80 - 8 * number), tone * 0.9)
    sheet.line |= np.abs(depth) < 0.0022


def _lake(sheet: Print) -> None:
    """Level water: hatching that swells with the ripples, the sun's path, dark edges."""
    x, y = sheet.x, sheet.y
    depth = y - WATERLINE
    inside = depth > 0
    ripple = sample(sheet.soft, x * 0.7, y * 6)
    path = np.exp(-(((x - SUN_AT[0] + 0.012 * ripple) / (0.05 + 0.25 * depth)) ** 2))
    sheet.block(inside, ramp(LAKE, 0.16 + 2.0 * depth + 0.10 * ripple + 0.65 * path))
    glint = inside & (path > 0.55) & (sample(sheet.soft, x * 1.4, y * 16) > 0.25)
    sheet.block(glint, ramp(SUN, np.full_like(x, 0.8)))
    perspective = np.log(np.maximum(depth, 0) + 0.05) * 26 + 0.5 * ripple
    tone = 0.74 - 1.1 * depth + 0.17 * ripple - 0.55 * path
    sheet.hatch(inside, perspective, np.clip(tone, 0.05, 0.9))
    sheet.line |= np.abs(depth) < 0.0018


def _shore(sheet: Print) -> None:
    """The near bank: a mound of meadow, its hatching combed over the curve of the ground."""
    x, y = sheet.x, sheet.y
    top = (
        0.70
        - 0.145 * smoothstep(0.25, 1.0, x)
        + 0.012 * sample(sheet.soft, x * 0.9, np.zeros_like(x))
        + 0.05 * smoothstep(0.2, 0.0, x) * -1
    )
    depth = y - top
    inside = depth > 0
    tuft = sample(sheet.soft, x * 1.6, y * 1.6 + 0.3)
    sheet.block(inside, ramp(SHORE, 0.75 - 3.0 * depth + 0.18 * tuft))
    phase = (x * 0.75 + 1.3 * depth * (x - 0.2) + 0.012 * tuft) * 105
    sheet.hatch(inside, phase, np.clip(0.30 + 1.6 * depth + 0.22 * tuft, 0.08, 0.85))
    sheet.line |= np.abs(depth) < 0.003


def _fir(sheet: Print, number: int) -> None:
    """A black fir with its branches cut out in arcs of light."""
    chance = cell_random(np.arange(4), number, SEED + 20).tolist()
    if number > 3:
        cx, tall = 0.59 + 0.035 * number + 0.02 * chance[0], 0.20 + 0.17 * chance[1]
    else:
        cx, tall = 0.015 + 0.065 * number + 0.02 * chance[0], 0.15 + 0.11 * chance[1]
    foot = 0.715 - 0.145 * float(smoothstep(0.25, 1.0, np.asarray(cx))) - (0.04 if number < 3 else 0)
    part = sheet.window(cx - 0.32 * tall, foot - 1.02 * tall, cx + 0.32 * tall, foot)
    up = (foot - part.y) / tall
    side = (part.x - cx) / tall
    inside = (up > 0) & (up < 1)
    layer = up * 11 + 1.9 * np.abs(side) * 11 * 0.28 + 0.2 * np.sin(number)
    fringe = layer - np.floor(layer)
    ragged = 0.012 * sample(part.hand, part.x * 2, part.y * 2)
    edge = np.clip(1 - up, 0, 1) ** 0.85 * 0.26 * (1.08 - 0.42 * fringe) + ragged
    tree = inside & (np.abs(side) < np.where(up < 0.06, 0.02, edge))
    part.block(tree, np.asarray(SHORE[0], np.float32) * 0.9)
    lit = smoothstep(0.10, -0.22, side / np.maximum(1 - up, 0.05))
    needles = tree & (fringe < 0.12 + 0.5 * lit)
    part.line |= tree
    comb = np.abs((side * 0.6 + up * 0.5 * np.sign(side)) * 90 % 1 - 0.5) * 2
    part.line &= ~(needles & (comb < 0.55))
