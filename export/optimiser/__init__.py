"""L-BFGS as an ONNX graph: one step for every evaluation, on images, gradients and histories that stay where they are.

    step:  state, loss, terms, gradient  ->  state, image

The image is the next one to evaluate. Samples are independent: each has its own line search, history, limit and end,
and one that has ended stays as it is. All choices are made by masks, so that the graph has no control flow and can be
captured and replayed.
"""

from impasto.export.optimiser.spectrum import real_fourier
from impasto.export.optimiser.state import NEXT, REPORTED, SCALARS, Buffer, Code, Spectrum, StepForm
from impasto.export.optimiser.step import COEFFICIENTS, LIMIT, StepGraph, build_step

__all__ = [
    "COEFFICIENTS",
    "LIMIT",
    "NEXT",
    "REPORTED",
    "SCALARS",
    "Buffer",
    "Code",
    "Spectrum",
    "StepForm",
    "StepGraph",
    "build_step",
    "real_fourier",
]
