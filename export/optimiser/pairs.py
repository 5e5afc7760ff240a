"""Curvature pairs and the quasi-Newton direction that they imply: `impasto.engine.optimisers.curvature` as a subgraph.

There the triangular matrix R of the products s_i'y_j is solved with; here its inverse is kept, in the order of the
slots. A new last column c of R, with s'y = rho on the diagonal, gives R^-1 a last column (-R^-1 c / rho, 1 / rho), and
the oldest pair leaves by its row and column being struck out: nothing to solve, and nothing to sort.
"""

from dataclasses import dataclass

import numpy as np

from impasto.export.optimiser.algebra import Quantity
from impasto.export.optimiser.state import StepForm

_LEAST_PRODUCT = 1e-30


@dataclass(frozen=True)
class Pairs:
    """The state of the history, under the names of its buffers.

    Attributes:
        s: [N, m + 1, n], as is y; the last row takes what is no pair.
        y: see s.
        inverse_products: R^-1, [N, m + 1, m + 1], zero in rows and columns of slots without a pair.
        s_dot_y: the diagonal of R, [N, m + 1, 1].
    """

    s: Quantity
    y: Quantity
    inverse_products: Quantity
    s_dot_y: Quantity


def dot(a: Quantity, b: Quantity, size: int) -> Quantity:
    """Return the inner products of [N, n] and [N, n] as [N, 1], float64."""
    return (a.reshape(0, 1, size) @ b.reshape(0, size, 1)).reshape(0, 1).cast(np.float64)


def products(s: Quantity, y: Quantity, form: StepForm) -> tuple[Quantity, Quantity, Quantity]:
    """Return s'y and y'y of a pair, float64, and whether the cautious update takes it, each [N, 1]."""
    s_y, s_s, y_y = dot(s, y, form.size), dot(s, s, form.size), dot(y, y, form.size)
    enough = s_s.sqrt() * y_y.sqrt() * form.least_cosine
    usable = (y_y > _LEAST_PRODUCT) & (s_y > enough) & (s_y > _LEAST_PRODUCT)
    return s_y, y_y, usable


def with_pair(
    form: StepForm, pairs: Pairs, s: Quantity, y: Quantity, s_y: Quantity, slot: Quantity, taken: Quantity
) -> Pairs:
    """Return the history after a pair.

    Finite s and y are [N, n]; their inner product, the slot where the pair belongs, and whether it counts [N, 1].
    """
    algebra, rows = s.algebra, form.history_size + 1
    row = algebra.where(taken, slot, float(form.history_size)).cast(np.int64)
    samples = algebra.constant("samples", np.arange(form.batch, dtype=np.int64)[:, None])
    place = algebra.concat([samples, row], 1)
    new_s, new_y = (
        algebra.op("ScatterND", kept, place, vector, dtype=np.float32) for kept, vector in ((pairs.s, s), (pairs.y, y))
    )
    slots = algebra.constant("slots", np.arange(rows, dtype=np.float64)[None, :])
    here = (slots.equals(slot) & taken).cast(np.float64)  # [N, m + 1]; all zero where nothing is taken
    column_here, row_here = here.reshape(0, rows, 1), here.reshape(0, 1, rows)
    kept = pairs.inverse_products * (1.0 - column_here) * (1.0 - row_here)
    rho = algebra.where(taken, s_y, 1.0).reshape(0, 1, 1)
    c = (new_s @ y.reshape(0, form.size, 1)).cast(np.float64)
    inverse_products = kept + ((column_here - kept @ c) / rho) @ row_here
    return Pairs(new_s, new_y, inverse_products, pairs.s_dot_y * (1.0 - column_here) + column_here * rho)


def first_half(form: StepForm, pairs: Pairs, gradient: Quantity) -> tuple[Quantity, Quantity]:
    """Return v = R^-1 S'g, [N, m + 1, 1], and g - Y v, [N, n]."""
    s_dot_g = (pairs.s @ gradient.reshape(0, form.size, 1)).cast(np.float64)
    v = pairs.inverse_products @ s_dot_g
    return v, gradient - _combined(form, v, pairs.y)


def second_half(form: StepForm, pairs: Pairs, v: Quantity, r: Quantity) -> Quantity:
    """Return r + S w with w = R^-T (D v - Y'r), [N, n]; r is the initial inverse times what `first_half` gave."""
    y_dot_r = (pairs.y @ r.reshape(0, form.size, 1)).cast(np.float64)
    # As a row, which needs no transposed matrix: ONNX Runtime 1.21 merges those into an operator that it has no float64
    # kernel of.
    w = (pairs.s_dot_y * v - y_dot_r).reshape(0, 1, form.history_size + 1) @ pairs.inverse_products
    return r + _combined(form, w, pairs.s)


def _combined(form: StepForm, weights: Quantity, rows: Quantity) -> Quantity:
    """Return the sum of rows times weights, [N, n]."""
    flat = weights.cast(np.float32).reshape(0, 1, form.history_size + 1)
    return (flat @ rows).reshape(0, form.size)
