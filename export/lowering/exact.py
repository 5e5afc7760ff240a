"""Products of matrices that keep float32's precision where a provider multiplies float32 in TF32.

TF32 rounds the operands of a product to 11 significant bits and adds up in float32. The iteration for a matrix root
(`impasto.export.newton_schulz`) diverges on that. Its products are marked as `EXACT`; each becomes three, of operands
split in two halves that TF32 holds (Dekker, "A floating-point technique for extending the available precision", 1971):

    A B = A_high B_high + (A_high B_low + A_low B_high) + 2^-24
"""

import numpy as np
import onnx_ir as ir

from impasto.export.lowering.rewriting import Inserter
from impasto.export.newton_schulz import EXACT
from impasto.export.vjp_rules.inspection import given

_SPLITTER = np.float32(2**13 + 1)  # leaves 24 - 13 = 11 bits in the high half


def split_exact_products(model: ir.Model) -> None:
    """Rewrite the marked products of a float32 model in place."""
    marked = [node for node in model.graph if EXACT in node.metadata_props]
    if not marked:
        return
    splitter = ir.val("splitter", const_value=ir.tensor(_SPLITTER, name="splitter"))
    model.graph.register_initializer(splitter)
    halves: dict[ir.Value, tuple[ir.Value, ir.Value]] = {}
    for node in marked:
        insert, operands = Inserter(model.graph, node), list(map(given, node.inputs))
        for value in operands:
            if value not in halves:
                halves[value] = _split(insert, value, splitter)
        (a_high, a_low), (b_high, b_low) = (halves[value] for value in operands)
        result = node.outputs[0]
        cross = insert(
            "Add",
            insert("MatMul", a_high, b_low, like=result),
            insert("MatMul", a_low, b_high, like=result),
            like=result,
        )
        insert.take_over(insert("Add", insert("MatMul", a_high, b_high, like=result), cross, like=result))


def _split(insert: Inserter, value: ir.Value, splitter: ir.Value) -> tuple[ir.Value, ir.Value]:
    """Emit the high and the low half of a value."""
    raised = insert("Mul", value, splitter, like=value)
    high = insert("Sub", raised, insert("Sub", raised, value, like=value), like=value)
    return high, insert("Sub", value, high, like=value)
