"""Where weights come from: the files that can be fetched, their authors and licences.

Differs from Gatys et al.: `fetch` gets torchvision's VGG-19, which was trained anew and has smaller activations. The
Oxford network can be imported. The same alpha has different effects on the two.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from impasto.models.errors import ImpastoError


@dataclass(frozen=True)
class Origin:
    """The licence and the authors of weights.

    Attributes:
        licence: an SPDX name, or a sentence.
        attribution: the authors to name.
    """

    licence: str
    attribution: str


@dataclass(frozen=True)
class Source:
    """A weight file that may be fetched.

    Attributes:
        name: of the network, as on the command line.
        url: the official address.
        sha256_prefix: what the file's SHA-256 begins with: all 64 digits where they are known.
        size_bytes: its size.
        origin: licence and attribution.
    """

    name: str
    url: str
    sha256_prefix: str
    size_bytes: int
    origin: Origin

    @property
    def megabytes(self) -> int:
        """The size, 10^6 bytes, rounded."""
        return round(self.size_bytes / 1e6)


OXFORD_VGG = Origin(
    "CC BY 4.0",
    "VGG-19 by Karen Simonyan and Andrew Zisserman, Visual Geometry Group, University of Oxford (arXiv:1409.1556)",
)
TORCHVISION_VGG = Origin(
    "BSD-3-Clause",
    "VGG-19 (Simonyan and Zisserman, arXiv:1409.1556) as trained on ImageNet by the torchvision contributors",
)
UNKNOWN = Origin("unknown", "unknown: see where the file came from")

SOURCES: Mapping[str, Source] = {
    source.name: source
    for source in (
        # torchvision's file name has the first 8 digits of the hash; public records of the file agree on the others
        Source(
            "vgg19",
            "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth",
            "dcbb9e9dad569fff7a846263a77324fc34978fea2bfb039c012d710e1776ae44",
            574_673_361,
            TORCHVISION_VGG,
        ),
    )
}


def find_source(name: str) -> Source:
    """Return what `impasto weights fetch NAME` gets.

    Raises:
        ImpastoError: nothing of that name can be fetched.
    """
    if name not in SOURCES:
        raise ImpastoError(
            f"cannot fetch {name!r}: networks that can be fetched are {', '.join(SOURCES)}; "
            f"for a file that you have, run `impasto weights import FILE --name {name}`"
        )
    return SOURCES[name]


def known_origin(sha256: str) -> Origin | None:
    """Return the origin of a file that may be fetched, by its SHA-256; None for any other file."""
    return next((source.origin for source in SOURCES.values() if sha256.startswith(source.sha256_prefix)), None)


def known_size(sha256_prefix: str) -> int | None:
    """Return the size, in bytes, of a file that may be fetched, by its `Source.sha256_prefix`; None for other files."""
    return next((source.size_bytes for source in SOURCES.values() if source.sha256_prefix == sha256_prefix), None)
