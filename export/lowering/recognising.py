"""What the rewrite for the project's own operators looks for in a neutral graph: layers and their gradients.

Every function returns None for a node that is not exactly what it looks for, so such a node stays as it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import onnx_ir as ir

from impasto.export.lowering.rewriting import is_zero, producer, repeats_pixels, sizes_of
from impasto.export.vjp_rules.folding import folded
from impasto.export.vjp_rules.inspection import given

CHANNEL_MULTIPLE = 8
COLOURS = 3
_KERNEL, _UNIT = (3, 3), (1, 1)
_ROWS, _COLUMNS = 2, 3
_BACKWARDS = [-1, -1]


@dataclass(frozen=True)
class Layer:
    """A convolution or pooling, or the gradient of one, as one of the operators computes it.

    Attributes:
        operator: its name.
        inputs: values of the neutral graph: an image first, then weights and bias, or the pooling's input.
        attributes: of the operator.
        result: the value of the neutral graph that it makes.
    """

    operator: str
    inputs: tuple[ir.Value, ...]
    attributes: dict[str, int]
    result: ir.Value


def sole_user(value: ir.Value) -> ir.Node | None:
    """Return the node that alone reads a value, once; None where there are others, or the graph returns it."""
    uses = list(value.uses())
    return uses[0][0] if len(uses) == 1 and not value.is_graph_output() else None


def convolution(node: ir.Node) -> Layer | None:
    """Return the layer of a convolution of 3x3, forward or, where its weights are turned, backward."""
    if node.op_type != "Conv" or node.domain or not _plain(node, _KERNEL):
        return None
    pad, x, weights = _pad(node), given(node.inputs[0]), given(node.inputs[1])
    turned = _turned(weights)
    source = weights if turned is None else turned
    sizes, bias = sizes_of(source), node.inputs[2] if len(node.inputs) > 2 else None
    if pad is None or sizes is None or not _is_constant(source) or (turned is not None and bias is not None):
        return None
    if bias is not None and not _is_constant(bias):
        return None
    out, into = sizes[0], sizes[1]
    first = into == COLOURS
    if out % CHANNEL_MULTIPLE or not (first or into % CHANNEL_MULTIPLE == 0):
        return None
    result = node.outputs[0]
    if turned is not None:
        if not 0 <= 2 - pad <= (1 if first else 2):
            return None
        return Layer("FirstConv3x3Gradient" if first else "Conv3x3Gradient", (x, source), {"pad": 2 - pad}, result)
    if first:
        inner = (x, source) if bias is None else (x, source, bias)
        return Layer("FirstConv3x3", inner, {"pad": pad}, result) if pad <= 1 else None
    attributes = {"pad": pad}
    inside = _wrapped(x) if pad == 0 else None
    if inside is not None:
        x, attributes = inside, {"pad": 1, "wrap": 1}
    return Layer("Conv3x3", (x, source) if bias is None else (x, source, bias), attributes, result)


def wrapped_gradient(node: ir.Node) -> tuple[ir.Node, ir.Value, ir.Value | None] | None:
    """Return the convolution whose result's edges an Add brings to the opposite edges, the Add's result, and an addend.

    The addend is what the tap of the layer below adds to it; None without one.
    """
    inner, addend = _unwrapped(node, _ROWS)
    outer = producer(inner)
    value, further = (None, None) if outer is None else _unwrapped(outer, _COLUMNS)
    conv = producer(value)
    if conv is None or conv.op_type != "Conv" or further is not None:
        return None
    return conv, node.outputs[0], addend


def is_pointwise(node: ir.Node) -> bool:
    """Return whether a node is a convolution of 1x1 without bias."""
    return (
        node.op_type == "Conv" and not node.domain and len(node.inputs) == 2 and _plain(node, _UNIT) and not _pad(node)
    )


def pooling(node: ir.Node) -> Layer | None:
    """Return the layer of a pooling with windows of 2x2 side by side."""
    if node.op_type not in ("AveragePool", "MaxPool") or len(node.outputs) > 1 or not _is_halving(node):
        return None
    x = given(node.inputs[0])
    if not _has_channels(x):
        return None
    return Layer("Pool2x2", (x,), {"maximum": int(node.op_type == "MaxPool")}, node.outputs[0])


def pooling_gradient(node: ir.Node) -> Layer | None:
    """Return the layer of a pooling's gradient; an average's has no second input, because its graph names none."""
    rest = node.op_type == "Pad"
    inner = producer(node.inputs[0]) if rest else node
    if inner is None or (rest and not _adds_rest(node)):
        return None
    d = _repeated_mean(inner)
    if d is not None and _has_channels(d):
        return Layer("Pool2x2Gradient", (d,), {"maximum": 0}, node.outputs[0])
    found = _first_maximum(inner)
    if found is None or not _has_channels(found[0]):
        return None
    return Layer("Pool2x2Gradient", found, {"maximum": 1}, node.outputs[0])


def mask(node: ir.Node | None) -> tuple[ir.Value, ir.Value] | None:
    """Return d and y of Where(Greater(y, 0), d, 0)."""
    if node is None or node.op_type != "Where" or not is_zero(node.inputs[2]):
        return None
    greater = producer(node.inputs[0])
    if greater is None or greater.op_type != "Greater" or not is_zero(greater.inputs[1]):
        return None
    d, y = given(node.inputs[1]), given(greater.inputs[0])
    return (d, y) if sizes_of(d) == sizes_of(y) == sizes_of(node.outputs[0]) else None


def integers(value: ir.Value | None) -> list[int] | None:
    """Return a constant's integers."""
    content = None if value is None else folded(value)
    return None if content is None else [int(item) for item in content.ravel()]


def _plain(node: ir.Node, kernel: Sequence[int]) -> bool:
    """Return whether a convolution has a kernel of that size, no groups, and no strides or dilations."""
    attributes, sizes = node.attributes, sizes_of(node.inputs[1])
    return (
        sizes is not None
        and len(sizes) == 4
        and sizes[2:] == tuple(kernel)
        and all(list(attributes.get_ints(name, _UNIT)) == [1, 1] for name in ("strides", "dilations"))
        and attributes.get_int("group", 1) == 1
        and attributes.get_string("auto_pad", "NOTSET") == "NOTSET"
    )


def _pad(node: ir.Node) -> int | None:
    """Return a convolution's padding where it is the same on all sides and at most 2."""
    pads = set(node.attributes.get_ints("pads", (0, 0, 0, 0)))
    return pads.pop() if len(pads) == 1 and max(pads) <= 2 else None


def _turned(weights: ir.Value) -> ir.Value | None:
    """Return w of a Slice that turns Transpose(w) by 180 degrees: the weights of a data gradient."""
    cut = producer(weights)
    transposed = producer(cut.inputs[0]) if cut is not None and cut.op_type == "Slice" and len(cut.inputs) > 4 else None
    if cut is None or transposed is None or transposed.op_type != "Transpose":
        return None
    starts, ends, axes, steps = map(integers, cut.inputs[1:5])
    whole = ends is not None and max(ends) < -(1 << 20)
    if starts != _BACKWARDS or steps != _BACKWARDS or axes != [_ROWS, _COLUMNS] or not whole:
        return None
    return transposed.inputs[0] if list(transposed.attributes.get_ints("perm", ())) == [1, 0, 2, 3] else None


def _is_constant(value: ir.Value) -> bool:
    """Return whether a value is an initializer, or a cast of one."""
    cast = producer(value)
    if cast is not None:
        return cast.op_type == "Cast" and cast.inputs[0] is not None and _is_constant(cast.inputs[0])
    return value.is_initializer() and not value.is_graph_input()


def _has_channels(value: ir.Value) -> bool:
    sizes = sizes_of(value)
    return sizes is not None and len(sizes) == 4 and sizes[1] % CHANNEL_MULTIPLE == 0


def _is_halving(node: ir.Node) -> bool:
    attributes = node.attributes
    return (
        list(attributes.get_ints("kernel_shape", ())) == [2, 2]
        and list(attributes.get_ints("strides", ())) == [2, 2]
        and list(attributes.get_ints("dilations", _UNIT)) == [1, 1]
        and not any(attributes.get_ints("pads", ()))
        and not attributes.get_int("ceil_mode", 0)
        and attributes.get_string("auto_pad", "NOTSET") == "NOTSET"
    )


def _slice_of(value: ir.Value | None, axis: int, start: int, end: int) -> ir.Value | None:
    """Return what a value is that part of, along one axis."""
    node = producer(value)
    if node is None or node.op_type != "Slice":
        return None
    bounds = [integers(item) for item in node.inputs[1:]]
    wanted = [[start], [end], [axis], [1]]
    return node.inputs[0] if bounds == wanted[: len(bounds)] and len(bounds) >= 3 else None


def _wrapped(value: ir.Value) -> ir.Value | None:
    """Return the value that has its opposite edges around it, as `impasto.export.seamless` joins them on."""
    for axis in (_COLUMNS, _ROWS):
        node, shape = producer(value), sizes_of(value)
        if node is None or node.op_type != "Concat" or shape is None or len(node.inputs) != 3:
            return None
        before, inside, after = map(given, node.inputs)
        size = shape[axis] - 2
        if node.attributes.get_int("axis", 0) != axis or _slice_of(after, axis, 0, 1) is not inside:
            return None
        if _slice_of(before, axis, size - 1, size) is not inside:
            return None
        value = inside
    return value


def _unwrapped(node: ir.Node, axis: int) -> tuple[ir.Value | None, ir.Value | None]:
    """Return x, of n + 2 along an axis, of a sum of its middle, its last moved to 0, and its first to n - 1.

    Beside it stands the fourth summand, None where there are three; both are None for any other node.
    """
    shape, summands = sizes_of(node.outputs[0]), _summands(node)
    if shape is None or len(shape) != 4 or len(summands) not in (3, 4):
        return None, None
    size = shape[axis]
    parts: dict[str, ir.Value] = {}
    others = []
    for value in summands:
        for name, part in (
            ("middle", _slice_of(value, axis, 1, size + 1)),
            ("last", _slice_of(_moved(value, axis, 0, size - 1), axis, size + 1, size + 2)),
            ("first", _slice_of(_moved(value, axis, size - 1, 0), axis, 0, 1)),
        ):
            if part is not None and name not in parts:
                parts[name] = part
                break
        else:
            others.append(value)
    if len(parts) != 3 or len(set(parts.values())) != 1 or any(sizes_of(value) != shape for value in others):
        return None, None
    return parts["middle"], others[0] if others else None


def _summands(node: ir.Node) -> list[ir.Value]:
    """Return the values that an Add adds up, through the Adds that it alone reads."""
    if node.op_type != "Add" or node.domain:
        return []
    found: list[ir.Value] = []
    waiting = list(map(given, node.inputs))
    while waiting:
        value = waiting.pop(0)
        inner = producer(value)
        if inner is not None and inner.op_type == "Add" and sole_user(value) is not None:
            waiting[:0] = map(given, inner.inputs)
        else:
            found.append(value)
    return found


def _moved(value: ir.Value | None, axis: int, before: int, after: int) -> ir.Value | None:
    """Return what a value is with so many zeros before and after it along one axis."""
    node = producer(value)
    if (
        node is None
        or node.op_type != "Pad"
        or len(node.inputs) != 2
        or node.attributes.get_string("mode", "constant") != "constant"
    ):
        return None
    wanted = [0] * 8
    wanted[axis], wanted[axis + 4] = before, after
    return node.inputs[0] if integers(node.inputs[1]) == wanted else None


def _adds_rest(node: ir.Node) -> bool:
    """Return whether a Pad adds at most one row below and one column on the right, of zeros."""
    pads = integers(node.inputs[1])
    zeros = len(node.inputs) == 2 and node.attributes.get_string("mode", "constant") == "constant"
    return zeros and pads is not None and len(pads) == 8 and not any(pads[:6]) and max(pads) <= 1 and min(pads) >= 0


def _repeats(node: ir.Node | None) -> ir.Value | None:
    """Return what a Resize repeats twice along both axes."""
    if node is None or node.op_type != "Resize" or len(node.inputs) < 3:
        return None
    scales = folded(given(node.inputs[2])) if node.inputs[2] is not None else None
    if scales is None or scales.tolist() != [1, 1, 2, 2]:
        return None
    return node.inputs[0] if repeats_pixels(node) else None


def _repeated_mean(node: ir.Node) -> ir.Value | None:
    """Return d of Resize(d / 4)."""
    product = producer(_repeats(node))
    if product is None or product.op_type != "Mul":
        return None
    quarter = folded(given(product.inputs[1]))
    return (
        product.inputs[0] if quarter is not None and quarter.size == 1 and float(quarter.ravel()[0]) == 0.25 else None
    )


def _first_maximum(node: ir.Node) -> tuple[ir.Value, ir.Value] | None:
    """Return d and the pooling's input of a graph that sends d to the first maximum of every window."""
    if node.op_type != "Where" or not is_zero(node.inputs[2]):
        return None
    d, is_first = _repeats(producer(node.inputs[1])), producer(node.inputs[0])
    if d is None or is_first is None or is_first.op_type != "Equal":
        return None
    ranked, highest = producer(is_first.inputs[0]), producer(_repeats(producer(is_first.inputs[1])))
    if ranked is None or ranked.op_type != "Where" or highest is None or highest.op_type != "MaxPool":
        return None
    is_maximum = producer(ranked.inputs[0])
    if highest.inputs[0] is not ranked.outputs[0] or is_maximum is None or is_maximum.op_type != "Equal":
        return None
    pool = producer(_repeats(producer(is_maximum.inputs[1])))
    layer = None if pool is None else pooling(pool)
    return None if layer is None or not layer.attributes["maximum"] else (d, layer.inputs[0])
