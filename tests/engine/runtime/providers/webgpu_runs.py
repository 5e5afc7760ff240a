"""Runs of the WebGPU plugin on a software adapter, in a process of their own: `python -m ... CASE`.

Each case prints one JSON object. A crash of the plugin ends this process alone.
"""

import json
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from impasto.engine import Engine, Job, Settings, preset

PROVIDER = "webgpu,software"
REFERENCE = "cpu,plain"
SMALL: dict[str, Any] = {
    "size": 0,
    "content_taps": ("relu2_1",),
    "style_taps": ("relu1_1", "relu3_1"),
    "content_weight": 1e-3,
}
VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "seamless": {"seamless": True},
    "max": {"pool": "max"},
    "tv": {"smoothness": 1.0},
    "moments": {"style_loss": "moments", "padding": "replicate"},
}


def picture(seed: int, side_px: int) -> np.ndarray:
    """Return a picture with large and small shapes, float32 H x W x 3, RGB, 0..1."""
    rng = np.random.default_rng(seed)
    coarse = np.kron(rng.random((side_px // 8, side_px // 8, 3)), np.ones((8, 8, 1)))
    return np.asarray(0.8 * coarse + 0.2 * rng.random((side_px, side_px, 3)), np.float32)


def painting(seed: int, side_px: int) -> np.ndarray:
    """Return a darker picture: where Gram matrices are nearly equal, a term is the rounding of their difference."""
    return picture(seed, side_px) ** 2


def errors(model: str, cases: dict[str, tuple[int, Settings]]) -> dict[str, Any]:
    """Return the relative errors of the terms and of the gradient of each case against the CPU provider's."""
    found = {}
    with Engine(model, provider=PROVIDER) as engine, Engine(model, provider=REFERENCE) as reference:
        for name, (side_px, settings) in cases.items():
            content, style = picture(0, side_px), painting(1, side_px)
            image = 0.5 * content + 0.5 * picture(2, side_px)
            ours = engine.evaluate(image, content, style, settings)
            true = reference.evaluate(image, content, style, settings)
            distance = np.linalg.norm(ours.gradient - true.gradient) / np.linalg.norm(true.gradient)
            terms = {term: abs(ours.terms[term] / value - 1) for term, value in true.terms.items() if value}
            found[name] = {"terms": max(terms.values()), "compared": len(terms), "gradient": float(distance)}
    return found


def variants(model: str) -> dict[str, Any]:
    """Compare one evaluation of every kind of graph, of a small network."""
    return errors(model, {name: (48, Settings(**{**SMALL, **values})) for name, values in VARIANTS.items()})


def network(model: str, *sides_px: str) -> dict[str, Any]:
    """Compare one evaluation of a network at each size, with the paper's settings."""
    return errors(model, {side: (int(side), Settings(size=0)) for side in sides_px})


def painterly(model: str) -> dict[str, Any]:
    """Compare one evaluation of the default preset at 48 px."""
    return errors(model, {"painterly": (48, preset("painterly", size=0, scales=1))})


def losses(model: str, optimizer: str, iterations: str, side_px: str) -> dict[str, Any]:
    """Return the loss at the end of a run on both providers."""
    small = SMALL if model.endswith(".onnx") else {"size": 0}
    settings = Settings(**{**small, "iterations": int(iterations), "optimizer": optimizer})
    found: dict[str, Any] = {}
    for name in (PROVIDER, REFERENCE):
        with Engine(model, provider=name) as engine:
            result = engine.transfer(picture(0, int(side_px)), painting(1, int(side_px)), settings)
            found[name] = {"loss": result.loss, "iterations": result.iterations, "loop": result.loop}
    return found


def batch(model: str) -> dict[str, Any]:
    """Return the losses of two jobs that share their evaluations on both providers."""
    settings = Settings(**{**SMALL, "iterations": 4})
    jobs = [Job(picture(seed, 48), painting(seed + 1, 48), settings) for seed in (0, 2)]
    found: dict[str, Any] = {}
    for name in (PROVIDER, REFERENCE):
        with Engine(model, provider=name) as engine:
            done = sorted(engine.transfer_many(jobs, batch=2), key=lambda item: item.index)
            found[name] = [item.result.loss for item in done if item.result is not None]
    return found


def leaving(model: str) -> dict[str, Any]:
    """Leave the process while engines are open, and one runs: two threads render at once before."""
    settings = Settings(**{**SMALL, "iterations": 2})
    engines = [Engine(model, provider=PROVIDER) for _ in range(3)]
    done: list[float] = []

    def render(engine: Engine) -> None:
        done.append(engine.transfer(picture(0, 48), painting(1, 48), settings).loss)

    threads = [threading.Thread(target=render, args=(engine,)) for engine in engines[:2]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    handle = engines[2].submit(Job(picture(0, 48), painting(1, 48), Settings(**{**SMALL, "iterations": 10_000})))
    while not handle.evaluations:
        time.sleep(0.05)
    return {"losses": done}


CASES: dict[str, Callable[..., dict[str, Any]]] = {
    item.__name__: item for item in (variants, network, painterly, losses, batch, leaving)
}

if __name__ == "__main__":
    print(json.dumps(CASES[sys.argv[1]](*sys.argv[2:])), flush=True)
