"""The curvature that L-BFGS remembers, and the search direction it implies.

With m pairs s_k (change of x) and y_k (change of the gradient) over n variables, the two-loop recursion (Nocedal and
Wright, Numerical Optimization, 2006, algorithm 7.4) walks 4m times over vectors of n. The compact representation (Byrd,
Nocedal and Schnabel, Mathematical Programming 63, 1994, theorem 2.2) gives the same direction from inner products alone
and two products of the stacked pairs with a vector: one for the inner products with the new y, which also carry those
with the gradient on, and one to put the direction together.
"""

import math

import numpy as np
from numpy.typing import NDArray

from impasto.engine.outcome import Vector

_LEAST_PRODUCT = 1e-30
"""Inner products below this are too near float32's smallest numbers to divide by."""


class CurvatureHistory:
    """The last so many curvature pairs over float32 vectors: a ring buffer, with the inner products in float64.

    It follows the points that the optimiser accepts: `advance` is told of every move. Memory is
    ``2 * capacity * size`` float32, taken up as pairs come in.
    """

    def __init__(self, capacity: int, size: int) -> None:
        self._capacity = capacity
        self._rows = np.empty((2 * capacity, size), np.float32)  # slot k holds s in row 2k and y in row 2k + 1
        self._rows_dot_gradient = np.zeros(2 * capacity)
        self._s_dot_y = np.zeros((capacity, capacity))  # [i, j] is kept for i older than j, or the same
        self._y_dot_y = np.zeros((capacity, capacity))
        self._slots: list[int] = []  # oldest first

    def __len__(self) -> int:
        """How many pairs there are."""
        return len(self._slots)

    def clear(self) -> None:
        """Forget all pairs."""
        self._slots.clear()

    def advance(self, s: Vector, y: Vector, gradient: Vector, *, least_cosine: float) -> bool:
        """Follow a move, and copy its pair in, over the oldest if there is no room.

        Where s and y have a cosine of least_cosine or less, the curvature along s is negative or lost in rounding. Such
        a pair is left out, which keeps the inverse Hessian positive definite (the cautious update).

        Args:
            s: the change of x, float32 of the history's size.
            y: the change of the gradient, likewise.
            gradient: after the move, likewise.
            least_cosine: 0 or more.

        Returns:
            Whether the pair was taken.
        """
        s_y, s_s, y_y = float(np.dot(s, y)), float(np.dot(s, s)), float(np.dot(y, y))
        taken = y_y > _LEAST_PRODUCT and s_y > max(least_cosine * math.sqrt(s_s) * math.sqrt(y_y), _LEAST_PRODUCT)
        if not taken:
            self._rows_dot_gradient[: 2 * len(self._slots)] = self._rows[: 2 * len(self._slots)] @ gradient
            return False
        slot = self._store(s, y)
        filled = 2 * len(self._slots)
        # The products with y themselves: as a difference of products with two gradients they would lose their digits
        # where gradients are long and change little, and with them the direction its worth.
        rows_dot_y = self._rows[:filled] @ y
        self._rows_dot_gradient[:filled] += rows_dot_y
        self._rows_dot_gradient[2 * slot : 2 * slot + 2] = np.dot(s, gradient), np.dot(y, gradient)
        self._s_dot_y[: filled // 2, slot] = rows_dot_y[0::2]
        self._y_dot_y[: filled // 2, slot] = self._y_dot_y[slot, : filled // 2] = rows_dot_y[1::2]
        self._s_dot_y[slot, slot], self._y_dot_y[slot, slot] = s_y, y_y
        return True

    def direction(self, gradient: Vector, out: Vector, held: NDArray[np.intp] | None = None) -> None:
        """Write -H g into out, where H is the inverse Hessian that the pairs imply; there must be one.

        With S = [s_1 ... s_m], Y = [y_1 ... y_m], R the upper triangle of S'Y, D its diagonal and c = s_m'y_m / y_m'y_m

            H = c I + [S  cY] [[R^-T (D + c Y'Y) R^-1,  -R^-T], [-R^-1,  0]] [S  cY]'

        Args:
            gradient: g, the one that `advance` was told last.
            out: float32 of the history's size; must not be ``gradient``.
            held: positions where g counts as 0; what out then holds there is of no use.
        """
        slots = np.array(self._slots)
        rows_dot_g = self._rows_dot_gradient[: 2 * slots.size]
        if held is not None and held.size:
            rows_dot_g = rows_dot_g - self._rows[: 2 * slots.size, held] @ gradient[held]
        s_dot_g, y_dot_g = rows_dot_g[2 * slots], rows_dot_g[2 * slots + 1]
        r = np.triu(self._s_dot_y[np.ix_(slots, slots)])
        y_dot_y = self._y_dot_y[np.ix_(slots, slots)]
        d = np.diag(np.diag(r))
        c = d[-1, -1] / y_dot_y[-1, -1]
        v = np.linalg.solve(r, s_dot_g)
        w = np.linalg.solve(r.T, (d + c * y_dot_y) @ v - c * y_dot_g)
        weights = np.empty(2 * slots.size)
        weights[2 * slots], weights[2 * slots + 1] = w / c, -v  # of -H g / -c, so that no scratch vector is needed
        np.dot(weights.astype(np.float32), self._rows[: weights.size], out=out)
        out += gradient
        out *= -c

    def _store(self, s: Vector, y: Vector) -> int:
        """Copy a pair in and return its slot."""
        slot = self._slots.pop(0) if len(self._slots) == self._capacity else len(self._slots)
        self._slots.append(slot)
        self._rows[2 * slot], self._rows[2 * slot + 1] = s, y
        return slot
