"""Inputs of runs: pictures, saved styles, manifests and checkpoints, read from files."""
