"""Content image: a still life by window light, sphere traced: fruit, jug, bowl, bottle, a striped cloth on oak."""

import numpy as np
import numpy.typing as npt

from studio import camera
from studio.noise import Array, Tile, cell_random, sample, smoothstep
from studio.sdf import FAR, Thing, occlusion, shadow, trace
from studio.still_life_paints import CLOUDY, FLECKS
from studio.still_life_things import things

EYE = np.asarray([0.15, 1.75, -4.7], np.float32)
AHEAD = np.asarray([-0.15, -1.25, 4.9], np.float32) / np.float32(np.sqrt(0.15**2 + 1.25**2 + 4.9**2))
HALF_WIDTH = 0.385
"""Tangent of half the horizontal field of view."""
TABLE_END, WALL = 1.55, 2.9
"""Depth (z) of the table's far edge and of the wall."""

LAMP = np.asarray([-0.78, 0.72, -0.42], np.float32) / np.float32(np.sqrt(0.78**2 + 0.72**2 + 0.42**2))
LAMP_LIGHT = np.asarray([2.9, 2.55, 2.05], np.float32)
ROOM = np.asarray([0.30, 0.34, 0.42], np.float32)
"""Light of the room, strongest from the window's side."""
GRAIN = Tile(91, 512, 1.1, 3, 200)
CREASES = Tile(92, 512, 1.7, 2, 14)


def render(width: int, height: int) -> npt.NDArray[np.uint8]:
    """Render the still life: height x width x 3, RGB."""
    items = things()
    total = np.zeros((height * width, 3), np.float32)
    for place in camera.SAMPLES:
        direction = camera.rays(AHEAD, HALF_WIDTH, 0.5, width, height, place)
        total += camera.expose(_radiance(items, np.broadcast_to(EYE, direction.shape), direction), 0.80)
    return camera.develop(total.reshape(height, width, 3) / len(camera.SAMPLES), 1.0)


def _radiance(items: list[Thing], origin: Array, direction: Array) -> Array:
    """Light along rays: the things, else the table and its cloth, else the wall."""
    distance, which = trace(items, origin, direction)
    ground = _table_distance(origin, direction)
    on_table = ground < distance
    point = origin + direction * np.minimum(np.minimum(distance, ground), FAR / 10)[:, None]
    back = (WALL - origin[:, 2]) / np.maximum(direction[:, 2], 1e-6)
    wall = ~on_table & (which < 0)
    point[wall] = origin[wall] + direction[wall] * back[wall, None]

    albedo, gloss = np.zeros_like(point), np.zeros(len(point), np.float32)
    normal = np.zeros_like(point)
    albedo[on_table], gloss[on_table], normal[on_table] = _table(point[on_table])
    albedo[wall], normal[wall] = _wall(point[wall]), [0, 0, -1]
    for index, item in enumerate(items):
        rows = np.flatnonzero((which == index) & ~on_table)
        if len(rows):
            own = item.own(point[rows])
            inward = item.normal(own)
            albedo[rows], gloss[rows] = item.paint(own, inward)
            normal[rows] = inward @ item.turn.T
    return _shade(items, point, direction, normal, albedo, gloss, wall)


def _shade(items: list[Thing], point: Array, direction: Array, normal: Array, albedo: Array, gloss: Array,
           wall: npt.NDArray[np.bool_]) -> Array:  # fmt: skip
    """Window light with soft shadows, the light of the room with occlusion, warm bounce, glossy reflections."""
    facing = normal @ LAMP
    lit = np.flatnonzero((facing > -0.05) & ~wall)
    seen = np.zeros(len(point), np.float32)
    start = point[lit] + normal[lit] * np.float32(0.012)
    seen[lit] = shadow(items, start, np.broadcast_to(LAMP, start.shape), 7.0)
    facing = np.clip(facing * 0.94 + 0.06, 0, 1) * seen
    open_room = np.ones(len(point), np.float32)
    solid = np.flatnonzero(~wall)
    open_room[solid] = occlusion(items, point[solid] + normal[solid] * np.float32(0.004), normal[solid])
    open_room *= np.where(wall, 1, smoothstep(-0.10, 0.28, point[:, 1]) * 0.25 * (normal[:, 1] < 0.6) + 0.75)
    skyward = 0.62 - 0.38 * normal[:, 0] + 0.2 * normal[:, 1]
    bounce = np.clip(0.45 - 0.55 * normal[:, 1], 0, 1) * np.exp(-np.clip(point[:, 1], 0, 5) * 1.6)
    light = facing[:, None] * LAMP_LIGHT + (skyward * open_room)[:, None] * ROOM
    light += (bounce * (0.35 + 0.65 * open_room))[:, None] * np.asarray([0.40, 0.25, 0.13], np.float32)
    light[wall] = _wall_light(point[wall])
    colour = albedo * light

    mirrored = direction - 2 * np.sum(direction * normal, 1)[:, None] * normal
    edge = (1 - np.clip(-np.sum(direction * normal, 1), 0, 1)) ** 5
    shine = gloss * (0.060 + 0.75 * edge * open_room)
    return np.asarray(
        colour
        + shine[:, None] * _surroundings(mirrored, gloss) * (0.25 + 0.75 * np.maximum(seen, open_room * 0.5))[:, None],
        np.float32,
    )


def _surroundings(direction: Array, gloss: Array) -> Array:
    """What a glossy thing mirrors: a bright barred window on the left in a dim room."""
    side = np.cross(LAMP, [0, 1, 0])
    side /= np.linalg.norm(side)
    up = np.cross(side, LAMP)
    depth = np.maximum(direction @ LAMP, 1e-3)
    a, b = direction @ side / depth, direction @ up / depth
    soft = 0.03 + 0.16 * (1 - gloss)
    inside = np.clip((0.27 - np.abs(a)) / soft, 0, 1) * np.clip((0.36 - np.abs(b)) / soft, 0, 1)
    bars = np.clip((np.minimum(np.abs(a), np.abs(np.abs(b) - 0.12)) - 0.012) / soft, 0, 1)
    window = inside * (1 - (1 - bars) * np.clip(1.4 * gloss, 0, 1)) * (direction @ LAMP > 0)
    room = (0.25 - 0.20 * direction[:, 0] + 0.16 * direction[:, 1])[:, None] * np.asarray([0.62, 0.60, 0.58])
    return np.asarray(
        window[:, None] * np.asarray([15.0, 14.4, 13.4]) * (0.3 + 0.7 * gloss)[:, None] + np.clip(room, 0.02, 1),
        np.float32,
    )


def _cloth(x: Array, z: Array) -> tuple[Array, Array, Array]:
    """The cloth: its height over the table (0 where there is none) and weave coordinates along and across."""
    c, s = np.cos(0.42), np.sin(0.42)
    a, b = c * (x - 0.75) + s * (z + 0.55), -s * (x - 0.75) + c * (z + 0.55)
    a = a + 0.05 * sample(CREASES, x * 0.12, z * 0.12)
    b = b + 0.05 * sample(CREASES, x * 0.12 + 0.4, z * 0.12)
    edge = np.minimum(1.25 - np.abs(a), 0.78 - np.abs(b))
    folds = np.zeros_like(x)
    for place, turn, tall, wide in (
        (-0.78, 0.25, 0.085, 0.055),
        (-0.42, -0.15, 0.060, 0.045),
        (0.98, 0.30, 0.075, 0.06),
        (0.62, -0.35, 0.045, 0.04),
    ):
        line = a - place - turn * b - 0.06 * np.sin(5 * b + 9 * place)
        folds = folds + tall * np.exp(-((line / wide) ** 2)) * smoothstep(0.55, -0.25, b * np.sign(turn) + 0.1)
    soft = 0.010 * sample(CREASES, x * 0.25, z * 0.25 + 0.2)
    # Folds die out towards the hem, which lies flat.
    folds = folds * smoothstep(0.0, 0.18, edge)
    lay = smoothstep(0.0, 0.03, edge)
    return np.asarray((0.016 + np.clip(folds + soft, -0.004, 0.12)) * lay, np.float32), a, b


def _table_distance(origin: Array, direction: Array) -> Array:
    """Distance to the table top with its cloth, FAR where a ray misses it."""
    t = (0.14 - origin[:, 1]) / np.minimum(direction[:, 1], -1e-6)
    down = np.flatnonzero(direction[:, 1] < -1e-3)
    result = np.full(len(origin), FAR, np.float32)
    at, o, d = t[down].astype(np.float32), origin[down], direction[down]
    for _ in range(32):
        p = o + d * at[:, None]
        at = at + (p[:, 1] - _cloth(p[:, 0], p[:, 2])[0]) * np.float32(0.65)
    p = o + d * at[:, None]
    result[down] = np.where(p[:, 2] < TABLE_END, at, FAR)
    return result


def _table(point: Array) -> tuple[Array, Array, Array]:
    """Colour, gloss and normal of the table top: oak boards, or striped linen where the cloth lies."""
    x, z = point[:, 0], point[:, 2]
    height, a, b = _cloth(x, z)
    step = np.float32(4e-3)
    slope_x = (_cloth(x + step, z)[0] - _cloth(x - step, z)[0]) / (2 * step)
    slope_z = (_cloth(x, z + step)[0] - _cloth(x, z - step)[0]) / (2 * step)

    board = np.floor(z / 0.42 + 0.3)
    shift = cell_random(board, 2, 3)
    ring = z * 1.1 + 0.30 * sample(CREASES, x * 0.05 + shift * 7, z * 0.4 + shift)
    figure = 0.5 + 0.5 * np.sin(ring * 60 + 9 * shift)
    pore = sample(GRAIN, x * 0.10 + shift, z * 1.6)
    seam = np.abs(z / 0.42 + 0.3 - np.round(z / 0.42 + 0.3)) < 0.012
    oak = np.asarray([0.30, 0.155, 0.068], np.float32) * (0.72 + 0.30 * shift + 0.28 * figure + 0.10 * pore)[:, None]
    oak = np.where(seam[:, None], oak * 0.22, oak)

    thread = 1 + 0.10 * sample(FLECKS, a * 2.2, b * 0.3) + 0.10 * sample(FLECKS, a * 0.3, b * 2.2)
    wide = (np.abs(b % 0.30 - 0.15) < 0.050)[:, None]
    thin = (np.abs(np.abs(b % 0.30 - 0.15) - 0.078) < 0.010)[:, None]
    linen = (
        np.where(wide, [0.47, 0.045, 0.035], np.where(thin, [0.05, 0.09, 0.24], [0.72, 0.66, 0.54])) * thread[:, None]
    )
    hem = np.minimum(1.25 - np.abs(a), 0.78 - np.abs(b)) < 0.035
    linen = np.where(hem[:, None], linen * 0.86, linen)

    covered = (height > 0.004)[:, None]
    bumps = np.where(covered[:, 0], 0.05 * sample(FLECKS, a * 1.7, b * 1.7), 0.03 * pore)
    normal = np.stack([-slope_x + bumps, np.ones_like(x), -slope_z + bumps], 1)
    normal /= np.linalg.norm(normal, axis=1)[:, None]
    return (
        np.where(covered, linen, oak).astype(np.float32),
        np.where(covered[:, 0], 0.0, 0.22).astype(np.float32),
        normal.astype(np.float32),
    )


def _wall(point: Array) -> Array:
    """Limewashed plaster, brushed and stained."""
    x, y = point[:, 0], point[:, 1]
    tone = (
        1
        + 0.13 * sample(CREASES, x * 0.10, y * 0.10)
        + 0.07 * sample(CLOUDY, x * 0.2, y * 0.2)
        + 0.04 * sample(GRAIN, x * 0.3, y * 0.3)
    )
    return np.asarray(np.asarray([0.31, 0.36, 0.27], np.float32) * tone[:, None], np.float32)


def _wall_light(point: Array) -> Array:
    """A slanting patch of window light with the shadow of bars and leaves, on a wall that darkens to the right."""
    x, y = point[:, 0], point[:, 1]
    a, b = x - 0.35 + 0.55 * (y - 1.3), y - 1.55
    patch = smoothstep(1.05, 0.93, np.abs(a)) * smoothstep(0.95, 0.82, np.abs(b))
    bars = smoothstep(0.02, 0.08, np.abs(a)) * smoothstep(0.02, 0.08, np.abs(np.abs(b) - 0.32))
    leaves = 0.35 + 0.65 * smoothstep(0.7, -0.5, sample(CREASES, a * 0.16 + 0.2, b * 0.16 + 0.6) + 0.45 * a - 0.2)
    glow = 0.70 * patch * bars * leaves
    room = 0.80 - 0.16 * x - 0.10 * (y - 1)
    return np.asarray(
        np.clip(room, 0.08, 1)[:, None] * np.asarray([0.62, 0.64, 0.66]) + glow[:, None] * LAMP_LIGHT * 0.8, np.float32
    )
