"""The files of a bundle: listed in its manifest, in its folder, unchanged, and with no weights elsewhere."""

from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import onnx_ir as ir

from impasto.engine.bundle.manifest import NAME
from impasto.export.bundle import WEIGHTS_FILE
from impasto.export.external_weights import external_places
from impasto.export.library_errors import without_remarks
from impasto.models.checksum import sha256_of
from impasto.models.errors import ImpastoError


def check_files(folder: Path, record: dict[str, Any]) -> None:
    """Check that every file of a bundle is in the folder and is the one that was written.

    Raises:
        ImpastoError: a file is missing, changed or elsewhere; the message has its name.
    """
    try:
        expected = {name: (entry["bytes"], entry["sha256"]) for name, entry in record["files"].items()}
    except (LookupError, TypeError, AttributeError) as error:
        raise ImpastoError(f"damaged bundle: {folder / NAME} lists no files ({error!r}); make it again") from error
    for name, (size, digest) in expected.items():
        path = folder / name
        if any(
            one.is_absolute() or one.drive or ".." in one.parts for one in (PurePosixPath(name), PureWindowsPath(name))
        ):
            raise ImpastoError(
                f"damaged bundle: {folder / NAME} names a file outside the folder, {name}; make it again"
            )
        if not path.is_file():
            raise ImpastoError(f"incomplete bundle: {path} is missing; make it again")
        if not path.resolve().is_relative_to(folder.resolve()):
            raise ImpastoError(f"damaged bundle: {path} is a link to a file outside the folder; make it again")
        if path.stat().st_size != size or sha256_of(path) != digest:
            raise ImpastoError(f"damaged bundle: {path} is not the file that was written; make it again")


def graph_file(folder: Path, record: dict[str, Any], name: str) -> Path:
    """Return the file of a graph, once it is known that ONNX Runtime opens no other file for it than the weights.

    Raises:
        ImpastoError: the manifest does not list the file, it is no ONNX file, or its weights are in another file.
    """
    path = folder / name
    if name not in record["files"]:
        raise ImpastoError(f"damaged bundle: {folder / NAME} names {name}, but gives no hash of it; make it again")
    try:
        with without_remarks():
            places = external_places(ir.load(path))
    except Exception as error:  # a damaged file may raise anything in protobuf or onnx_ir
        raise ImpastoError(
            f"damaged bundle: {path} is not an ONNX model ({type(error).__name__}); make it again"
        ) from error
    for place in places:
        if place != WEIGHTS_FILE or place not in record["files"]:
            raise ImpastoError(
                f"damaged bundle: {path} takes weights from {place}; allowed is {WEIGHTS_FILE} with its hash; "
                "make it again"
            )
    return path
