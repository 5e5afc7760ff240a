"""How close vgg19-slim comes to VGG-19: `python -m impasto.bench.imitation FOLDER -o pictures --json FILE`.

Both networks paint the same pairs from the content image, with the paper's alpha/beta of 1e-3 and the same number of
evaluations, and VGG-19 scores what the files hold. FOLDER has `neckarfront.jpg` and paintings; two photographs come out
of scikit-image. Finished pairs are found again.
"""

import argparse
import json
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from impasto.engine import Engine, Settings
from impasto.models.store import EMBEDDED, FULL, atomic_file

PHOTOGRAPH = "neckarfront"
FROM_SCIKIT_IMAGE = ("astronaut", "cat")
SIDE_PX = 256


def main() -> None:
    """Paint, score, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder of the pictures")
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--evaluations", type=int, default=300)
    parser.add_argument("--every", type=int, default=1, metavar="N", help="paint only each N-th pair")
    parser.add_argument("--threads", type=int, default=0, help="of one operator; 0 takes every core")
    parser.add_argument("--model", action="append", help=f"repeatable; default: {EMBEDDED} and {FULL}")
    arguments = parser.parse_args()
    settings = Settings(
        size=0, content_weight=1e-3, iterations=arguments.evaluations, evaluations=arguments.evaluations
    )
    arguments.output.mkdir(parents=True, exist_ok=True)
    models = arguments.model or [EMBEDDED, FULL]
    for model in models:
        with Engine(model, provider="cpu", precision="fp32", threads=arguments.threads) as engine:
            for name, content, style in list(pairs(arguments.folder, arguments.output))[:: arguments.every]:
                target = arguments.output / f"{name}-{model}.png"
                if not target.is_file():
                    result = engine.transfer(content, style, settings)
                    result.save(target)
                    print(f"{name} {model}: {result.evaluations} evaluations, {result.seconds:.0f} s", flush=True)
    scores = score(arguments.folder, arguments.output, models, settings)
    with atomic_file(arguments.json) as part:
        part.write_text(
            json.dumps({"summary": summary(scores), "settings": settings.as_dict(), "pairs": scores}, indent=1)
        )
    print(json.dumps(summary(scores), indent=1))


def pairs(folder: Path, inputs: Path) -> Iterator[tuple[str, Path, Path]]:
    """Yield (name, content, style); all pictures are brought to one square size, so that literal sums compare."""
    files = {path.stem: path for path in sorted(folder.glob("*.jpg"))}
    photographs: dict[str, Image.Image] = {PHOTOGRAPH: Image.open(files.pop(PHOTOGRAPH))}
    photographs |= {name: Image.fromarray(photograph(name)) for name in FROM_SCIKIT_IMAGE}
    for content_name, content in photographs.items():
        for style_name, path in files.items():
            first = squared(content, inputs / f"input-{content_name}.png")
            second = squared(Image.open(path), inputs / f"input-{style_name}.png")
            yield f"{content_name}-{style_name}", first, second


def photograph(name: str) -> np.ndarray:
    """Return a photograph that comes inside scikit-image's wheel."""
    from skimage import data

    return np.asarray(getattr(data, name)())


def squared(image: Image.Image, path: Path) -> Path:
    """Write a picture as a square, once."""
    if not path.is_file():
        image.convert("RGB").resize((SIDE_PX, SIDE_PX), Image.Resampling.LANCZOS).save(path)
    return path


def score(folder: Path, output: Path, models: list[str], settings: Settings) -> dict[str, dict[str, dict[str, float]]]:
    """Return {pair: {model or "start": {"content", "style"}}} as VGG-19 sees it, every value with its weight."""
    scores: dict[str, dict[str, dict[str, float]]] = {}
    with Engine(FULL, provider="cpu", precision="fp32") as judge:
        for name, content, style in pairs(folder, output):
            images = {"start": content, **{model: output / f"{name}-{model}.png" for model in models}}
            if not all(image.is_file() for image in images.values()):
                continue  # interrupted before it was painted
            scores[name] = {}
            for label, image in images.items():
                terms = judge.evaluate(image, content, style, settings).terms
                scores[name][label] = {
                    kind: sum(value for term, value in terms.items() if term.startswith(kind))
                    for kind in ("content", "style")
                }
    return scores


def summary(scores: dict[str, dict[str, dict[str, float]]]) -> dict[str, Any]:
    """Return the style part left, and the content part against VGG-19's own: geometric means and worst pairs."""
    result: dict[str, Any] = {"pairs": len(scores)}
    models = [label for label in next(iter(scores.values())) if label != "start"]
    for model in models:
        left = {name: one[model]["style"] / one["start"]["style"] for name, one in scores.items()}
        worst = max(left, key=lambda name: left[name])
        result[model] = {"style_left": geometric_mean(left.values()), "worst": [worst, left[worst]]}
        if model != FULL and FULL in models:
            ratio = geometric_mean(one[model]["content"] / one[FULL]["content"] for one in scores.values())
            result[model] |= {"content_against_vgg19": ratio}
    return result


def geometric_mean(values: Iterable[float]) -> float:
    """Return exp(mean log)."""
    logs = [math.log(value) for value in values]
    return math.exp(sum(logs) / len(logs))


if __name__ == "__main__":
    main()
