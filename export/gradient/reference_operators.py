"""Operators in which the ONNX reference evaluator (1.23) is float32 inside, incomplete or wrong, done over.

Erf and Gelu are float32 inside; BatchNormalization of opsets 9 to 13 mixes the batch's mean and variance in. RNN, GRU
and LSTM have a module of their own.
"""

import math
from typing import Any

import numpy as np
from onnx.reference.op_run import OpRun

from impasto.export.gradient.recurrent_operators import RECURRENT

Array = np.ndarray[Any, Any]

_erf = np.vectorize(math.erf, otypes=[np.float64])


class Erf(OpRun):
    """The error function."""

    def _run(self, x: Array) -> tuple[Array]:
        return (_erf(x).astype(x.dtype),)


class Gelu(OpRun):
    """The Gaussian error linear unit, exact or approximate."""

    def _run(self, x: Array, approximate: str) -> tuple[Array]:
        if approximate == "tanh":
            return (x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),)
        return ((x / 2 * (1 + _erf(x / np.sqrt(2)))).astype(x.dtype),)


class BatchNormalization(OpRun):
    """Normalisation by a mean and a variance that are given, which is what a model for inference has."""

    def _run(
        self,
        x: Array,
        scale: Array,
        bias: Array,
        mean: Array,
        var: Array,
        epsilon: float = 1e-5,
        momentum: float = 0.9,
        training_mode: int = 0,
        **older: object,
    ) -> tuple[Array]:
        if training_mode:
            raise NotImplementedError("BatchNormalization in training mode")
        shape = (-1, *(1,) * (x.ndim - 2))
        factor = scale / np.sqrt(var + (1e-5 if epsilon is None else epsilon))
        return ((x - mean.reshape(shape)) * factor.reshape(shape) + bias.reshape(shape),)


OPERATORS: tuple[type[OpRun], ...] = (BatchNormalization, Erf, Gelu, *RECURRENT)
