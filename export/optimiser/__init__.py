"""L-BFGS and Adam as ONNX graphs: one step for every evaluation, on data that stays where it is.

    step:  state, loss, terms, gradient  ->  state, image

The image is the next one to evaluate. Samples are independent: each has its own line search, history, limit and end,
and one that has ended stays as it is. All choices are made by masks, so that the graph has no control flow and can be
captured and replayed.
"""

from impasto.export.optimiser.adam import ADAM_SCALARS, AdamForm, build_adam_step
from impasto.export.optimiser.common_step import COEFFICIENTS, LIMIT
from impasto.export.optimiser.spectrum import real_fourier
from impasto.export.optimiser.state import NEXT, REPORTED, SCALARS, Buffer, Code, Spectrum, StepForm
from impasto.export.optimiser.step import StepGraph, build_step

__all__ = [
    "ADAM_SCALARS",
    "COEFFICIENTS",
    "LIMIT",
    "NEXT",
    "REPORTED",
    "SCALARS",
    "AdamForm",
    "Buffer",
    "Code",
    "Spectrum",
    "StepForm",
    "StepGraph",
    "build_adam_step",
    "build_step",
    "real_fourier",
]
