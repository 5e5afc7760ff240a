"""Rewrites a graph for the project's own operators (cpp/ops): Winograd convolutions with the channels last.

Every value that an operator reads or makes gets a twin with the channels last: [N, H, W, C] of [N, C, H, W], or
[N, M, C] of feature maps that are flattened, [N, C, M]. Between taps all nodes are computed on twins. Where a node that
is left as it was reads a value with a twin, the twin is transposed back, and the other way about.

A convolution takes its bias and its ReLU with it. A gradient takes what the taps of the layer below add to it, and the
mask of that layer's ReLU. Supported are the layers that `impasto.export.lowering.recognising` finds, elementwise nodes,
means over positions, Gram matrices, and convolutions of 1x1; every other node stays as it is.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import onnx_ir as ir
from onnx_ir.passes import common

from impasto.export.lowering import recognising
from impasto.export.lowering.recognising import Layer, sole_user
from impasto.export.lowering.rewriting import is_symmetric, producer, sizes_of
from impasto.export.operator_domain import DOMAIN, VERSION
from impasto.export.shape_inference import infer_shapes
from impasto.export.vjp_rules.inspection import given
from impasto.export.vjp_rules.linear import is_transpose

ELEMENTWISE = frozenset(("Add", "Div", "Greater", "Identity", "Mul", "Relu", "Sub", "Where"))
ATTRIBUTES: Mapping[str, Sequence[str]] = {
    "Conv3x3": ("pad", "wrap", "relu"),
    "Conv3x3Gradient": ("pad", "wrap", "addend", "mask"),
    "FirstConv3x3": ("pad", "relu"),
    "FirstConv3x3Gradient": ("pad",),
    "Pool2x2": ("maximum",),
    "Pool2x2Gradient": ("maximum", "addend", "mask"),
}
"""The attributes of every operator, integers; a node has all of them."""
_LAST = {4: (0, 2, 3, 1), 3: (0, 2, 1)}
_FIRST = {4: (0, 3, 1, 2), 3: (0, 2, 1)}
_SMALL = 16  # a value of at most this part of the result's elements is transposed where it is needed


def lower_to_operators(model: ir.Model) -> bool:
    """Rewrite a model, float32 with static shapes, in place; return whether an operator has found its place in it."""
    infer_shapes(model)
    made = _Rewriting(model).run()
    if made:
        model.opset_imports[DOMAIN] = VERSION
        common.RemoveUnusedNodesPass()(model)
    return made


class _Chain(NamedTuple):
    """A layer and the elementwise nodes that its operator takes in: a sum, then a ReLU's mask; or a ReLU."""

    layer: Layer
    addend: ir.Value | None
    mask: ir.Value | None
    relu: bool


class _Rewriting:
    """One pass over a graph, in the order of evaluation."""

    def __init__(self, model: ir.Model) -> None:
        self._graph = model.graph
        self._before: ir.Node = next(iter(model.graph))  # where new nodes go
        self._twins: dict[ir.Value, ir.Value] = {}
        self._replaced: set[ir.Node] = set()
        self._names = 0
        self._made = False
        self._rules: dict[str, Callable[[ir.Node], ir.Value | None]] = {
            "Conv": self._pointwise,
            "Expand": self._expand,
            "MatMul": self._product,
            "ReduceMean": self._mean,
            "Reshape": self._reshape,
            **dict.fromkeys(ELEMENTWISE, self._elementwise),
        }

    def run(self) -> bool:
        nodes = list(self._graph)
        layers = self._layers(nodes)
        if not _are_most_of_the_work([chain.layer for chain in layers.values()], nodes):
            return False
        for node in nodes:
            self._before = node
            chain = layers.get(node)
            rule = None if node.domain else self._rules.get(node.op_type)
            if chain is not None:
                self._layer(node, chain)
            elif rule is not None and (twin := rule(node)) is not None:
                self._twins[node.outputs[0]] = twin
                self._replaced.add(node)
        self._return_to_channels_first()
        return self._made

    # Layers

    def _layers(self, nodes: Sequence[ir.Node]) -> dict[ir.Node, _Chain]:
        """Return every layer by the last node that it takes in."""
        wrapped = {found[0]: found[1:] for found in map(recognising.wrapped_gradient, nodes) if found is not None}
        found: dict[ir.Node, _Chain] = {}
        for node in nodes:
            layer = recognising.convolution(node) or recognising.pooling(node) or recognising.pooling_gradient(node)
            if layer is None:
                continue
            addend, mask, relu = None, None, False
            if node in wrapped and layer.operator == "Conv3x3Gradient" and layer.attributes["pad"] == 0:
                result, addend = wrapped[node]
                layer = Layer(layer.operator, layer.inputs, {"pad": 1, "wrap": 1}, result)
            last = given(producer(layer.result))
            if layer.operator in ("Conv3x3", "FirstConv3x3"):
                user = sole_user(layer.result)
                if user is not None and user.op_type == "Relu":
                    last, relu = user, True
            elif layer.operator != "Pool2x2" and layer.operator != "FirstConv3x3Gradient":
                last, addend, mask = self._epilogue(layer.result, last, addend)
            if layer.operator == "Pool2x2Gradient" and len(layer.inputs) == 1:
                if mask is None:
                    continue
                layer = Layer(layer.operator, (layer.inputs[0], mask), layer.attributes, layer.result)
            found[last] = _Chain(layer, addend, mask, relu)
        return found

    @staticmethod
    def _epilogue(
        result: ir.Value, last: ir.Node, addend: ir.Value | None
    ) -> tuple[ir.Node, ir.Value | None, ir.Value | None]:
        """Return the last node, the addend and the mask of what alone reads a gradient."""
        mask = None
        user = sole_user(result)
        if addend is None and user is not None and user.op_type == "Add":
            other = given(user.inputs[1 if user.inputs[0] is result else 0])
            if other is not result and sizes_of(other) == sizes_of(result):
                last, addend, result = user, other, user.outputs[0]
                user = sole_user(result)
        masked = recognising.mask(user)
        if user is not None and masked is not None and masked[0] is result:
            last, mask = user, masked[1]
        return last, addend, mask

    def _layer(self, node: ir.Node, chain: _Chain) -> None:
        self._made = True
        layer, addend, mask, relu = chain
        image, *rest = layer.inputs
        known = {**layer.attributes, "relu": relu, "addend": addend is not None, "mask": mask is not None}
        attributes = {name: int(known.get(name, 0)) for name in ATTRIBUTES[layer.operator]}
        inputs = [image if layer.operator == "FirstConv3x3" else self._last(image)]
        inputs += [self._last(value) for value in rest] if layer.operator == "Pool2x2Gradient" else rest
        inputs += [self._last(value) for value in (addend, mask) if value is not None]
        result, first = node.outputs[0], layer.operator == "FirstConv3x3Gradient"
        sizes = given(sizes_of(result))
        own = ir.node(layer.operator, inputs, attributes, domain=DOMAIN, num_outputs=1)
        made = self._add(own, sizes if first else _permuted(sizes))
        self._replaced.add(node)
        if first:
            self._take_over(result, made)
        else:
            self._twins[result] = made

    # Other nodes: each returns the twin of the node's result, or None to leave the node as it is

    def _pointwise(self, node: ir.Node) -> ir.Value | None:
        if not recognising.is_pointwise(node) or (node.inputs[0] not in self._twins and not self._is_wanted(node)):
            return None
        weights, result = given(node.inputs[1]), given(sizes_of(node.outputs[0]))
        out, into = given(sizes_of(weights))[:2]
        matrix = self._insert("Reshape", weights, self._integers((out, into)), sizes=(out, into))
        matrix = self._insert("Transpose", matrix, sizes=(into, out), perm=(1, 0))
        return self._insert("MatMul", self._last(given(node.inputs[0])), matrix, sizes=_permuted(result))

    def _is_wanted(self, node: ir.Node) -> bool:
        """Return whether an image of 1x1 convolutions comes from a loss and goes back to layers: it is transposed."""
        sizes = sizes_of(node.inputs[0])
        return sizes is not None and bool(self._twins) and sizes[1] % recognising.CHANNEL_MULTIPLE == 0

    def _elementwise(self, node: ir.Node) -> ir.Value | None:
        sizes = sizes_of(node.outputs[0])
        if sizes is None or len(sizes) != 4 or not any(value in self._twins for value in node.inputs):
            return None
        elements = math.prod(sizes)
        inputs = []
        for value in map(given, node.inputs):
            own = sizes_of(value)
            if own is None:
                return None
            if math.prod(own) == 1:
                inputs.append(value)
            elif len(own) != 4 or (value not in self._twins and math.prod(own) * _SMALL > elements):
                return None
            else:
                inputs.append(self._last(value))
        return self._insert(node.op_type, *inputs, sizes=_permuted(sizes), dtype=given(node.outputs[0].dtype))

    def _mean(self, node: ir.Node) -> ir.Value | None:
        x, axes = given(node.inputs[0]), recognising.integers(node.inputs[1]) if len(node.inputs) > 1 else None
        sizes = sizes_of(node.outputs[0])
        if x not in self._twins or axes is None or sizes is None or len(sizes) != 4 or not set(axes) <= {2, 3}:
            return None
        if not node.attributes.get_int("keepdims", 1):
            return None
        places = self._integers([axis - 1 for axis in axes])
        return self._insert("ReduceMean", self._twins[x], places, sizes=_permuted(sizes), keepdims=1)

    def _expand(self, node: ir.Node) -> ir.Value | None:
        x, sizes = given(node.inputs[0]), sizes_of(node.outputs[0])
        before = sizes_of(x)
        if sizes is None or before is None or len(sizes) != 4 or len(before) != 4 or math.prod(before) == 1:
            return None
        if sizes[1] % recognising.CHANNEL_MULTIPLE or math.prod(before) == math.prod(sizes):
            return None
        shape = _permuted(sizes)
        return self._insert("Expand", self._last(x), self._integers(shape), sizes=shape)

    def _reshape(self, node: ir.Node) -> ir.Value | None:
        """Flatten the positions of twins, or give them back."""
        x = given(node.inputs[0])
        before, after = sizes_of(x), sizes_of(node.outputs[0])
        if x not in self._twins or before is None or after is None or before[:2] != after[:2]:
            return None
        if (len(before), len(after)) not in ((4, 3), (3, 4)) or math.prod(before) != math.prod(after):
            return None
        shape = _permuted(after)
        return self._insert("Reshape", self._twins[x], self._integers(shape), sizes=shape)

    def _product(self, node: ir.Node) -> ir.Value | None:
        """Multiply flattened maps f: S f becomes the twin of its result; f f^T takes its place at once."""
        left, right = map(given, node.inputs)
        result = node.outputs[0]
        sizes = sizes_of(result)
        if sizes is None or len(sizes) != 3:
            return None
        if left in self._twins and is_transpose(right, left, 3):
            rows = self._twins[left]
            columns = self._insert("Transpose", rows, sizes=given(sizes_of(left)), perm=_LAST[3])
            made = self._insert("MatMul", columns, rows, sizes=sizes)
            self._take_over(result, made)
            self._replaced.add(node)
            return None
        if right not in self._twins or (own := sizes_of(left)) is None or len(own) != 3:
            return None
        other = left if is_symmetric(left) else self._insert("Transpose", left, sizes=_permuted(own), perm=_LAST[3])
        return self._insert("MatMul", self._twins[right], other, sizes=_permuted(sizes))

    # Twins

    def _last(self, value: ir.Value) -> ir.Value:
        """Return the twin of a value; one that has none yet is transposed."""
        if value not in self._twins:
            sizes = given(sizes_of(value))
            self._twins[value] = self._insert("Transpose", value, sizes=_permuted(sizes), perm=_LAST[len(sizes)])
        return self._twins[value]

    @staticmethod
    def _take_over(value: ir.Value, made: ir.Value) -> None:
        """Put a new value in the place of another one at once, under its name."""
        made.name, value.name = value.name, f"{value.name}.replaced"
        value.replace_all_uses_with(made, replace_graph_outputs=True)

    def _return_to_channels_first(self) -> None:
        """Give every node that stays what it reads, transposed from the twin."""
        for value, twin in self._twins.items():
            made_by = producer(value)
            if made_by is None or made_by not in self._replaced:
                continue
            users = [(node, index) for node, index in value.uses() if node not in self._replaced]
            if not users and not value.is_graph_output():
                continue
            sizes = given(sizes_of(value))
            back = ir.node("Transpose", [twin], {"perm": _FIRST[len(sizes)]}, num_outputs=1)
            self._graph.insert_after(given(producer(twin)), back)
            result = back.outputs[0]
            result.name, value.name = value.name, f"{value.name}.replaced"
            result.shape, result.type = ir.Shape(sizes), value.type
            for node, index in users:
                node.replace_input_with(index, result)
            self._graph.outputs[:] = [result if output is value else output for output in self._graph.outputs]

    def _insert(
        self,
        op_type: str,
        *inputs: ir.Value,
        sizes: Sequence[int],
        dtype: ir.DataType = ir.DataType.FLOAT,
        **attributes: int | Sequence[int],
    ) -> ir.Value:
        return self._add(ir.node(op_type, list(inputs), dict(attributes), num_outputs=1), sizes, dtype)

    def _add(self, node: ir.Node, sizes: Sequence[int], dtype: ir.DataType = ir.DataType.FLOAT) -> ir.Value:
        self._graph.insert_before(self._before, node)
        made = node.outputs[0]
        made.name, made.shape, made.type = self._name(), ir.Shape(sizes), ir.TensorType(dtype)
        return made

    def _integers(self, values: Sequence[int]) -> ir.Value:
        name = self._name()
        value = ir.val(name, const_value=ir.tensor(np.array(values, np.int64), name=name))
        self._graph.register_initializer(value)
        return value

    def _name(self) -> str:
        self._names += 1
        return f"{self._before.outputs[0].name}.native_{self._names}"


def _are_most_of_the_work(layers: Sequence[Layer], nodes: Sequence[ir.Node]) -> bool:
    """Return whether layers have at least half of the products of a graph's convolutions."""
    own = sum(_products(layer.inputs[1], layer.result) for layer in layers if "Conv" in layer.operator)
    everything = sum(_products(node.inputs[1], node.outputs[0]) for node in nodes if node.op_type == "Conv")
    return 0 < everything <= 2 * own


def _products(weights: ir.Value | None, result: ir.Value) -> int:
    """Return how many products a convolution has, but for those at the border."""
    kernel, sizes = sizes_of(weights), sizes_of(result)
    if kernel is None or sizes is None:
        return 0
    positions = math.prod(sizes[2:]) * sizes[0]
    return positions * math.prod(kernel)


def _permuted(sizes: Sequence[int]) -> tuple[int, ...]:
    """Return the sizes of a twin."""
    return tuple(sizes[axis] for axis in _LAST[len(sizes)])
