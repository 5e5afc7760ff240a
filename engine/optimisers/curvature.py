"""The curvature that L-BFGS remembers, and the search direction it implies.

With m pairs s_k (change of x) and y_k (change of the gradient) over n variables, the two-loop recursion (Nocedal and
Wright, Numerical Optimization, 2006, algorithm 7.4) walks 4m times over vectors of n, one after the other. With the
inner products of the pairs kept, both of its loops become products with the stacked pairs and the solution of a
triangular system of order m (Byrd, Nocedal and Schnabel, Mathematical Programming 63, 1994, theorem 2.2).
"""

import math

import numpy as np
from numpy.typing import NDArray

from impasto.engine.optimisers.initial_inverse import InitialInverse, ScalarInverse
from impasto.engine.optimisers.solution import State, StateError, Vector, restore_array

_LEAST_PRODUCT = 1e-30
"""Inner products below this are too near float32's smallest numbers to divide by."""


class CurvatureHistory:
    """The last so many curvature pairs over float32 vectors: a ring buffer, with the inner products in float64.

    It follows the points that the optimiser accepts: every move is passed to `advance`. Memory is
    ``(2 * capacity + 1) * size`` float32, taken up as pairs come in.

    Args:
        capacity: pairs kept.
        size: of the vectors.
        initial: the matrix that the pairs correct; one number for all variables if None.
    """

    def __init__(self, capacity: int, size: int, initial: InitialInverse | None = None) -> None:
        self._capacity = capacity
        self._initial: InitialInverse = initial or ScalarInverse()
        self._s = np.empty((capacity + 1, size), np.float32)  # in row 0 a direction under way; slot k is in row k + 1
        self._y = np.empty((capacity, size), np.float32)
        self._s_dot_gradient = np.zeros(capacity)
        self._s_dot_y = np.zeros((capacity, capacity))  # [i, j] is kept for i older than j, or the same
        self._slots: list[int] = []  # oldest first

    def __len__(self) -> int:
        """How many pairs there are."""
        return len(self._slots)

    def clear(self) -> None:
        """Forget all pairs."""
        self._slots.clear()

    def state(self) -> State:
        """Return copies of the pairs, their products and the initial inverse, as arrays by name."""
        filled = len(self._slots)
        own: State = {
            "s": self._s[1 : filled + 1].copy(),
            "y": self._y[:filled].copy(),
            "slots": np.array(self._slots, np.int64),
            "s_dot_gradient": self._s_dot_gradient[:filled].copy(),
            "s_dot_y": self._s_dot_y[:filled, :filled].copy(),
        }
        return own | {f"inverse_{name}": value for name, value in self._initial.state().items()}

    def restore(self, state: State) -> None:
        """Continue from what `state` returned, of a history of the same capacity, size and kind of initial inverse.

        Raises:
            StateError: the state is of another history.
        """
        slots = np.zeros(min(np.size(state.get("slots", ())), self._capacity), np.int64)
        restore_array(slots, state, "slots")
        self._slots, filled = slots.tolist(), slots.size
        if sorted(self._slots) != list(range(filled)):
            raise StateError(f"slots are {self._slots}; they must be 0 to {filled - 1}, each once")
        restore_array(self._s[1 : filled + 1], state, "s")
        restore_array(self._y[:filled], state, "y")
        restore_array(self._s_dot_gradient[:filled], state, "s_dot_gradient")
        restore_array(self._s_dot_y[:filled, :filled], state, "s_dot_y")
        prefix = "inverse_"
        self._initial.restore({name[len(prefix) :]: state[name] for name in state if name.startswith(prefix)})

    def advance(self, s: Vector, y: Vector, gradient: Vector, *, least_cosine: float) -> bool:
        """Follow a move, and copy its pair in, over the oldest if there is no room.

        Where s and y have a cosine of least_cosine or less, the curvature along s is negative or lost in rounding. Such
        a pair is left out, which keeps the inverse Hessian positive definite (the cautious update).

        Args:
            s: the change of x, float32 of the history's size.
            y: the change of the gradient, of the same size.
            gradient: after the move, of the same size.
            least_cosine: 0 or more.

        Returns:
            Whether the pair was taken.
        """
        s_y, s_s, y_y = float(np.dot(s, y)), float(np.dot(s, s)), float(np.dot(y, y))
        taken = y_y > _LEAST_PRODUCT and s_y > max(least_cosine * math.sqrt(s_s) * math.sqrt(y_y), _LEAST_PRODUCT)
        if not taken:
            self._s_dot_gradient[: len(self._slots)] = self._s[1 : len(self._slots) + 1] @ gradient
            return False
        slot = self._slots.pop(0) if len(self._slots) == self._capacity else len(self._slots)
        self._slots.append(slot)
        self._s[slot + 1], self._y[slot] = s, y
        filled = len(self._slots)
        # Computed from y, not as a difference of products with two gradients: where gradients are long and change
        # little, that difference would lose its digits, and the direction would be wrong.
        s_dot_y = self._s[1 : filled + 1] @ y
        self._s_dot_gradient[:filled] += s_dot_y
        self._s_dot_gradient[slot] = np.dot(s, gradient)
        self._s_dot_y[:filled, slot] = s_dot_y
        self._s_dot_y[slot, slot] = s_y
        self._initial.observe(s, y, s_y, y_y)
        return True

    def direction(self, gradient: Vector, out: Vector, held: NDArray[np.intp] | None = None) -> None:
        """Write -H g into out, where H is the inverse Hessian that the pairs imply; there must be one.

        With S = [s_1 ... s_m], Y = [y_1 ... y_m], R the upper triangle of S'Y, D its diagonal and H0 the initial
        inverse, the first loop is v = R^-1 S'g, the second w = R^-T (D v - Y'r) for r = H0 (g - Y v), and

            H g = r + S w.

        Args:
            gradient: g, the one that was passed to `advance` last.
            out: float32 of the history's size; must not be ``gradient``.
            held: positions where g counts as 0; the values of out at these positions have no meaning.
        """
        slots, filled = np.array(self._slots), len(self._slots)
        pairs_s, pairs_y = self._s[1 : filled + 1], self._y[:filled]
        s_dot_g = self._s_dot_gradient[:filled]
        if held is not None and held.size:
            s_dot_g = s_dot_g - pairs_s[:, held] @ gradient[held]
        r = np.triu(self._s_dot_y[np.ix_(slots, slots)])
        v = np.linalg.solve(r, s_dot_g[slots])
        np.dot(_placed(-v, slots), pairs_y, out=out)
        out += gradient
        if held is not None and held.size:
            out[held] -= gradient[held]
        self._initial.multiply(out, out=self._s[0])
        w = np.linalg.solve(r.T, np.diag(r) * v - (pairs_y @ self._s[0])[slots])
        np.dot(np.concatenate(([np.float32(-1)], _placed(-w, slots))), self._s[: filled + 1], out=out)


def _placed(values: NDArray[np.float64], slots: NDArray[np.intp]) -> Vector:
    """Return values, given from the oldest pair to the newest, in the order of their slots."""
    placed = np.empty(slots.size, np.float32)
    placed[slots] = values
    return placed
