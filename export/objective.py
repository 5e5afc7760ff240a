"""The two graphs of a run: targets (an image's features) and objective (loss terms and image gradient).

    targets:    image [N, 3, H, W]                          -> content_TAP [N, C, h, w], gram_TAP [N, C, C]
    objective:  image, content_TAP, gram_TAP, weights [N, T] -> loss [N], terms [N, T], d_image [N, 3, H, W]

The batch axis is real: every sample has its own targets, weights and losses, and no sample's gradient depends
on another. Only terms with a weight are in the graph, which ends at the deepest tap in use. `weights` holds one
coefficient per term, from alpha, beta and the layer weights, so that every weighting (`impasto.export.weightings`) uses
the same graph.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Unpack

import onnx_ir as ir
from onnx_ir.passes import Sequential, common
from onnx_ir.tape import Tape

from impasto.export.gradient import gradient
from impasto.export.losses import Emitter, content_loss, static_shape, style_loss, total_variation
from impasto.export.readout import tap_gram
from impasto.export.tap_graph import Cut, available_taps, nominal_channels, tap_graph
from impasto.export.terms import IMAGE, LOSS, TERMS, WEIGHTS, Term


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
    **cut: Unpack[Cut],
) -> ir.Model:
    """Return the model that computes an image's content features and Gram matrices.

    Args:
        model: a features model.
        content_taps: taps whose activations become outputs ``content_TAP``.
        style_taps: taps whose Gram matrices over M positions become outputs ``gram_TAP``.
        cut: batch, size and form of the model, for `tap_graph`.
    """
    copy, features = _cut(model, [*content_taps, *style_taps], cut)
    emit = Emitter(Tape(copy.graph))
    outputs = [emit.op("Identity", features[tap], name=f"content_{tap}") for tap in content_taps]
    outputs += [tap_gram(emit, features[tap], f"gram_{tap}") for tap in style_taps]
    _finish(copy, [], outputs)
    return copy


def build_objective(
    model: ir.Model,
    *,
    content_taps: Sequence[str] = (),
    style_taps: Sequence[str] = (),
    tv: bool = False,
    **cut: Unpack[Cut],
) -> ObjectiveGraph:
    """Return the model that computes loss terms and the image gradient.

    Args:
        model: a features model.
        content_taps: taps of the content terms.
        style_taps: taps of the style terms.
        tv: whether there is a total variation term.
        cut: batch, size and form of the model, for `tap_graph`.

    Raises:
        ValueError: no term at all.
    """
    if not content_taps and not style_taps and not tv:
        raise ValueError("an objective needs at least one term")
    copy, features = _cut(model, [*content_taps, *style_taps], cut)
    emit, image = Emitter(Tape(copy.graph)), copy.graph.inputs[0]
    batch, _, height, width = static_shape(image)
    terms, columns, targets = [], [], []
    for kind, kind_taps in (("content", content_taps), ("style", style_taps)):
        for tap in kind_taps:
            term, column, target = _feature_term(emit, kind, tap, features[tap], nominal_channels(model, tap))
            terms.append(term)
            columns.append(column)
            targets.append(target)
    if tv:
        terms.append(Term("tv", IMAGE, 3, height * width))
        columns.append(total_variation(emit, image, "tv_loss", seamless=cut.get("seamless", False)))
    weights = ir.val(WEIGHTS, ir.DataType.FLOAT, (batch, len(terms)))
    raw = emit.op("Concat", *columns, axis=1, name="unweighted_terms")
    weighted = emit.op("Mul", raw, weights, name=TERMS)
    loss = emit.op("ReduceSum", weighted, emit.ints("axis_1", 1), keepdims=0, name=LOSS)
    _finish(copy, [*targets, weights], [loss, weighted])
    return ObjectiveGraph(gradient(copy, LOSS, IMAGE), tuple(terms))


def _feature_term(
    emit: Emitter, kind: str, tap: str, features: ir.Value, nominal: int | None
) -> tuple[Term, ir.Value, ir.Value]:
    """Emit one content or style term; return it, its [N, 1] loss and its target input."""
    batch, channels, height, width = static_shape(features)
    term = Term(kind, tap, nominal or channels, height * width)
    name = f"{term.name}_loss"
    if kind == "content":
        target = ir.val(term.target, ir.DataType.FLOAT, (batch, channels, height, width))
        return term, content_loss(emit, features, target, name), target
    target = ir.val(term.target, ir.DataType.FLOAT, (batch, channels, channels))
    gram = tap_gram(emit, features, f"{name}.gram")
    return term, style_loss(emit, gram, target, term.channels, name), target


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
    Sequential(common.RemoveUnusedNodesPass(), common.ShapeInferencePass(check_type=True, strict_mode=True))(model)
