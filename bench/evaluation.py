"""Seconds for one evaluation of loss and gradient, against PyTorch, interleaved in one run.

    python -m impasto.bench.evaluation CONTENT STYLE --weights FILE -o bench/results/evaluation.json

Both sides compute the paper's objective on the same weights, images and start: VGG-19 to conv5_1, average pooling,
content relu4_2, style relu1_1 ... relu5_1, alpha 1e-3. Rounds go A B A B, so that a change of the machine's speed meets
both; the ratio is taken round by round. Then a short transfer tells what share of the loop is outside the evaluations.
"""

import argparse
import functools
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from impasto.bench.conditions import conditions
from impasto.bench.optimizers import square
from impasto.engine import Engine, Settings

if TYPE_CHECKING:
    import torch

STYLE_TAPS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
CONTENT_TAP = "relu4_2"
ALPHA = 1e-3
WARM_UP = 2


def torch_objective(
    weights: Path, content: np.ndarray, style: np.ndarray, threads: int
) -> Callable[[], tuple[float, np.ndarray]]:
    """Return PyTorch's eager float32 evaluation at the content image: what a PyTorch program does at each step."""
    import torch

    from impasto.models.vgg import VGG19, build_module
    from impasto.models.weights import read_weights

    torch.set_num_threads(threads)
    taps = (*STYLE_TAPS, CONTENT_TAP)
    module = build_module(VGG19, read_weights(weights), taps)

    def tensor(image: np.ndarray) -> "torch.Tensor":
        return torch.tensor(image.astype(np.float32).transpose(2, 0, 1)[None] / 255)

    def gram(features: "torch.Tensor") -> "torch.Tensor":
        flat = features.flatten(2)[0]
        return flat @ flat.T

    with torch.no_grad():
        content_target = dict(zip(taps, module(tensor(content)), strict=True))[CONTENT_TAP]
        grams = [gram(features) for features in module(tensor(style))[: len(STYLE_TAPS)]]
    start = tensor(content)

    def evaluate() -> tuple[float, np.ndarray]:
        x = start.clone().requires_grad_(True)
        *features, deep = module(x)
        loss = ALPHA * 0.5 * (deep - content_target).square().sum()
        for f, target in zip(features, grams, strict=True):
            n, m = f.shape[1], f.shape[2] * f.shape[3]
            loss = loss + (gram(f) - target).square().sum() / (len(grams) * 4.0 * n**2 * m**2)
        loss.backward()
        assert x.grad is not None  # noqa: S101 - for the type checker
        return float(loss.detach()), x.grad.numpy()

    return evaluate


def compare(arguments: argparse.Namespace, size: int) -> dict[str, Any]:
    """Time both sides in turn at one size."""
    content, style = square(arguments.content, size), square(arguments.style, size)
    theirs = torch_objective(arguments.weights, content, style, arguments.threads)
    with Engine(arguments.weights, provider="cpu", threads=arguments.threads) as engine:
        objective, x = engine.objective(content, style, Settings(size=0, content_weight=ALPHA))
        ours = functools.partial(objective, x)
        (our_loss, our_gradient), (their_loss, their_gradient) = ours(), theirs()
        error = np.linalg.norm(our_gradient - their_gradient.reshape(-1)) / np.linalg.norm(their_gradient)
        samples: dict[str, list[float]] = {"impasto": [], "torch": []}
        for round_number in range(arguments.rounds + WARM_UP):
            for name, run in (("impasto", ours), ("torch", theirs)):
                start = time.perf_counter()
                run()
                if round_number >= WARM_UP:
                    samples[name].append(time.perf_counter() - start)
        result = engine.transfer(
            content, style, Settings(size=0, iterations=arguments.iterations, content_weight=ALPHA)
        )
    ratios = [b / a for a, b in zip(samples["impasto"], samples["torch"], strict=True)]
    outside = 1 - result.evaluations_s / (result.seconds - result.setup_s)
    return {
        "size_px": size,
        "samples_s": samples,
        "median_s": {name: statistics.median(values) for name, values in samples.items()},
        "torch_over_impasto": {"median": statistics.median(ratios), "min": min(ratios), "max": max(ratios)},
        "relative_difference": {"loss": abs(our_loss / their_loss - 1), "gradient": float(error)},
        "loop": {
            "iterations": result.iterations,
            "evaluations": result.evaluations,
            "seconds": result.seconds - result.setup_s,
            "share_outside_evaluations": outside,
        },
    }


def main() -> None:
    """Run the comparison at every size and write it down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("content", type=Path)
    parser.add_argument("style", type=Path)
    parser.add_argument("--weights", type=Path, required=True, help="VGG-19, for both sides")
    parser.add_argument("--size", type=int, action="append", help="px, repeatable; default 256 and 512")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--iterations", type=int, default=20, help="of the transfer that tells the loop's overhead")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()
    record: dict[str, Any] = {"what": __doc__, "conditions": conditions(arguments.threads), "sizes": []}
    for size in arguments.size or (256, 512):
        row = compare(arguments, size)
        record["sizes"].append(row)
        print(
            f"{size} px: impasto {row['median_s']['impasto']:.3f} s, torch {row['median_s']['torch']:.3f} s, "
            f"ratio {row['torch_over_impasto']['median']:.2f}; gradient differs by "
            f"{row['relative_difference']['gradient']:.1e}; {row['loop']['share_outside_evaluations']:.1%} of the loop "
            "is outside the evaluations"
        )
    arguments.output.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
