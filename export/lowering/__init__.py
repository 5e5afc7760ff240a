"""Rewrites of the neutral graph for one provider, each of which measurements on that provider justify."""

from impasto.export.lowering.cpu import REWRITES, lower_for_cpu

__all__ = ["REWRITES", "lower_for_cpu"]
