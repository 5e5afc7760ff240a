"""The cell of LSTM in reverse: h' = o h(c'), c' = f c + i g, with peepholes, or f = 1 - i (input_forget)."""

from collections.abc import Sequence

import onnx_ir as ir

from impasto.export.vjp_rules.cell_activations import with_slope
from impasto.export.vjp_rules.cells import Direction, Reversed
from impasto.export.vjp_rules.emission import Emission
from impasto.export.vjp_rules.scan import Values, scanned


def lstm(cell: Direction, *, is_coupled: bool) -> Reversed:
    """Reverse an LSTM; coupled, its forget gate is 1 - i."""
    emit, previous = cell.emit, cell.previous(cell.hidden, cell.first[0])
    f_of, g_of, h_of = cell.functions
    joined = emit.op("Add", cell.gates, cell.with_bias(cell.product(previous, cell.recurrence), cell.bias))
    to_i, to_o, to_f, to_g = emit.split(joined, 4, 2)
    g, g_slope = with_slope(emit, g_of, to_g)
    peep_i, peep_o, peep_f = (None,) * 3 if cell.peepholes is None else emit.split(cell.peepholes, 3, 0)
    cells = _cells(cell, to_i, to_f, g, (peep_i, peep_f), is_coupled=is_coupled)
    before = cell.previous(cells, cell.first[1])
    i, i_slope = with_slope(emit, f_of, _peeping(emit, to_i, peep_i, before))
    o, o_slope = with_slope(emit, f_of, _peeping(emit, to_o, peep_o, cells))
    f, f_slope = with_slope(emit, f_of, _peeping(emit, to_f, peep_f, before))
    shown, shown_slope = with_slope(emit, h_of, cells)
    by_i, by_o = emit.op("Mul", g, i_slope), emit.op("Mul", shown, o_slope)
    by_f = emit.op("Mul", before, f_slope)
    if is_coupled:
        f = emit.op("Sub", 1.0, i)
        by_i, by_f = emit.op("Mul", emit.op("Sub", g, before), i_slope), emit.op("Mul", by_f, 0.0)
    sequences = [
        cell.masked(_with_products(emit, emit.op("Mul", o, shown_slope), (peep_o, by_o))),
        cell.masked(_with_products(emit, f, (peep_i, by_i), (peep_f, by_f)), 1.0),
        cell.masked(emit.op("Concat", by_i, by_o, by_f, emit.op("Mul", i, g_slope), axis=2)),
    ]

    def step(inner: Emission, d: ir.Value, others: Values, elements: Values) -> tuple[Values, Values]:
        shows, kept, slopes = elements
        d_cell = inner.op("Add", others[0], inner.op("Mul", d, shows))
        d_gates = inner.op("Mul", inner.op("Concat", d_cell, d, d_cell, d_cell, axis=-1), slopes)
        return [inner.op("MatMul", d_gates, cell.recurrence), inner.op("Mul", d_cell, kept)], [d_gates]

    first, (d_gates,) = cell.reversed_steps(step, sequences)
    d_i, d_o, d_f, _ = emit.split(d_gates, 4, 2)
    seen = [emit.op("Mul", d, c) for d, c in ((d_i, before), (d_o, cells), (d_f, before))]
    return Reversed(d_gates, [(previous, d_gates)], d_gates, first, emit.op("Concat", *seen, axis=2))


def _cells(
    cell: Direction,
    to_i: ir.Value,
    to_f: ir.Value,
    g: ir.Value,
    peepholes: Sequence[ir.Value | None],
    *,
    is_coupled: bool,
) -> ir.Value:
    """Emit c after every step, which an LSTM does not put out: [T, N, H]."""
    peep_i, peep_f = peepholes
    if peep_i is None:
        return _cells_of_gates(cell, to_i, to_f, g, is_coupled=is_coupled)

    def step(inner: Emission, states: Values, elements: Values) -> tuple[Values, Values]:
        (c,), (to_i, to_f, g, *mask) = states, elements
        i = cell.functions[0](inner, _peeping(inner, to_i, peep_i, c))
        f = inner.op("Sub", 1.0, i) if is_coupled else cell.functions[0](inner, _peeping(inner, to_f, peep_f, c))
        new = inner.op("Add", inner.op("Mul", f, c), inner.op("Mul", i, g))
        if mask:
            new = inner.op("Where", mask[0], new, c)
        return [new], [new]

    sequences = [to_i, to_f, g, *([] if cell.is_inside is None else [cell.is_inside])]
    _, (cells,) = scanned(cell.emit, step, cell.first[1:], sequences, goes_back=cell.goes_back)
    return cells


def _cells_of_gates(cell: Direction, to_i: ir.Value, to_f: ir.Value, g: ir.Value, *, is_coupled: bool) -> ir.Value:
    """Emit c after every step where the gates do not depend on it."""
    emit, f_of = cell.emit, cell.functions[0]
    i = f_of(emit, to_i)
    f = emit.op("Sub", 1.0, i) if is_coupled else f_of(emit, to_f)

    def step(inner: Emission, states: Values, elements: Values) -> tuple[Values, Values]:
        kept, new = elements
        c = inner.op("Add", inner.op("Mul", kept, states[0]), new)
        return [c], [c]

    sequences = [cell.masked(f, 1.0), cell.masked(emit.op("Mul", i, g))]
    _, (cells,) = scanned(emit, step, cell.first[1:], sequences, goes_back=cell.goes_back)
    return cells


def _peeping(emit: Emission, gate: ir.Value, peephole: ir.Value | None, c: ir.Value) -> ir.Value:
    """Emit what a gate is a function of."""
    return gate if peephole is None else emit.op("Add", gate, emit.op("Mul", peephole, c))


def _with_products(emit: Emission, total: ir.Value, *pairs: tuple[ir.Value | None, ir.Value]) -> ir.Value:
    """Emit a value plus products; where a first factor is left out it is 0."""
    for weight, value in pairs:
        if weight is not None:
            total = emit.op("Add", total, emit.op("Mul", weight, value))
    return total
