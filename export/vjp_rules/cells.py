"""The cells of RNN, GRU and LSTM in reverse, along one direction of a sequence.

What a step needs of the values of its cell is computed for all steps at once, from the h that the layer puts out. The
steps themselves, last first, have little left to do: a product with the weights of the recurrence, and a few of
elements.
Gates are in the order of the ONNX standard: z r n of GRU, i o f g of LSTM (the standard's h and c are n and g here).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from impasto.export.vjp_rules.cell_activations import Activation, with_slope
from impasto.export.vjp_rules.emission import Emission
from impasto.export.vjp_rules.scan import Values, scanned

ALL = 2**31 - 1  # an end behind every element

ReverseStep = Callable[[Emission, ir.Value, Values, Values], tuple[Values, Values]]
"""Called as ``step(emit, d, others, elements)`` with the cotangents of h and of the other states after a step; it
returns those of all states before it, and results."""


@dataclass(frozen=True)
class Direction:
    """One direction of a recurrent layer, and the cotangents that arrive at it; T steps, N samples, H units.

    Attributes:
        emit: what appends to the graph.
        gates: x W^T + Wb of every step, [T, N, gates H].
        recurrence: R, [gates H, H].
        bias: Rb, [gates H], or None.
        peepholes: P of LSTM, [3 H], or None.
        hidden: h after every step, [T, N, H].
        first: the states before the first step, h or h and c, [N, H] each.
        is_inside: whether a step is within the sample's sequence, [T, N, 1]; None where all are.
        functions: the activations.
        size: H.
        is_single: whether T is known to be 1.
        goes_back: whether the last step comes first.
        d_hidden: the cotangent of h after every step, or None.
        d_last: those of the states after the last step.
    """

    emit: Emission
    gates: ir.Value
    recurrence: ir.Value
    bias: ir.Value | None
    peepholes: ir.Value | None
    hidden: ir.Value
    first: Values
    is_inside: ir.Value | None
    functions: Sequence[Activation]
    size: int
    is_single: bool
    goes_back: bool
    d_hidden: ir.Value | None
    d_last: Values

    def previous(self, states: ir.Value, first: ir.Value) -> ir.Value:
        """Emit the states before every step, of those after it; behind the end of a sequence it is the first one."""
        emit, begin = self.emit, self.emit.op("Unsqueeze", first, [0])
        if self.is_single:
            return begin
        if not self.goes_back:
            return emit.op("Concat", begin, emit.op("Slice", states, [0], [-1], [0]), axis=0)
        if self.is_inside is not None:
            states = emit.op("Where", self.is_inside, states, begin)
        return emit.op("Concat", emit.op("Slice", states, [1], [ALL], [0]), begin, axis=0)

    def masked(self, values: ir.Value, outside: float = 0.0) -> ir.Value:
        """Emit the values within the sequences, and a number outside of them."""
        return values if self.is_inside is None else self.emit.op("Where", self.is_inside, values, outside)

    def product(self, h: ir.Value, weights: ir.Value) -> ir.Value:
        """Emit h R^T."""
        return self.emit.op("MatMul", h, self.emit.op("Transpose", weights, perm=[1, 0]))

    def with_bias(self, value: ir.Value, bias: ir.Value | None) -> ir.Value:
        """Emit the sum with a bias that may be left out."""
        return value if bias is None else self.emit.op("Add", value, bias)

    def reversed_steps(self, step: ReverseStep, sequences: Values) -> tuple[Values, Values]:
        """Emit the steps, last first: return the cotangents of the first states, and what the steps return, stacked.

        Outside of the sequences the cotangent of h passes by.
        """
        arriving = [] if self.d_hidden is None else [self.masked(self.d_hidden)]
        passing = []
        if self.is_inside is not None:
            passing = [self.emit.cast(self.emit.op("Not", self.is_inside), self.hidden)]

        def whole(inner: Emission, states: Values, elements: Values) -> tuple[Values, Values]:
            d, *others = states
            if arriving:
                d = inner.op("Add", d, elements[0])
            own = elements[len(arriving) : len(elements) - len(passing)]
            (d_previous, *new), results = step(inner, d, others, own)
            if passing:
                d_previous = inner.op("Add", d_previous, inner.op("Mul", d, elements[-1]))
            return [d_previous, *new], results

        every = [*arriving, *sequences, *passing]
        return scanned(self.emit, whole, self.d_last, every, goes_back=not self.goes_back)


@dataclass(frozen=True)
class Reversed:
    """What arrives at the inputs of a direction.

    Attributes:
        gates: the cotangent of x W^T + Wb, [T, N, gates H].
        products: pairs of factor and cotangent, [T, N, H] and [T, N, k H], of the rows of R in their order.
        bias: the cotangent of Rb before its sum over steps and samples, [T, N, gates H].
        first: those of the first states, [N, H] each.
        peepholes: that of P before its sum, [T, N, 3 H]; None without.
    """

    gates: ir.Value
    products: Sequence[tuple[ir.Value, ir.Value]]
    bias: ir.Value
    first: Values
    peepholes: ir.Value | None = None


def rnn(cell: Direction) -> Reversed:
    """Reverse h' = f(x + h R^T)."""
    emit, previous = cell.emit, cell.previous(cell.hidden, cell.first[0])
    joined = emit.op("Add", cell.gates, cell.with_bias(cell.product(previous, cell.recurrence), cell.bias))
    _, slope = with_slope(emit, cell.functions[0], joined)

    def step(inner: Emission, d: ir.Value, others: Values, elements: Values) -> tuple[Values, Values]:
        d_gates = inner.op("Mul", d, elements[0])
        return [inner.op("MatMul", d_gates, cell.recurrence)], [d_gates]

    first, (d_gates,) = cell.reversed_steps(step, [cell.masked(slope)])
    return Reversed(d_gates, [(previous, d_gates)], d_gates, first)


def gru(cell: Direction) -> Reversed:
    """Reverse h' = (1 - z) n + z h, n = g(x + (r h) R^T)."""
    emit, previous, size = cell.emit, cell.previous(cell.hidden, cell.first[0]), cell.size
    for_gates, for_new = emit.split(cell.recurrence, 2, 0, [2 * size, size])
    joined = cell.with_bias(cell.gates, cell.bias)
    to_gates, to_new = emit.split(joined, 2, 2, [2 * size, size])
    to_z, to_r = emit.split(emit.op("Add", to_gates, cell.product(previous, for_gates)), 2, 2)
    (z, z_slope), (r, r_slope) = (with_slope(emit, cell.functions[0], each) for each in (to_z, to_r))
    chosen = emit.op("Mul", r, previous)
    n, n_slope = with_slope(emit, cell.functions[1], emit.op("Add", to_new, cell.product(chosen, for_new)))
    sequences = [
        cell.masked(emit.op("Mul", emit.op("Sub", 1.0, z), n_slope)),
        cell.masked(emit.op("Mul", emit.op("Sub", previous, n), z_slope)),
        emit.op("Mul", previous, r_slope),
        cell.masked(z),
        r,
    ]

    def step(inner: Emission, d: ir.Value, others: Values, elements: Values) -> tuple[Values, Values]:
        by_n, by_z, by_r, kept, taken = elements
        d_new = inner.op("Mul", d, by_n)
        d_chosen = inner.op("MatMul", d_new, for_new)
        d_gates = inner.op("Concat", inner.op("Mul", d, by_z), inner.op("Mul", d_chosen, by_r), axis=-1)
        direct = inner.op("Add", inner.op("Mul", d, kept), inner.op("Mul", d_chosen, taken))
        return [inner.op("Add", direct, inner.op("MatMul", d_gates, for_gates))], [d_gates, d_new]

    first, (d_gates, d_new) = cell.reversed_steps(step, sequences)
    every = emit.op("Concat", d_gates, d_new, axis=2)
    return Reversed(every, [(previous, d_gates), (chosen, d_new)], every, first)


def gru_after_product(cell: Direction) -> Reversed:
    """Reverse a GRU with n = g(x + r (h R^T + b)): linear_before_reset."""
    emit, previous = cell.emit, cell.previous(cell.hidden, cell.first[0])
    of_z, of_r, of_n = emit.split(cell.with_bias(cell.product(previous, cell.recurrence), cell.bias), 3, 2)
    x_z, x_r, x_n = emit.split(cell.gates, 3, 2)
    z, z_slope = with_slope(emit, cell.functions[0], emit.op("Add", x_z, of_z))
    r, r_slope = with_slope(emit, cell.functions[0], emit.op("Add", x_r, of_r))
    n, n_slope = with_slope(emit, cell.functions[1], emit.op("Add", x_n, emit.op("Mul", r, of_n)))
    by_z = cell.masked(emit.op("Mul", emit.op("Sub", previous, n), z_slope))
    by_n = cell.masked(emit.op("Mul", emit.op("Sub", 1.0, z), n_slope))
    by_r = emit.op("Mul", emit.op("Mul", by_n, of_n), r_slope)
    slopes = emit.op("Concat", by_z, by_r, emit.op("Mul", by_n, r), axis=2)

    def step(inner: Emission, d: ir.Value, others: Values, elements: Values) -> tuple[Values, Values]:
        slopes, kept = elements
        d_product = inner.op("Mul", inner.op("Concat", d, d, d, axis=-1), slopes)
        through = inner.op("MatMul", d_product, cell.recurrence)
        return [inner.op("Add", inner.op("Mul", d, kept), through)], [d_product, d]

    first, (d_product, d) = cell.reversed_steps(step, [slopes, cell.masked(z)])
    d_z, d_r, _ = emit.split(d_product, 3, 2)
    d_gates = emit.op("Concat", d_z, d_r, emit.op("Mul", d, by_n), axis=2)
    return Reversed(d_gates, [(previous, d_product)], d_product, first)
