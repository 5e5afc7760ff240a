"""The two graphs of a run: targets (an image's features) and objective (loss terms and image gradient).

    targets:    image [N, 3, H, W]                          -> content_TAP [N, C, h, w], gram_TAP [N, C, C]
    objective:  image, content_TAP, gram_TAP, weights [N, T] -> loss [N], terms [N, T], d_image [N, 3, H, W]

The other style losses have other statistics of the painting in the place of gram_TAP: `gram-mean` its
covariance_TAP [N, C, C], and `moments` its mean_TAP [N, C, 1] and root_TAP [N, C, C], which
`impasto.export.square_root` makes of the covariance_TAP that the targets graph returns.

The batch axis is real: every sample has its own targets, weights and losses, and no sample's gradient depends
on another. Only terms with a weight are in the graph, which ends at the deepest tap in use. `weights` holds one
coefficient per term, from alpha, beta and the layer weights, so that every weighting (`impasto.export.weightings`) uses
the same graph.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Unpack

import onnx_ir as ir
from onnx_ir.tape import Tape

from impasto.export.gradient import gradient
from impasto.export.losses import Emitter, content_loss, gram_loss, static_shape
from impasto.export.moments import wasserstein_loss
from impasto.export.readout import tap_gram, tap_moments
from impasto.export.tap_graph import Cut, available_taps, nominal_channels, tap_graph, tidy
from impasto.export.terms import GRAM, IMAGE, LOSS, MOMENTS, SQUARED, TERMS, WEIGHTS, Term
from impasto.export.total_variation import total_variation


@dataclass(frozen=True)
class ObjectiveGraph:
    """An objective model and the terms in the order of its columns."""

    model: ir.Model
    terms: tuple[Term, ...]


def build_targets(
    model: ir.Model,
    *,
    content_taps: Sequence[str] = (),
    style_taps: Sequence[str] = (),
    style_loss: str = GRAM,
    **cut: Unpack[Cut],
) -> ir.Model:
    """Return the model that computes an image's content features and the statistics that a style loss compares.

    Args:
        model: a features model.
        content_taps: taps whose activations become outputs ``content_TAP``.
        style_taps: taps whose statistics over M positions become outputs: ``gram_TAP``; ``covariance_TAP`` for
            `gram-mean`; or ``mean_TAP`` and ``covariance_TAP`` for `moments`.
        style_loss: of `impasto.export.terms.STYLE_LOSSES`.
        cut: batch, size and form of the model, for `tap_graph`.
    """
    copy, features = _cut(model, [*content_taps, *style_taps], cut)
    emit = Emitter(Tape(copy.graph))
    outputs = [emit.op("Identity", features[tap], name=f"content_{tap}") for tap in content_taps]
    for tap in style_taps:
        outputs += _statistics(emit, style_loss, features[tap], tap)
    _finish(copy, [], outputs)
    return copy


def build_objective(
    model: ir.Model,
    *,
    content_taps: Sequence[str] = (),
    style_taps: Sequence[str] = (),
    style_loss: str = GRAM,
    tv: bool = False,
    tv_norm: str = SQUARED,
    **cut: Unpack[Cut],
) -> ObjectiveGraph:
    """Return the model that computes loss terms and the image gradient.

    Args:
        model: a features model.
        content_taps: taps of the content terms.
        style_taps: taps of the style terms.
        style_loss: of `impasto.export.terms.STYLE_LOSSES`.
        tv: whether there is a total variation term.
        tv_norm: its norm, of `impasto.export.terms.TV_NORMS`.
        cut: batch, size and form of the model, for `tap_graph`.

    Raises:
        ValueError: no term at all.
    """
    if not content_taps and not style_taps and not tv:
        raise ValueError("an objective needs at least one term")
    copy, features = _cut(model, [*content_taps, *style_taps], cut)
    emit, image = Emitter(Tape(copy.graph)), copy.graph.inputs[0]
    batch, _, height, width = static_shape(image)
    terms, columns = [], []
    targets: list[ir.Value] = []
    for kind, kind_taps in (("content", content_taps), ("style", style_taps)):
        for tap in kind_taps:
            _, channels, *sides = static_shape(features[tap])
            term = Term(kind, tap, nominal_channels(model, tap) or channels, math.prod(sides), style_loss)
            column, own_targets = _feature_term(emit, term, features[tap])
            terms.append(term)
            columns.append(column)
            targets += own_targets
    if tv:
        terms.append(Term("tv", IMAGE, 3, height * width, tv_norm=tv_norm))
        columns.append(total_variation(emit, image, "tv_loss", norm=tv_norm, seamless=cut.get("seamless", False)))
    weights = ir.val(WEIGHTS, ir.DataType.FLOAT, (batch, len(terms)))
    raw = emit.op("Concat", *columns, axis=1, name="unweighted_terms")
    weighted = emit.op("Mul", raw, weights, name=TERMS)
    loss = emit.op("ReduceSum", weighted, emit.ints("axis_1", 1), keepdims=0, name=LOSS)
    _finish(copy, [*targets, weights], [loss, weighted])
    return ObjectiveGraph(gradient(copy, LOSS, IMAGE, constants=emit.held_names), tuple(terms))


def _feature_term(emit: Emitter, term: Term, features: ir.Value) -> tuple[ir.Value, list[ir.Value]]:
    """Emit one content or style term; return its [N, 1] loss and its target inputs."""
    batch, channels, height, width = static_shape(features)
    name = f"{term.name}_loss"
    shapes = {"content": (batch, channels, height, width), "mean": (batch, channels, 1)}
    targets = [
        ir.val(target, ir.DataType.FLOAT, shapes.get(target.partition("_")[0], (batch, channels, channels)))
        for target in term.targets
    ]
    if term.kind == "content":
        return content_loss(emit, features, targets[0], name), targets
    if term.style_loss == GRAM:
        gram = tap_gram(emit, features, f"{name}.gram")
        return gram_loss(emit, gram, targets[0], term.channels, name), targets
    mean, covariance = tap_moments(emit, features, f"{name}.mean", f"{name}.covariance")
    if term.style_loss == MOMENTS:
        return wasserstein_loss(emit, (mean, covariance), (targets[0], targets[1]), name), targets
    return gram_loss(emit, covariance, targets[0], term.channels, name), targets


def _statistics(emit: Emitter, style_loss: str, features: ir.Value, tap: str) -> list[ir.Value]:
    """Emit what the targets graph returns of a painting's tap."""
    if style_loss == GRAM:
        return [tap_gram(emit, features, f"gram_{tap}")]
    mean, covariance = tap_moments(emit, features, f"mean_{tap}", f"covariance_{tap}")
    return [mean, covariance] if style_loss == MOMENTS else [covariance]


def _cut(model: ir.Model, taps: Sequence[str], cut: Cut) -> tuple[ir.Model, dict[str, ir.Value]]:
    """Return the model as it is needed for the taps, and their values."""
    ordered = [tap for tap in available_taps(model) if tap in taps]
    copy = tap_graph(model, ordered, **cut)
    return copy, dict(zip(ordered, copy.graph.outputs, strict=True))


def _finish(model: ir.Model, inputs: Sequence[ir.Value], outputs: Sequence[ir.Value]) -> None:
    """Give the model its inputs and outputs, and every value a shape."""
    model.graph.inputs.extend(inputs)
    model.graph.outputs[:] = outputs
    for output in outputs:
        output.dtype = ir.DataType.FLOAT
    tidy(model)
