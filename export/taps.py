"""Names of taps, without the network's graph."""

import re
from collections.abc import Sequence

from impasto.models.errors import ImpastoError

SMALLEST_SIDE_PX = 32


def find_tap(taps: Sequence[str], name: str, network: str = "this network") -> str:
    """Return the network's own name for a tap; `conv4_2` is the paper's name for `relu4_2`.

    Args:
        taps: of the network, shallow to deep.
        name: of the tap, in either spelling.
        network: what to call it in an error.

    Raises:
        ImpastoError: the network has no such tap.
    """
    canonical = re.sub("^conv", "relu", name)
    for spelling in (name, canonical):
        if spelling in taps:
            return spelling
    position, deepest = _position(canonical), max(map(_position, taps), default=())
    if position and position > deepest:
        raise ImpastoError(f"tap {name!r} lies beyond the end of {network}: it has {', '.join(taps)}")
    raise ImpastoError(f"unknown tap {name!r}: {network} has {', '.join(taps)}")


def _position(tap: str) -> tuple[int, ...]:
    """Return (5, 1) of relu5_1, and nothing of other names."""
    match = re.fullmatch(r"relu(\d+)_(\d+)", tap)
    return (int(match[1]), int(match[2])) if match else ()
