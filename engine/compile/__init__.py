"""Compilation of a network and settings into an objective that can be evaluated."""
