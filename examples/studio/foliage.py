"""A picture of a broad-leaved tree: thousands of leaves on blobs of foliage, lit from the right."""

import functools

import numpy as np

from studio.noise import Array, ramp

LEAF = ((0.02, 0.035, 0.012), (0.05, 0.08, 0.02), (0.12, 0.17, 0.035), (0.26, 0.29, 0.07), (0.46, 0.42, 0.14))
"""Linear colours of leaves from shade to sun."""


@functools.cache
def tree_picture(seed: int, side: int = 420) -> Array:
    """Paint a tree: side x side x 4, linear RGB and an alpha of 0 or 1, row 0 at the top."""
    rng = np.random.default_rng(700 + seed)
    picture = np.zeros((side, side, 4), np.float32)
    _branches(picture, rng)
    centres = np.stack([rng.normal(0.5, 0.17, 26), 0.38 + rng.normal(0, 0.13, 26), rng.normal(0, 0.15, 26)], 1)
    centres[:, :2] = np.clip(centres[:, :2], 0.17, 0.83)
    centres[:, 1] = np.clip(centres[:, 1], 0.16, 0.62)
    radii = rng.uniform(0.07, 0.15, 26)
    which = rng.integers(0, 26, 15000)
    normal = rng.normal(size=(15000, 3))
    normal /= np.linalg.norm(normal, axis=1)[:, None]
    leaf = centres[which] + normal * (radii[which] * rng.uniform(0.6, 1.08, 15000))[:, None]
    # Lit by the sun (right, up, front), dimmed in the depth of the crown and underneath.
    sun = normal @ np.asarray([0.75, -0.55, -0.35])
    outer = np.linalg.norm(leaf - [0.5, 0.40, 0.0], axis=1)
    tone = 0.30 + 0.27 * sun + 0.55 * (outer - 0.22) - 0.5 * (leaf[:, 1] - 0.4) + rng.normal(0, 0.09, 15000)
    order = np.argsort(-leaf[:, 2])
    tints = ramp(LEAF, tone.astype(np.float32)) * rng.uniform(0.85, 1.15, (15000, 1)) * [1.0 + 0.08 * seed, 1, 1]
    turn = rng.uniform(0, np.pi, 15000)
    for du in np.linspace(-0.0065, 0.0065, 7):
        for dv in np.linspace(-0.003, 0.003, 4):
            px = leaf[:, 0] + du * np.cos(turn) - dv * np.sin(turn)
            py = leaf[:, 1] + du * np.sin(turn) + dv * np.cos(turn)
            column = np.clip(px * side, 0, side - 1).astype(np.int64)[order]
            line = np.clip(py * side, 0, side - 1).astype(np.int64)[order]
            picture[line, column, :3] = tints[order]
            picture[line, column, 3] = 1
    return picture


def _branches(picture: Array, rng: np.random.Generator) -> None:
    """Draw the trunk and a few boughs, lit on their right."""
    side = len(picture)
    boughs = [(0.5, 1.0, 0.5, 0.42, 0.020)]
    boughs += [
        (0.5, 0.72 - 0.05 * k, 0.5 + rng.uniform(0.1, 0.25) * (-1) ** k, rng.uniform(0.3, 0.5), 0.010) for k in range(5)
    ]
    for x0, y0, x1, y1, wide in boughs:
        s = np.linspace(0, 1, 3 * side)[:, None]
        v = np.linspace(-1, 1, 41)[None, :]
        x = x0 + (x1 - x0) * s + 0.012 * np.sin(9 * s + x1 * 20) + v * wide * (1.15 - 0.8 * s)
        y = y0 + (y1 - y0) * s + 0 * v
        column = np.clip(x * side, 0, side - 1).astype(np.int64)
        line = np.clip(y * side, 0, side - 1).astype(np.int64)
        bark = (0.06 + 0.10 * (v + 1) / 2 + 0.03 * np.sin(40 * v + 60 * s * v)) * np.ones_like(s)
        picture[line, column, :3] = bark[..., None] * np.asarray([1.2, 1.0, 0.8])
        picture[line, column, 3] = 1
