"""What narrow convolutions do to loss and gradient, stretch by stretch of the network.

    python -m impasto.bench.studies.narrowing CONTENT STYLE STYLE -o bench/results/narrowing.json

A stretch is the convolutions between one tap of the objective and the next, forward or backward. Each is narrow alone,
and everything but it is; then there is everything, what the rule chooses, and what OpenVINO makes of bf16 as a hint.
Errors are against float32 on the CPU provider, with targets computed in the same way as the objective (and, for the
hint, also with targets in float32), at the content image and at the picture that a descent in float32 ends with. bf16
is OpenVINO's own, which honours the graph's types. The rule is then tried in fp16, computed in float32 on the CPU
provider and rounded by casts where the types say so.
"""

import argparse
import math
import statistics
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir

from impasto.bench.pictures import square
from impasto.bench.record import write
from impasto.bench.studies import rounding
from impasto.bench.studies.study import as_script, begin, command_line
from impasto.engine import Engine, Settings
from impasto.engine.compile.network import load_network
from impasto.engine.images import to_nchw
from impasto.engine.runtime import providers
from impasto.engine.runtime.evaluator import Evaluator
from impasto.engine.runtime.lowering import lower
from impasto.engine.runtime.providers import openvino
from impasto.engine.runtime.session import Graph, Session
from impasto.export.objective import build_objective, build_targets
from impasto.export.precision import RULE, Convolution, Rule, convolutions, everywhere, narrow_convolutions
from impasto.export.serialised import whole
from impasto.export.terms import IMAGE, Term
from impasto.export.weightings import coefficients

STYLE_TAPS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
CONTENT_TAPS = ("relu4_2",)
WAYS = ("forward", "backward")
TYPES = {"bf16": ir.DataType.BFLOAT16, "fp16": ir.DataType.FLOAT16}
ALPHA = 1e-3
ALL, CHOSEN, HINT, WIDE_TARGETS = "all", "rule", "hint", "hint, targets in float32 on the CPU provider"
LEAST_ERROR, LARGEST_COST = 0.1, 0.01  # shares: of the gradient's squared error, of the multiplications

Form = Callable[[ir.Model], ir.Model]
Found = tuple[float, dict[str, float], np.ndarray]
Unit = tuple[str, str]


class Subject:
    """An objective at one size with two styles, evaluated in any form of its graphs at any image."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._network = load_network(arguments.model).model
        self._size, self._threads = arguments.size, arguments.threads
        self._content = _planes(square(arguments.content, arguments.size))
        self._styles = {path.name: _planes(square(path, arguments.size)) for path in arguments.styles}
        self.images = {(name, "start"): self._content for name in self._styles}

    def objective(self) -> tuple[ir.Model, tuple[Term, ...]]:
        """Return the neutral graph."""
        shape = {"height": self._size, "width": self._size, "pool": "avg"}
        made = build_objective(self._network, content_taps=CONTENT_TAPS, style_taps=STYLE_TAPS, **shape)
        return made.model, made.terms

    def targets(self, provider: providers.Provider, form: Form) -> dict[str, dict[str, Any]]:
        """Return the targets of every style, content included."""
        shape = {"height": self._size, "width": self._size, "pool": "avg"}
        model = build_targets(self._network, content_taps=CONTENT_TAPS, style_taps=STYLE_TAPS, **shape)
        found = {}
        with Session(Graph(whole(form(model))), provider, self._threads) as session:
            for name, image in {"": self._content, **self._styles}.items():
                session.set(IMAGE, image)
                found[name] = {key: array.copy() for key, array in session.run().items()}
        content = {key: array for key, array in found.pop("").items() if key.startswith("content")}
        return {name: {**own, **content} for name, own in found.items()}

    def evaluate(
        self,
        provider: providers.Provider,
        form: Form,
        targets: Mapping[str, Mapping[str, np.ndarray]],
    ) -> dict[tuple[str, str], Found]:
        """Return loss, terms and gradient at every image."""
        model, terms = self.objective()
        weights: dict[str, Any] = {"content_weight": ALPHA, "style_weight": 1.0, "tv_weight": 0.0, "layer_weights": {}}
        found = {}
        with Session(Graph(whole(form(model))), provider, self._threads) as session:
            evaluator = Evaluator(session, terms, scaled=provider.precision == "fp16")
            for (style, where), image in self.images.items():
                evaluator.load(0, targets[style], coefficients(terms, "paper", **weights))
                score = evaluator({0: image.reshape(-1)})[0]
                found[style, where] = score.loss, dict(score.terms), score.gradient.astype(np.float64)
        return found

    def units(self) -> dict[Unit, dict[str, Any]]:
        """Return every stretch's kernels and its share of the multiplications, by the tap that it ends with."""
        model, _ = self.objective()
        at = {node: found for node, found in convolutions(model.graph).items() if not found.backward}
        kernels: dict[str, list[str]] = {}
        cost: dict[str, float] = {}
        pending: dict[str, float] = {}
        for node in model.graph:
            if node in at:
                pending[at[node].kernel] = _multiplications(node)
            name = node.outputs[0].name or ""
            if name in (*STYLE_TAPS, *CONTENT_TAPS):
                kernels[name], cost[name], pending = list(pending), sum(pending.values()), {}
        total = 2 * sum(cost.values())
        return {
            (tap, way): {"kernels": kernels[tap], "share_of_multiplications": cost[tap] / total}
            for tap in kernels
            for way in WAYS
        }

    def descend(self, model: str, iterations: int) -> None:
        """Add the images that descents in float32 end with."""
        settings = Settings(size=0, content_weight=ALPHA, iterations=iterations)
        with Engine(model, provider="cpu", precision="fp32", threads=self._threads) as engine:
            for name, style in self._styles.items():
                content, painting = (np.ascontiguousarray(x[0].transpose(1, 2, 0)) for x in (self._content, style))
                picture = engine.transfer(content, painting, settings).picture
                self.images[name, "end"] = to_nchw(picture.pixels)


def error(found: Found, true: Found) -> dict[str, Any]:
    """Return how far one evaluation is from another."""
    (loss, terms, gradient), (true_loss, true_terms, true_gradient) = found, true
    length, true_length = (float(np.linalg.norm(item)) for item in (gradient, true_gradient))
    return {
        "loss": loss / true_loss - 1,
        "terms": {name: (terms[name] - value) / (value or true_loss) for name, value in true_terms.items()},
        "gradient": float(np.linalg.norm(gradient - true_gradient)) / true_length,
        "cosine": float(gradient @ true_gradient) / (length * true_length),
    }


def measure(subject: Subject, units: Mapping[Unit, Mapping[str, Any]]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield a precision, the name of a choice of narrow stretches, and its errors by style and image."""
    cpu = providers.choose("cpu", "fp32")
    form: Form = partial(lower, provider=cpu)
    true_targets = subject.targets(cpu, form)
    true = subject.evaluate(cpu, form, true_targets)

    def compared(found: Mapping[tuple[str, str], Found]) -> dict[str, Any]:
        return {f"{style}, {where}": error(found[style, where], true[style, where]) for style, where in true}

    for precision in ("fp32", "bf16"):
        hinted = openvino.provider(precision)
        form = partial(lower, provider=hinted)
        yield precision, HINT, compared(subject.evaluate(hinted, form, subject.targets(hinted, form)))
        yield precision, WIDE_TARGETS, compared(subject.evaluate(hinted, form, true_targets))
    typed = {"bf16": openvino.provider("bf16-typed"), "fp16": rounding.provider("fp16")}
    for precision, provider in typed.items():
        kept: dict[frozenset[str], Any] = {}  # targets depend on what is narrow on the way forward
        for name, rule in choices(units).items():
            if precision != "bf16" and name not in (ALL, CHOSEN):
                continue
            graph = subject.objective()[0].graph
            key = frozenset(c.kernel for c in convolutions(graph).values() if rule(c) and not c.backward)
            form = partial(narrow_convolutions, dtype=TYPES[precision], rule=rule)
            if key not in kept:
                kept[key] = subject.targets(provider, form)
            yield precision, name, compared(subject.evaluate(provider, form, kept[key]))


def choices(units: Mapping[Unit, Mapping[str, Any]]) -> dict[str, Rule]:
    """Return what is to be tried, by name."""
    rules: dict[str, Rule] = {ALL: everywhere, CHOSEN: RULE}
    for (tap, way), unit in units.items():
        rules[f"only {tap} {way}"] = partial(_is_in, unit["kernels"], way)
        rules[f"all but {tap} {way}"] = partial(_is_not_in, unit["kernels"], way)
    return rules


def stay_wide(record: Mapping[str, Any]) -> list[str]:
    """Return the stretches that a record says should stay float32.

    Each of them alone causes `LEAST_ERROR` of the gradient's squared error in bf16 or more, in the median over styles
    and images, for `LARGEST_COST` of the multiplications or less.
    """
    tried, found = record["errors"]["bf16"], []
    for stretch, facts in record["stretches"].items():
        shares = [
            (alone["gradient"] / tried[ALL][where]["gradient"]) ** 2
            for where, alone in tried[f"only {stretch}"].items()
        ]
        if statistics.median(shares) >= LEAST_ERROR and facts["share_of_multiplications"] <= LARGEST_COST:
            found.append(stretch)
    return found


def main() -> None:
    """Measure; the file is whole after every choice."""
    parser = command_line(__doc__, "content", model="vgg19")
    parser.add_argument("styles", type=Path, nargs="+")
    parser.add_argument("--size", type=int, default=192, help="side of the square images, px")
    parser.add_argument("--iterations", type=int, default=100, help="of the descent in float32")
    arguments = parser.parse_args()
    record = begin(__doc__, arguments)
    subject = Subject(arguments)
    units = subject.units()
    subject.descend(arguments.model, arguments.iterations)
    record |= {
        "size_px": arguments.size,
        "images": [arguments.content.name, *(path.name for path in arguments.styles)],
        "content_weight": ALPHA,
        "iterations": arguments.iterations,
        "stretches": {" ".join(unit): facts for unit, facts in units.items()},
        "errors": {},
    }
    for precision, name, errors in measure(subject, units):
        record["errors"].setdefault(precision, {})[name] = errors
        write(arguments.output, record)
        gradients = ", ".join(f"{where} {item['gradient']:.4f}" for where, item in errors.items())
        print(f"{precision} {name}: gradient off by {gradients}", flush=True)
    print(f"to stay float32: {', '.join(stay_wide(record)) or 'nothing'}")


def _planes(pixels: np.ndarray) -> np.ndarray:
    return to_nchw(pixels.astype(np.float32) / np.float32(255))


def _is_in(kernels: list[str], way: str, convolution: Convolution) -> bool:
    return convolution.kernel in kernels and WAYS[convolution.backward] == way


def _is_not_in(kernels: list[str], way: str, convolution: Convolution) -> bool:
    return not _is_in(kernels, way, convolution)


def _multiplications(node: ir.Node) -> float:
    result, kernel = node.outputs[0], node.inputs[1]
    if result.shape is None or kernel is None or kernel.shape is None:
        raise ValueError(f"{node.name} has no static shape")
    return float(math.prod(result.shape.numpy()) * math.prod(kernel.shape.numpy()[1:]))


if __name__ == "__main__":
    as_script(main)
