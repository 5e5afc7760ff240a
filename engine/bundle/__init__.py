"""Bundles: the graphs, weights and styles of a preset in a folder that programs without Python run."""

from impasto.engine.bundle.checking import check_bundle
from impasto.engine.bundle.manifest import read_manifest
from impasto.engine.bundle.writing import Order, write_bundle

__all__ = ["Order", "check_bundle", "read_manifest", "write_bundle"]
