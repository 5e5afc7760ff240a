"""Rewrites of the neutral graph for one provider: measurements on it justify them, or its kernels need them."""

from impasto.export.lowering.cpu import REWRITES, lower_for_cpu
from impasto.export.lowering.cuda import lower_for_cuda
from impasto.export.lowering.exact import split_exact_products
from impasto.export.lowering.native import lower_to_operators
from impasto.export.lowering.openvino import lower_for_openvino
from impasto.export.lowering.webgpu import lower_for_webgpu

__all__ = [
    "REWRITES",
    "lower_for_cpu",
    "lower_for_cuda",
    "lower_for_openvino",
    "lower_for_webgpu",
    "lower_to_operators",
    "split_exact_products",
]
