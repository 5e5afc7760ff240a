"""RNN, GRU and LSTM as the ONNX standard writes them, sample by sample and step by step, for the reference evaluator.

The evaluator (1.23) knows neither sequence_lens, nor other activations, nor the reverse direction. The cell of an
LSTM is not clipped, which is how ONNX Runtime reads the standard.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from onnx.reference.op_run import OpRun

Array = np.ndarray[Any, Any]
Function = Callable[[Array], Array]
Settings = Mapping[str, Any]

DIRECTIONS = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}
DEFAULTS = {
    "affine": (1.0, 0.0),
    "elu": (1.0, None),
    "hardsigmoid": (0.2, 0.5),
    "leakyrelu": (0.01, None),
    "scaledtanh": (1.0, 1.0),
    "thresholdedrelu": (1.0, None),
}
"""Activations -> alpha and beta."""

FORMULAS: dict[str, Callable[[Array, Any, Any], Array]] = {
    "affine": lambda x, alpha, beta: alpha * x + beta,
    "elu": lambda x, alpha, beta: np.where(x >= 0, x, alpha * np.expm1(np.minimum(x, 0))),
    "hardsigmoid": lambda x, alpha, beta: np.clip(alpha * x + beta, 0, 1),
    "leakyrelu": lambda x, alpha, beta: np.where(x >= 0, x, alpha * x),
    "relu": lambda x, alpha, beta: np.maximum(x, 0),
    "scaledtanh": lambda x, alpha, beta: alpha * np.tanh(beta * x),
    "sigmoid": lambda x, alpha, beta: (1 + np.tanh(x / 2)) / 2,
    "softplus": lambda x, alpha, beta: np.logaddexp(0, x),
    "softsign": lambda x, alpha, beta: x / (1 + np.abs(x)),
    "tanh": lambda x, alpha, beta: np.tanh(x),
    "thresholdedrelu": lambda x, alpha, beta: np.where(x >= alpha, x, 0),
}


class _Weights:
    """Those of one direction: W, R, the halves of B, and P."""

    def __init__(self, gates: int, inputs: Sequence[Any], index: int) -> None:
        w, r, b, p = inputs
        size = r.shape[2]
        self.W, self.R = w[index], r[index]
        self.Wb, self.Rb = np.split(np.zeros(2 * gates * size, r.dtype) if b is None else b[index], 2)
        self.P = np.zeros(3 * size, r.dtype) if p is None else p[index]


Cell = Callable[[Array, Array, Array, _Weights, Sequence[Function], Settings], tuple[Array, Array]]
"""Called as ``cell(x, h, c, weights, functions, settings)``; it returns the new h and c."""


def _rnn(x: Array, h: Array, c: Array, w: _Weights, f: Sequence[Function], settings: Settings) -> tuple[Array, Array]:
    return f[0](w.W @ x + w.R @ h + w.Wb + w.Rb), c


def _gru(x: Array, h: Array, c: Array, w: _Weights, f: Sequence[Function], settings: Settings) -> tuple[Array, Array]:
    x_z, x_r, x_h = np.split(w.W @ x + w.Wb, 3)
    (r_z, r_r, r_h), (b_z, b_r, b_h) = np.split(w.R, 3), np.split(w.Rb, 3)
    z, r = f[0](x_z + r_z @ h + b_z), f[0](x_r + r_r @ h + b_r)
    is_after = settings.get("linear_before_reset")
    new = f[1](x_h + (r * (r_h @ h + b_h) if is_after else r_h @ (r * h) + b_h))
    return (1 - z) * new + z * h, c


def _lstm(x: Array, h: Array, c: Array, w: _Weights, f: Sequence[Function], settings: Settings) -> tuple[Array, Array]:
    i, o, forget, cell = np.split(w.W @ x + w.R @ h + w.Wb + w.Rb, 4)
    p_i, p_o, p_f = np.split(w.P, 3)
    i = f[0](i + p_i * c)
    forget = 1 - i if settings.get("input_forget") else f[0](forget + p_f * c)
    c = forget * c + i * f[1](cell)
    return f[0](o + p_o * c) * f[2](c), c


def _activated(name: str, alpha: Any, beta: Any, bound: float, x: Array) -> Array:
    return np.asarray(FORMULAS[name](np.clip(x, -bound, bound) if bound else x, alpha, beta))


def _functions(settings: Settings, defaults: Sequence[str], directions: int) -> Iterator[Function]:
    """Yield the activations; the parameters are listed in the order of those that have them."""
    listed = [list(settings.get(f"activation_{name}", ())) for name in ("alpha", "beta")]
    for index, name in enumerate(settings.get("activations", list(defaults) * directions)):
        bound = 0.0 if index % len(defaults) == 2 else settings.get("clip", 0.0)
        own = DEFAULTS.get(name.lower(), (None, None))
        alpha, beta = (
            given.pop(0) if value is not None and given else value for value, given in zip(own, listed, strict=True)
        )
        yield partial(_activated, name.lower(), alpha, beta, bound)


class _Recurrent(OpRun):
    """A layer of one kind of cell."""

    gates: int
    defaults: Sequence[str]
    cell: Cell

    def _run(self, x: Array, w: Array, r: Array, b: Any = None, lengths: Any = None, *states: Any, **given: Any) -> Any:
        first_h, first_c, p = (*states, None, None, None)[:3]
        settings = {name: value for name, value in given.items() if value is not None}
        is_batch_first = bool(settings.get("layout"))
        if is_batch_first:
            x = x.swapaxes(0, 1)
            first_h, first_c = (None if state is None else state.swapaxes(0, 1) for state in (first_h, first_c))
        directions = DIRECTIONS[settings.get("direction", "forward")]
        functions, each = list(_functions(settings, self.defaults, len(directions))), len(self.defaults)
        shape = len(directions), x.shape[1], r.shape[2]
        y, last = np.zeros((len(x), *shape), x.dtype), np.zeros((2, *shape), x.dtype)
        for index, goes_back in enumerate(directions):
            weights, chosen = _Weights(self.gates, (w, r, b, p), index), functions[index * each : (index + 1) * each]
            for sample in range(x.shape[1]):
                h, c = (np.zeros(shape[2], x.dtype) if s is None else s[index, sample] for s in (first_h, first_c))
                order = range(len(x) if lengths is None else int(lengths[sample]))
                for moment in reversed(order) if goes_back else order:
                    h, c = type(self).cell(x[moment, sample], h, c, weights, chosen, settings)
                    y[moment, index, sample] = h
                last[:, index, sample] = h, c
        if is_batch_first:
            y, last = y.transpose(2, 0, 1, 3), last.swapaxes(1, 2)
        return (y, *last)[: len(self.onnx_node.output)]


class RNN(_Recurrent):
    """The simple recurrent layer."""

    gates, defaults, cell = 1, ("Tanh",), staticmethod(_rnn)


class GRU(_Recurrent):
    """The layer of gated recurrent units."""

    gates, defaults, cell = 3, ("Sigmoid", "Tanh"), staticmethod(_gru)


class LSTM(_Recurrent):
    """The layer of long short-term memory."""

    gates, defaults, cell = 4, ("Sigmoid", "Tanh", "Tanh"), staticmethod(_lstm)


RECURRENT: tuple[type[OpRun], ...] = (RNN, GRU, LSTM)
