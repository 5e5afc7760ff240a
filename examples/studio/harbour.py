"""Content image: a ray-traced harbour of gabled houses at the water, boats, hills and an evening sky."""

import numpy as np
import numpy.typing as npt

from studio import camera, harbour_surfaces
from studio.harbour_parts import CLOTH
from studio.harbour_sky import HAZE, SUN, SUN_LIGHT, sky
from studio.harbour_town import town
from studio.noise import Array, Ints, Tile, cell_random, sample, smoothstep
from studio.raytrace import FAR, Card, Hits, Solid, blocked, trace

SEED = 5
EYE = np.asarray([5.0, 6.2, 0.0], np.float32)
AHEAD = np.asarray([0.0, 0.0, 1.0], np.float32)
HALF_WIDTH = 0.62
"""Tangent of half the horizontal field of view."""
HORIZON = 0.57
"""Height of the horizon, from the top of the picture, as a share of its height."""
AMBIENT = np.asarray([0.50, 0.60, 0.74], np.float32)
WATER_BODY = np.asarray([0.020, 0.050, 0.048], np.float32)

FINE, BROAD = Tile(71, 512, 1.25, 6, 120), Tile(72, 512, 1.6, 3, 30)
"""Ripples and swell."""


class Harbour:
    """The scene, flattened to tables that hits can index."""

    def __init__(self, solids: list[Solid], cards: list[Card]) -> None:
        self.solids, self.cards = solids, cards
        most = max(len(item.normals) for item in solids)
        self.normals = np.stack([np.pad(item.normals, ((0, most - len(item.normals)), (0, 0))) for item in solids])
        self.frames = np.stack([item.frame for item in solids])
        self.looks = np.stack([item.look for item in solids])
        self.surfaces = np.asarray([item.surface for item in solids])

    def radiance(
        self, origin: Array, direction: Array, open_sky: Array | None = None, bounce: bool = True
    ) -> tuple[Array, Hits]:
        """Light that arrives along rays; ``open_sky`` is the share of sky that each hit sees."""
        hits = trace(self.solids, self.cards, origin, direction)
        water = (
            (-origin[:, 1] / np.minimum(direction[:, 1], -1e-5)) if bounce else np.full(len(origin), FAR, np.float32)
        )
        wet = (direction[:, 1] < 0) & (water < hits.distance) if bounce else np.zeros(len(origin), np.bool_)
        light = np.empty((len(origin), 3), np.float32)
        dry = ~wet & (hits.solid >= 0)
        card = ~wet & (hits.card >= 0)
        none = ~(wet | dry | card)
        light[none] = sky(direction[none])
        sight = np.ones(len(origin), np.float32) * 0.75 if open_sky is None else open_sky
        light[dry] = self._shade(origin[dry], direction[dry], hits, dry, sight[dry])
        light[card] = hits.colour[card] * (0.36 * SUN_LIGHT + 0.4 * AMBIENT)
        if wet.any():
            light[wet] = self._water(origin[wet] + direction[wet] * water[wet, None], direction[wet], water[wet])
        distance = np.where(wet, water, hits.distance)
        fog = np.where(none, 0, 1 - np.exp(-distance / 1500))[:, None]
        return light * (1 - fog) + HAZE * 0.9 * fog, hits

    def _shade(self, origin: Array, direction: Array, hits: Hits, rows: npt.NDArray[np.bool_], sight: Array) -> Array:
        """Colour of solids: sun with shadow, sky, light thrown back by the ground, reflections in panes."""
        which, distance = hits.solid[rows], hits.distance[rows]
        normal = self.normals[which, hits.plane[rows]]
        point = origin + direction * distance[:, None]
        axes = self.frames[which]
        local = np.einsum("nij,nj->ni", axes[:, 1:], point - axes[:, 0])
        local_normal = np.einsum("nij,nj->ni", axes[:, 1:], normal)
        albedo, pane = np.zeros_like(point), np.zeros(len(point), np.bool_)
        for surface in np.unique(self.surfaces[which]):
            part = np.flatnonzero(self.surfaces[which] == surface)
            albedo[part], pane[part] = harbour_surfaces.colours(
                int(surface), self.looks[which[part]], local[part], local_normal[part]
            )
        # Sails let light through: they are lit from whichever side the sun is on.
        thin = self.surfaces[which] == CLOTH
        facing = normal @ SUN
        facing = np.where(thin, np.abs(facing) * np.where(facing < 0, 0.42, 1), np.clip(facing, 0, 1))
        lit = np.flatnonzero(facing > 0)
        start = point[lit] + np.where(thin[lit, None], SUN * np.float32(0.4), normal[lit] * np.float32(0.02))
        towards = SUN + _jitter(start) * np.float32(0.006)
        towards /= np.linalg.norm(towards, axis=1)[:, None]
        facing[lit[blocked(self.solids, self.cards, start, towards)]] = 0
        above = (0.55 + 0.45 * normal[:, 1]) * sight
        back = (0.5 - 0.5 * normal[:, 1]) * 0.5 + 0.12
        light = facing[:, None] * SUN_LIGHT + above[:, None] * AMBIENT + back[:, None] * np.asarray([0.30, 0.25, 0.19])
        colour = albedo * light
        mirrored = direction - 2 * np.sum(direction * normal, 1)[:, None] * normal
        gleam = 0.06 + 0.94 * (1 - np.abs(np.sum(direction * normal, 1))) ** 5
        colour[pane] = colour[pane] * 0.6 + gleam[pane, None] * sky(mirrored[pane], detail=False) * 1.6
        return np.asarray(colour, np.float32)

    def _water(self, point: Array, direction: Array, distance: Array) -> Array:
        """Rippled water: what it mirrors by Fresnel's law, over its own green."""
        normal = _ripples(point, distance)
        mirrored = direction - 2 * np.sum(direction * normal, 1)[:, None] * normal
        mirrored[:, 1] = np.abs(mirrored[:, 1]) + 0.004
        mirrored /= np.linalg.norm(mirrored, axis=1)[:, None]
        above = point + np.asarray([0, 0.01, 0], np.float32)
        image, _ = self.radiance(above, mirrored.astype(np.float32), bounce=False)
        steep = np.clip(-np.sum(direction * normal, 1), 0, 1)
        fresnel = (0.025 + 0.975 * (1 - steep) ** 5)[:, None]
        glint = np.clip(mirrored @ SUN, 0, 1) ** 1200 * 14
        return np.asarray(
            image * fresnel + WATER_BODY * (1 - fresnel) + (fresnel * glint[:, None]) * SUN_LIGHT, np.float32
        )


def render(width: int, height: int) -> npt.NDArray[np.uint8]:
    """Render the harbour: height x width x 3, RGB."""
    scene = Harbour(*town())
    views = [camera.rays(AHEAD, HALF_WIDTH, HORIZON, width, height, place) for place in camera.SAMPLES]
    origin = np.broadcast_to(EYE, views[0].shape)
    open_sky = _openness(scene, origin, views[0], width, height)
    total = np.zeros((height * width, 3), np.float32)
    for direction in views:
        light, _ = scene.radiance(origin, direction, open_sky)
        total += camera.expose(light, 0.70)
    return camera.develop(total.reshape(height, width, 3) / len(views), 1.12)


def _jitter(point: Array) -> Array:
    """A random vector in [-1, 1]^3 for each point."""
    rows = np.arange(len(point))
    return np.stack([cell_random(rows, axis, SEED) for axis in range(3)], 1) * 2 - 1


def _openness(scene: Harbour, origin: Array, direction: Array, width: int, height: int) -> Array:
    """Share of the sky seen from what each pixel shows: one random ray each, averaged over a face's pixels."""
    hits = trace(scene.solids, scene.cards, origin, direction)
    rows = np.flatnonzero(hits.solid >= 0)
    normal = scene.normals[hits.solid[rows], hits.plane[rows]]
    point = origin[rows] + direction[rows] * hits.distance[rows, None] + normal * np.float32(0.03)
    ray = _jitter(point)
    ray = normal * np.float32(1.02) + ray / np.linalg.norm(ray, axis=1)[:, None]
    ray[:, 1] = np.abs(ray[:, 1])
    ray /= np.linalg.norm(ray, axis=1)[:, None]
    seen = np.ones(len(origin), np.float32)
    seen[rows] = ~blocked(scene.solids, scene.cards, point, ray.astype(np.float32))
    face = (hits.solid * 16 + hits.plane).reshape(height, width)
    return _average_within(seen.reshape(height, width), face, 4).ravel()


def _average_within(values: Array, label: Ints, reach: int) -> Array:
    """Mean over the neighbours, up to ``reach`` pixels away, that carry the same label."""
    height, width = values.shape
    total, count = np.zeros_like(values), np.zeros_like(values)
    for dy in range(-reach, reach + 1):
        for dx in range(-reach, reach + 1):
            here = (slice(max(dy, 0), height + min(dy, 0)), slice(max(dx, 0), width + min(dx, 0)))
            there = (slice(max(-dy, 0), height + min(-dy, 0)), slice(max(-dx, 0), width + min(-dx, 0)))
            same = label[here] == label[there]
            total[here] += values[there] * same
            count[here] += same
    return total / count


def _ripples(point: Array, distance: Array) -> Array:
    """Normals of water ruffled by a light breeze, calmer in the lee of the quay."""
    x, z = point[:, 0], point[:, 2]
    gust = smoothstep(-1.0, 1.5, sample(BROAD, x * 0.004 + 0.2, z * 0.0025))
    strength = 0.009 + 0.026 * gust
    slope_x = 0.7 * sample(FINE, x * 0.055, z * 0.042) + 0.5 * sample(BROAD, x * 0.028 + 0.4, z * 0.016)
    slope_z = 1.3 * sample(FINE, x * 0.055 + 0.5, z * 0.042) + 0.8 * sample(BROAD, x * 0.028, z * 0.016 + 0.3)
    normal = np.stack([-strength * slope_x, np.ones_like(x), -strength * slope_z], 1)
    return np.asarray(normal / np.linalg.norm(normal, axis=1)[:, None], np.float32)
