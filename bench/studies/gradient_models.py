"""Whether the gradients of foreign models are right: those that packages on PyPI carry.

    python -m impasto.bench.studies.gradient_models --cache FOLDER -o FILE.json [--only PART] [--table FILE.md]

The packages are downloaded into the folder, where they are missing; nothing of them is executed. The loss of a model
is the sum of its floating-point outputs times fixed random weights. Its gradient is taken with respect to the largest
floating-point input. A gradient is right where three numbers are at most 1e-4, and wrong where one of the first two is
not. (Where only the third is not, float32 has too few digits for the model at that input, as where two elements of a
max pooling are almost equal. Two random inputs are tried.)

- the difference of the losses of the model and of the model with the gradient, both in ONNX Runtime;
- the difference of the gradient's projections on random directions and the slopes there, in float64 on ONNX's
  reference evaluator (with PyTorch's convolutions);
- the difference of the gradient in ONNX Runtime, in float32, and the one in float64, in relation to its norm.

The time ratio is that of model and gradient together to the model alone, on the CPU provider.
"""

import json
import statistics
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from onnx import TensorProto, helper, numpy_helper

from impasto.bench.record import write
from impasto.bench.studies.float64_operators import OPERATORS
from impasto.bench.studies.packaged_models import PACKAGES, VALUES, PackagedModel, packaged_models
from impasto.bench.studies.study import as_script, begin, command_line, in_turn
from impasto.engine.runtime.ort import onnxruntime as ort
from impasto.engine.runtime.session import quiet_options
from impasto.export.gradient import GradientError, gradient
from impasto.export.gradient.check import check_gradient
from impasto.models.errors import ImpastoError

Array = np.ndarray[Any, Any]
Feeds = Mapping[str, Array]

LARGEST_ERROR = 1e-4
ROUNDS = 5
INPUTS = 2
RIGHT, ONLY_FLOAT64, WRONG, REFUSED, NO_INPUT = (
    "right",
    "right in float64",
    "WRONG",
    "refused",
    "no floating-point input",
)


@dataclass(frozen=True)
class Outcome:
    """What was found for one model.

    Attributes:
        package: name and version.
        model: its path in the package.
        operators: how many nodes of each type, those of branches included.
        wrt: the input, and its size; "" without a floating-point one.
        status: one of the five.
        reason: why it was refused.
        loss_error: of the loss, relative.
        slope_error: of projections on directions, in relation to the gradient's norm, in float64.
        float32_error: of the gradient in float32, in relation to its norm in float64.
        norm: of the gradient.
        time_ratio: of loss and gradient to the model alone.
        forward_s: of the model alone, median.
        inputs: how many were tried.
    """

    package: str
    model: str
    operators: Mapping[str, int]
    wrt: str = ""
    status: str = NO_INPUT
    reason: str = ""
    loss_error: float | None = None
    slope_error: float | None = None
    float32_error: float | None = None
    norm: float | None = None
    time_ratio: float | None = None
    forward_s: float | None = None
    inputs: int = 0

    @property
    def error(self) -> float:
        """The largest of the three."""
        return max(value for value in (self.loss_error, self.slope_error, self.float32_error) if value is not None)


def examined(model: PackagedModel, threads: int) -> Outcome:
    """Return what is found for one model."""
    proto = model.proto()
    found: dict[str, Any] = {
        "package": model.package,
        "model": model.path,
        "operators": dict(sorted(Counter(_operators(proto.graph)).items())),
    }
    feeds = _feeds(model, proto, 0)
    floats = [name for name, value in feeds.items() if value.dtype.kind == "f" and name not in VALUES]
    if not floats:
        return Outcome(**found)
    wrt = max(floats, key=lambda name: feeds[name].size)
    found["wrt"] = f"{wrt} {list(feeds[wrt].shape)}"
    _add_loss(proto, feeds)
    fixed = {name: VALUES[name] for name, value in feeds.items() if name in VALUES and value.dtype.kind != "f"}
    sizes = {name: value.shape for name, value in feeds.items() if value.shape}
    try:
        result = gradient(ir.from_proto(proto), "loss", wrt, shapes=sizes, values=fixed)
    except GradientError as error:
        return Outcome(**found, status=REFUSED, reason=str(error))
    for seed in range(INPUTS):
        outcome = _compared(
            Outcome(**found, inputs=seed + 1), (proto, result), wrt, _feeds(model, proto, seed), threads
        )
        if outcome.status != ONLY_FLOAT64:
            break
    return outcome


def _compared(
    outcome: Outcome, models: tuple[onnx.ModelProto, ir.Model], wrt: str, feeds: Feeds, threads: int
) -> Outcome:
    """Compare a gradient with slopes, and its time with the model's.

    Args:
        outcome: without errors.
        models: the model alone, and with the gradient.
        wrt: the input.
        feeds: all inputs of the model.
        threads: of one operator.
    """
    left = {value.name for value in models[1].graph.inputs}
    kept = {name: value for name, value in feeds.items() if name in left}
    (exact,) = check_gradient(models[1], ["loss"], [wrt], feeds=kept, operators=OPERATORS)
    forward, both = (_session(proto, threads) for proto in (models[0], ir.to_proto(models[1])))
    (own,) = forward.run(["loss"], feeds)
    loss, d = both.run(["loss", f"d_{wrt}"], kept)
    names = [output.name for output in models[0].graph.output]
    times = in_turn(
        {"forward": lambda: forward.run(names, feeds), "both": lambda: both.run(["loss", f"d_{wrt}"], kept)}, ROUNDS
    )
    compared = replace(
        outcome,
        loss_error=_relative(loss, own),
        slope_error=exact.error,
        float32_error=_relative(d, exact.gradient),
        norm=exact.norm,
        time_ratio=statistics.median(each / own_s for own_s, each in zip(times["forward"], times["both"], strict=True)),
        forward_s=statistics.median(times["forward"]),
    )
    return replace(compared, status=_verdict(compared))


def _verdict(outcome: Outcome) -> str:
    errors = (outcome.loss_error, outcome.slope_error, outcome.float32_error)
    is_right = [error is not None and error <= LARGEST_ERROR for error in errors]  # not a number is not
    if not all(is_right[:2]):
        return WRONG
    return RIGHT if is_right[2] else ONLY_FLOAT64


def _relative(found: Array, expected: Array) -> float:
    """Return the difference in relation to what is expected, Euclidean."""
    difference = float(np.linalg.norm(np.asarray(found, np.float64) - expected))
    size = float(np.linalg.norm(expected))
    return difference / size if size else difference


def _session(proto: onnx.ModelProto, threads: int) -> ort.InferenceSession:
    options = quiet_options()
    options.intra_op_num_threads = threads
    return ort.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _operators(graph: onnx.GraphProto) -> Iterator[str]:
    """Yield the operator of every node, with its domain where that is not the default."""
    for node in graph.node:
        yield f"{node.domain}.{node.op_type}" if node.domain else node.op_type
        for attribute in node.attribute:
            yield from _operators(attribute.g)


def _feeds(model: PackagedModel, proto: onnx.ModelProto, seed: int) -> dict[str, Array]:
    """Return an input of the model; integers are 0."""
    rng, sizes = np.random.default_rng(seed), model.sizes()
    weights = {tensor.name for tensor in proto.graph.initializer}
    found: dict[str, Array] = {}
    for info in proto.graph.input:
        if info.name in weights:
            continue
        kind = info.type.tensor_type
        dtype = helper.tensor_dtype_to_np_dtype(kind.elem_type)
        shape = sizes.get(info.name) or tuple(max(size.dim_value, 0) or 1 for size in kind.shape.dim)
        if info.name in VALUES:
            found[info.name] = np.full(shape, VALUES[info.name], dtype)
        elif dtype.kind == "f":
            found[info.name] = _content(model, shape, rng).astype(dtype)
        else:
            found[info.name] = np.zeros(shape, dtype)
    return found


def _content(model: PackagedModel, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Return noise that looks to a model like what it is for."""
    if model.hears:
        return 0.5 * rng.standard_normal(shape)
    noise = rng.uniform(size=shape)
    return 0.1 * noise + _strokes(shape[-2:], rng) if model.looks_for_text else noise


def _strokes(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Return dark strokes in lines on a light ground, as in a text; the sizes are at least 64."""
    page = np.full(shape, 2.0)
    for top in range(8, shape[0] - 15, 20):
        for left in range(6, shape[1] - 6, 5):
            if rng.random() < 0.85:
                page[top : top + 10, left : left + 3] = -2.0
            if rng.random() < 0.5:
                page[top + 4 : top + 6, left : left + 5] = -2.0
    return page


def _add_loss(proto: onnx.ModelProto, feeds: Feeds) -> None:
    """Add the output "loss", a weighted sum of the floating-point outputs, with operators of any opset."""
    rng, names = np.random.default_rng(1), [output.name for output in proto.graph.output]
    totals = []
    for name, value in zip(names, _session(proto, 0).run(names, feeds), strict=True):
        if np.asarray(value).dtype.kind != "f":
            continue
        weights = f"loss.weights.{name}"
        proto.graph.initializer.append(
            numpy_helper.from_array(rng.standard_normal(value.shape).astype(value.dtype), weights)
        )
        parts = [f"loss.{kind}.{name}" for kind in ("weighted", "total", "float")]
        proto.graph.node.extend(
            (
                helper.make_node("Mul", [name, weights], [parts[0]]),
                helper.make_node("ReduceSum", [parts[0]], [parts[1]], keepdims=0),
                helper.make_node("Cast", [parts[1]], [parts[2]], to=TensorProto.FLOAT),
            )
        )
        totals.append(parts[2])
    proto.graph.node.append(helper.make_node("Sum", totals, ["loss"]))
    proto.graph.output.append(helper.make_tensor_value_info("loss", TensorProto.FLOAT, []))


def table(outcomes: Sequence[Outcome]) -> str:
    """Return a table in Markdown, one model a row."""
    lines = [
        "| package | model | nodes | result | error | time ratio |",
        "|---|---|---:|---|---:|---:|",
    ]
    for each in outcomes:
        package = each.package.replace("==", " ")
        name, nodes = Path(each.model).stem, sum(each.operators.values())
        if each.time_ratio is None:
            lines.append(f"| {package} | {name} | {nodes} | {each.status} | | |")
        else:
            lines.append(f"| {package} | {name} | {nodes} | {each.status} | {each.error:.0e} | {each.time_ratio:.1f} |")
    return "\n".join(lines)


def summary(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return the counts."""
    counts = Counter(each.status for each in outcomes)
    ratios = [each.time_ratio for each in outcomes if each.time_ratio is not None]
    return {
        "packages": len({each.package for each in outcomes}),
        "models": len(outcomes),
        **{status: counts[status] for status in (RIGHT, ONLY_FLOAT64, WRONG, REFUSED, NO_INPUT)},
        "median_time_ratio": statistics.median(ratios) if ratios else None,
    }


def main() -> None:
    """Examine the models and write the record.

    Raises:
        ImpastoError: a gradient is wrong; the record says which.
    """
    parser = command_line(__doc__)
    parser.add_argument("--cache", type=Path, required=True, help="folder of the packages")
    parser.add_argument("--only", default="", help="models whose path has this part; the record keeps the others")
    parser.add_argument("--table", type=Path, help="also write the table here")
    arguments = parser.parse_args()
    record = begin(__doc__, arguments)
    known = _known(arguments.output) if arguments.only else {}
    outcomes: list[Outcome] = []
    for model in packaged_models(arguments.cache):
        if arguments.only in model.path:
            outcomes.append(examined(model, arguments.threads))
            print(_line(outcomes[-1]), flush=True)
            _write(arguments.output, record, outcomes)  # so that what was found is kept if a later model takes too long
        elif (model.package, model.path) in known:
            outcomes.append(known[model.package, model.path])
    _write(arguments.output, record, outcomes)
    counts = summary(outcomes)
    if arguments.table:
        arguments.table.write_text(table(outcomes) + "\n")
    print(counts)
    if counts[WRONG]:
        raise ImpastoError(f"{counts[WRONG]} gradients are wrong")


def _write(path: Path, record: Mapping[str, Any], outcomes: Sequence[Outcome]) -> None:
    """Write the record."""
    models = [asdict(each) for each in outcomes]
    write(path, {**record, "packages": PACKAGES, "summary": summary(outcomes), "models": models})


def _known(path: Path) -> dict[tuple[str, str], Outcome]:
    """Return the outcomes in an earlier record, by package and model."""
    if not path.exists():
        return {}
    found = [Outcome(**each) for each in json.loads(path.read_bytes())["models"]]
    return {(each.package, each.model): each for each in found}


def _line(outcome: Outcome) -> str:
    """Return what is printed of an outcome."""
    if outcome.time_ratio is None:
        return f"{outcome.model}: {outcome.status} {outcome.reason.split('; operators')[0]}"
    return (
        f"{outcome.model}: {outcome.status}, loss {outcome.loss_error:.0e}, slopes {outcome.slope_error:.0e}, float32 "
        f"{outcome.float32_error:.0e}, norm {outcome.norm:.2g}, time ratio {outcome.time_ratio:.1f}"
    )


if __name__ == "__main__":
    as_script(main)
