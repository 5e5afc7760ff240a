"""What the objects of the still life look like.

Each paint takes points and normals in the object's own coordinates (N x 3) and returns linear colours (N x 3)
and gloss (N); those that vary are made by a function of a seed or a colour.
"""

import numpy as np

from studio.noise import Array, Tile, cell_random, ramp, sample, smoothstep
from studio.sdf import Paint

FLECKS = Tile(81, 512, 0.8, 10, 200)
CLOUDY = Tile(82, 512, 1.6, 2, 60)

APPLE = ((0.62, 0.50, 0.10), (0.70, 0.34, 0.06), (0.56, 0.085, 0.035), (0.34, 0.022, 0.022))
PEAR = ((0.30, 0.33, 0.05), (0.52, 0.46, 0.09), (0.66, 0.48, 0.10), (0.52, 0.20, 0.05))
LEMON, ORANGE = (0.82, 0.60, 0.055), (0.70, 0.150, 0.006)
COBALT = (0.018, 0.050, 0.26)


def _angles(p: Array) -> tuple[Array, Array]:
    """Turns about the vertical axis (0..1) and from the top (0) to the bottom (1)."""
    size = np.linalg.norm(p, axis=1) + 1e-9
    return np.arctan2(p[:, 2], p[:, 0]) / (2 * np.pi) + 0.5, np.arccos(np.clip(p[:, 1] / size, -1, 1)) / np.pi


def apple(seed: int) -> Paint:
    """Red streaks over yellow, pale dots, green about the stalk."""

    def paint(p: Array, _: Array) -> tuple[Array, Array]:
        around, down = _angles(p)
        streak = sample(FLECKS, around * 2 + seed * 0.1, down * 0.12 + 0.3)
        patch = sample(CLOUDY, around + seed * 0.37, down * 0.5 + 0.1)
        cheek = 0.62 + 0.30 * np.sin(2 * np.pi * around + seed * 2) + 0.14 * streak + 0.17 * patch
        colour = ramp(APPLE, cheek - 0.5 * smoothstep(0.18, 0.03, down) - 0.25 * smoothstep(0.88, 1, down))
        dots = smoothstep(2.1, 2.6, sample(FLECKS, around * 3, down * 1.5))
        return colour * (1 - 0.5 * dots[:, None]) + 0.30 * dots[:, None], np.full(len(p), 0.55, np.float32)

    return paint


def pear(seed: int) -> Paint:
    """Yellow-green with a blush and russet freckles."""

    def paint(p: Array, _: Array) -> tuple[Array, Array]:
        around, down = _angles(p)
        blush = 0.40 + 0.25 * np.sin(2 * np.pi * around + seed) + 0.16 * sample(CLOUDY, around, down + seed * 0.3)
        russet = smoothstep(0.6, 2.4, sample(FLECKS, around * 3, down * 1.5))[:, None]
        top = smoothstep(0.16, 0.02, down)[:, None] * 0.6
        colour = ramp(PEAR, blush) * (1 - 0.55 * russet - top) + np.asarray([0.20, 0.11, 0.04]) * (0.55 * russet + top)
        return np.asarray(colour, np.float32), np.full(len(p), 0.30, np.float32)

    return paint


def citrus(colour: tuple[float, ...]) -> Paint:
    """Peel with pores."""

    def paint(p: Array, _: Array) -> tuple[Array, Array]:
        around, down = _angles(p)
        pores = sample(FLECKS, around * 4, down * 2)
        tone = 1 + 0.10 * sample(CLOUDY, around, down) - 0.20 * smoothstep(0.8, 2.0, pores) + 0.05 * pores
        tip = smoothstep(0.045, 0.02, down)[:, None]
        skin = np.asarray(colour, np.float32) * tone[:, None]
        skin = skin * (1 - tip) + np.asarray([0.10, 0.13, 0.04]) * tip
        return np.asarray(skin, np.float32), np.full(len(p), 0.34, np.float32)

    return paint


def cut_orange(radius: float) -> Paint:
    """A cut orange: peel outside, pith, and segments with juicy fibres on the face (+y)."""
    peel = citrus(ORANGE)

    def paint(p: Array, normal: Array) -> tuple[Array, Array]:
        across = np.hypot(p[:, 0], p[:, 2]) / radius
        turn = np.arctan2(p[:, 2], p[:, 0]) / (2 * np.pi) * 10 + 0.06 * np.sin(across * 9)
        gap = np.abs(turn - np.round(turn)) * across
        fibre = sample(FLECKS, np.floor(turn * 14) * 0.137, across * 0.35 + turn * 0.02)
        flesh = np.asarray([0.68, 0.135, 0.006]) * (1 + 0.16 * fibre - 0.25 * (across - 0.5))[:, None]
        pith = (smoothstep(0.84, 0.89, across) + smoothstep(0.055, 0.025, gap) + smoothstep(0.11, 0.07, across)).clip(
            0, 1
        )[:, None]
        face = flesh * (1 - pith) + np.asarray([0.85, 0.72, 0.46]) * pith
        rind, gloss = peel(p, normal)
        cut = (normal[:, 1] > 0.7) & (across < 0.955)
        wet = np.where(cut, 0.5 * (1 - pith[:, 0]), gloss)
        return np.where(cut[:, None], face, rind).astype(np.float32), wet.astype(np.float32)

    return paint


def grape(seed: int) -> Paint:
    """Purple skin under a pale bloom."""

    def paint(p: Array, _: Array) -> tuple[Array, Array]:
        around, down = _angles(p)
        bloom = smoothstep(-1.5, 2.5, sample(CLOUDY, around + seed * 0.17, down + seed * 0.31))[:, None]
        tint = 0.75 + 0.5 * float(cell_random(np.asarray(seed), 3, 7)[0])
        skin = np.asarray([0.075, 0.013, 0.055], np.float32) * tint
        colour = skin * (1 - 0.5 * bloom) + np.asarray([0.20, 0.17, 0.32]) * 0.5 * bloom
        return np.asarray(colour, np.float32), np.full(len(p), 0.6, np.float32)

    return paint


def jug(p: Array, _: Array) -> tuple[Array, Array]:
    """Tin glaze painted in cobalt: bands, a border of scrolls and a branch with leaves on the belly."""
    around = np.arctan2(p[:, 2], p[:, 0])
    y = p[:, 1]
    hand = 0.010 * sample(CLOUDY, around / (2 * np.pi) * 2, y * 0.8)
    lines = np.minimum.reduce([np.abs(y + hand - level) for level in (-0.50, -0.44, 0.20, 0.245, 0.58)])
    ink = smoothstep(0.014, 0.007, lines)
    scroll = np.abs(y - 0.40 - 0.055 * np.sin(around * 9) + hand) - 0.012 - 0.010 * np.cos(around * 18)
    dots = np.hypot((around * 9 / np.pi + 0.5) % 1 - 0.5, (y - 0.40 + 0.055 * np.sign(np.sin(around * 9))) * 8) - 0.22
    stem = np.abs(y + 0.12 - 0.10 * np.sin(around * 3) + hand) - 0.010
    u, v = (around * 12 / (2 * np.pi)) % 1 - 0.5, (y + 0.12 - 0.10 * np.sin(around * 3)) / 0.13
    leaf = np.abs(u - 0.22 * v * np.sign(v)) * 1.1 - 0.21 * np.sqrt(np.clip(np.abs(v) * (1.25 - np.abs(v)), 0, 1))
    leaf = np.where((np.abs(v) < 1.25) & (np.abs(v) > 0.1), leaf, 1)
    strokes = np.minimum.reduce([scroll * 6, dots * 0.5, stem * 8, leaf])
    ink = np.maximum(ink, smoothstep(0.05, -0.03, strokes) * (0.74 + 0.16 * sample(CLOUDY, around, y * 2)))
    crackle = 1 + 0.03 * sample(CLOUDY, around, y) - 0.03 * (np.abs(sample(CLOUDY, around * 1.5, y * 3)) < 0.03)
    glaze = np.asarray([0.78, 0.76, 0.69], np.float32) * crackle[:, None]
    ink = np.clip(ink, 0, 0.93)[:, None]
    return np.asarray(glaze * (1 - ink) + np.asarray(COBALT) * ink, np.float32), np.full(len(p), 0.85, np.float32)


def bowl(p: Array, normal: Array) -> tuple[Array, Array]:
    """Stoneware: a turquoise glaze that runs over a rust-coloured body."""
    around = np.arctan2(p[:, 2], p[:, 0]) / (2 * np.pi)
    run = p[:, 1] + 0.12 + 0.045 * sample(CLOUDY, around * 2, np.full_like(around, 0.2)) + 0.02 * np.sin(around * 80)
    cover = smoothstep(-0.006, 0.012, run)[:, None]
    rings = 1 + 0.10 * np.sin(p[:, 1] * 190) + 0.10 * sample(FLECKS, around * 3, p[:, 1] * 2)
    glaze = ramp(
        ((0.02, 0.10, 0.13), (0.05, 0.26, 0.28), (0.22, 0.48, 0.44)),
        0.45 + 0.25 * sample(CLOUDY, around * 3, p[:, 1]) + 1.0 * run,
    )
    body = np.asarray([0.30, 0.13, 0.06]) * rings[:, None]
    rim = smoothstep(0.155, 0.165, p[:, 1])[:, None]
    colour = (glaze * cover + body * (1 - cover)) * (1 - rim) + np.asarray([0.34, 0.17, 0.08]) * rim
    return np.asarray(colour, np.float32), (0.15 + 0.6 * cover[:, 0]).astype(np.float32)


def plain(colour: tuple[float, ...], gloss: float, mottle: float = 0.2) -> Paint:
    """One colour, a little mottled."""

    def paint(p: Array, _: Array) -> tuple[Array, Array]:
        tone = 1 + mottle * sample(FLECKS, p[:, 0] + p[:, 2], p[:, 1])
        return np.asarray(colour, np.float32) * tone[:, None], np.full(len(p), gloss, np.float32)

    return paint


def bottle(p: Array, _: Array) -> tuple[Array, Array]:
    """Dark green glass with a paper label and a wax seal."""
    around = np.arctan2(p[:, 2], p[:, 0]) + 1.75
    glass = np.asarray([0.012, 0.035, 0.014], np.float32) * (1 + 0.5 * sample(CLOUDY, around / 6.3, p[:, 1]))[:, None]
    paper = (np.abs(around) < 0.85) & (np.abs(p[:, 1] + 0.28) < 0.22)
    writing = (
        (np.abs(p[:, 1] % 0.075 - 0.037) < 0.010)
        & (sample(FLECKS, around * 0.25, np.floor(p[:, 1] / 0.075) * 0.1) > -0.4)
        & (np.abs(around) < 0.65)
    )
    label = (
        np.asarray([0.66, 0.56, 0.38])
        * (1 + 0.05 * sample(FLECKS, around, p[:, 1]))[:, None]
        * np.where(writing, 0.35, 1)[:, None]
    )
    wax = (p[:, 1] > 0.78 + 0.02 * np.sin(around * 7))[:, None]
    colour = np.where(wax, [0.36, 0.03, 0.025], np.where(paper[:, None], label, glass))
    return colour.astype(np.float32), np.where(paper, 0.05, 0.9).astype(np.float32)
