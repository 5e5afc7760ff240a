"""How alike the answers of vgg19-slim and VGG-19 are, tap by tap, on pictures that it was not trained on.

    python -m impasto.bench.studies.likeness --content examples/harbour.jpg examples/still_life.jpg \
        --style examples/swirls.jpg examples/mosaic.jpg examples/woodcut.jpg -o FILE.json

With the pooling that it was trained for and with the other:

    feature_error    squared error of a tap relative to its power, on crops of the pictures
    content_ratio    vgg19-slim's content term over VGG-19's, between the pictures of every pair
    style_ratio      likewise of style terms
    gradient_cosine  between the gradients of the style loss at the content image

The first and the last are means, ratios geometric means over the pairs. A folded tap has fewer channels, and stands for
VGG-19's up to a rotation: that is fitted (orthogonal Procrustes) on photographs of scikit-image, which are in the
training data, and is not changed for the pictures.
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from impasto.bench.record import write
from impasto.bench.studies.imitation import geometric_mean, photograph, squared, stem
from impasto.bench.studies.study import as_script, begin, command_line
from impasto.engine import Engine, Settings
from impasto.engine.runtime.session import Graph, Session
from impasto.engine.settings import POOLINGS
from impasto.export.objective import build_targets
from impasto.export.serialised import whole
from impasto.export.tap_graph import available_taps
from impasto.export.terms import IMAGE
from impasto.models.store import EMBEDDED, FULL

FITTED_ON = tuple(f"skimage:{name}" for name in ("astronaut", "cat", "coffee", "rocket", "brick", "grass", "moon"))
CROPS = 8  # of each picture
CROP_PX = 128
SIDE_PX = 192  # of whole pictures

Features = Mapping[str, np.ndarray]


def main() -> None:
    """Measure with both poolings and write it down."""
    parser = command_line(__doc__, model=EMBEDDED)
    parser.add_argument("--content", nargs="+", required=True, help="pictures: files, or skimage:NAME")
    parser.add_argument("--style", nargs="+", required=True, help="likewise")
    parser.add_argument("--full", default=FULL, metavar="MODEL", help="what it is compared with")
    parser.add_argument("--crops", type=int, default=CROPS, help="of each picture")
    arguments = parser.parse_args()
    record = begin(__doc__, arguments)
    engines = [
        Engine(name, provider="cpu", precision="fp32", threads=arguments.threads)
        for name in (arguments.model, arguments.full)
    ]
    held_out = [*arguments.content, *arguments.style]
    record |= {"networks": {engine.network.name: engine.network.sha256 for engine in engines}}
    record |= {"fitted_on": FITTED_ON, "pictures": [stem(source) for source in held_out], "poolings": {}}
    pairs = list(itertools.product(arguments.content, arguments.style))
    for pool in POOLINGS:
        small = answers(engines, CROP_PX, pool, arguments.threads)
        rotations = fitted(*small, crops(FITTED_ON, arguments.crops))
        large = answers(engines, SIDE_PX, pool, arguments.threads)
        content, style = ratios(*large, pairs)
        record["poolings"][pool] = {
            "feature_error": errors(*small, crops(held_out, arguments.crops), rotations),
            "content_ratio": content,
            "style_ratio": style,
            "gradient_cosine": float(np.mean([cosine(engines, *pair, pool) for pair in pairs])),
        }
        write(arguments.output, record)
        print(pool, record["poolings"][pool], flush=True)


class Answers:
    """A network as a function: image, float32 H x W x 3, 0..1 -> {tap: (channels, positions)}."""

    def __init__(self, engine: Engine, side_px: int, pool: str, threads: int) -> None:
        network = engine.network.model
        self._taps = available_taps(network)
        graph = build_targets(network, content_taps=self._taps, height=side_px, width=side_px, pool=pool)
        self._session = Session(Graph(whole(graph)), engine.provider, threads)

    def __call__(self, image: np.ndarray) -> Features:
        """Return the values of every tap."""
        self._session.set(IMAGE, np.ascontiguousarray(image.transpose(2, 0, 1)[None]))
        found = self._session.run()
        return {tap: found[f"content_{tap}"].reshape(found[f"content_{tap}"].shape[1], -1) for tap in self._taps}


def answers(engines: Sequence[Engine], side_px: int, pool: str, threads: int) -> tuple[Answers, Answers]:
    """Return both networks as functions."""
    slim, full = (Answers(engine, side_px, pool, threads) for engine in engines)
    return slim, full


def crops(sources: Iterable[str], count: int) -> Iterable[np.ndarray]:
    """Yield crops of pictures, always the same ones."""
    rng = np.random.default_rng(0)
    for source in sources:
        picture = np.asarray(photograph(source).convert("RGB"), np.float32) / np.float32(255)
        for _ in range(count):
            top, left = (int(rng.integers(0, extent - CROP_PX + 1)) for extent in picture.shape[:2])
            yield picture[top : top + CROP_PX, left : left + CROP_PX]


def fitted(slim: Answers, full: Answers, images: Iterable[np.ndarray]) -> Features:
    """Return the orthonormal Q (C, r) of every tap for which Q g is closest to F: g the slim tap, F the full one's."""
    moments: dict[str, Any] = {}
    for image in images:
        own, wanted = slim(image), full(image)
        for tap, g in own.items():
            moments[tap] = moments.get(tap, 0) + wanted[tap].astype(np.float64) @ g.T
    svd = {tap: np.linalg.svd(moment, full_matrices=False) for tap, moment in moments.items()}
    return {tap: (u @ vh).astype(np.float32) for tap, (u, _, vh) in svd.items()}


def errors(slim: Answers, full: Answers, images: Iterable[np.ndarray], rotations: Features) -> dict[str, float]:
    """Return sum ||F - Q g||^2 / sum ||F||^2 of every tap."""
    wrong, power = dict.fromkeys(rotations, 0.0), dict.fromkeys(rotations, 0.0)
    for image in images:
        own, wanted = slim(image), full(image)
        for tap, rotation in rotations.items():
            wrong[tap] += square(wanted[tap] - rotation @ own[tap])
            power[tap] += square(wanted[tap])
    return {tap: wrong[tap] / power[tap] for tap in rotations}


def ratios(slim: Answers, full: Answers, pairs: Sequence[tuple[str, str]]) -> tuple[dict[str, float], dict[str, float]]:
    """Return slim's content and style terms over the full network's; channels and positions cancel out."""
    content: dict[str, list[float]] = {}
    style: dict[str, list[float]] = {}
    for pair in pairs:
        images = [np.asarray(squared(source, SIDE_PX), np.float32) / np.float32(255) for source in pair]
        (own_a, full_a), (own_b, full_b) = ([copied(slim(image)), copied(full(image))] for image in images)
        for tap in own_a:
            distances = [square(a[tap] - b[tap]) for a, b in ((own_a, own_b), (full_a, full_b))]
            content.setdefault(tap, []).append(distances[0] / distances[1])
            distances = [square(gram(a[tap]) - gram(b[tap])) for a, b in ((own_a, own_b), (full_a, full_b))]
            style.setdefault(tap, []).append(distances[0] / distances[1])
    content_mean, style_mean = (
        {tap: geometric_mean(values) for tap, values in found.items()} for found in (content, style)
    )
    return content_mean, style_mean


def copied(features: Features) -> Features:
    """Return features that the next run does not overwrite."""
    return {tap: value.copy() for tap, value in features.items()}


def gram(features: np.ndarray) -> np.ndarray:
    """Return F F^T."""
    return np.asarray(features.astype(np.float64) @ features.T)


def square(values: np.ndarray) -> float:
    """Return the sum of squares."""
    return float(np.square(values, dtype=np.float64).sum())


def cosine(engines: Iterable[Engine], content: str, style: str, pool: str) -> float:
    """Return the cosine between the networks' gradients of the style loss at the content image."""
    scene, painting = squared(content, SIDE_PX), squared(style, SIDE_PX)
    settings = Settings(size=0, pool=pool, content_weight=0)
    a, b = (engine.evaluate(scene, scene, painting, settings).gradient.ravel() for engine in engines)
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


if __name__ == "__main__":
    as_script(main)
