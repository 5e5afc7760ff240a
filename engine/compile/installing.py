"""Networks into the user's cache. One that does not work never takes the place of one that does."""

from pathlib import Path

import numpy as np
import onnx_ir as ir

from impasto.engine.compile.trial import try_network
from impasto.export.tap_model import import_network, tap_model
from impasto.models.atomic import atomic_file
from impasto.models.store import network_file
from impasto.models.weights import read_weights


def install(file: Path, name: str, *, layout: str | None = None) -> Path:
    """Do what `impasto.export.tap_model.import_network` does, after a trial of the network.

    A network made from weights is tried in a temporary file next to its place. A features model is tried where it is.

    Args:
        file: as for `import_network`.
        name: as for `import_network`.
        layout: as for `import_network`.

    Returns:
        The tap model's path.

    Raises:
        ImpastoError: as `import_network` and `try_network`. Then a network of that name is unchanged.
    """
    target = network_file(name)
    if file.suffix.lower() == ".onnx":
        if file.is_file():
            try_network(file, file)
        return import_network(file, name, layout=layout)
    with np.errstate(over="ignore", invalid="ignore"):  # the trial finds what is not finite, and says so
        model = tap_model(read_weights(file, layout=layout))
    with atomic_file(target, durable=True) as part:
        ir.save(model, part)
        try_network(part, file)
    return target
