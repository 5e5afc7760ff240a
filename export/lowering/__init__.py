"""Rewrites of the neutral graph for one provider, each of which measurements on that provider justify."""

from impasto.export.lowering.cpu import REWRITES, lower_for_cpu
from impasto.export.lowering.openvino import lower_for_openvino

__all__ = ["REWRITES", "lower_for_cpu", "lower_for_openvino"]
