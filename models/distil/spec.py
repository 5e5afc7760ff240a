"""What the slim network is: its layers, and which of its taps answer for VGG-19's.

Every tap of the student is a set of post-ReLU features f (r channels). A linear readout W (C x r) without bias
turns them into an approximation of the teacher's C channels:

    F ~ W f,   G = F F^T ~ W (f f^T) W^T.

With W = Q R (Q orthonormal, R upper triangular r x r), ||W A W^T||^2 = ||R A R^T||^2 for every matrix A and
||W a||^2 = ||R a||^2 for every vector a. So R f, with r channels only, has the same distances between Gram matrices and
between features as W f has.
"""

from impasto.models.vgg import VGG19, Network, sequential

SLIM = sequential("VGG-19 slim", ((32, 32), (64, 64), (128,) * 4, (256,) * 3, (256,)))

STYLE_TAPS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
CONTENT_TAP = "relu4_2"
TAPS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu4_2", "relu5_1")
"""Those with a readout, shallow to deep."""


def channels(network: Network, tap: str) -> int:
    """Return the number of channels of a network's tap."""
    return next(conv.out_channels for conv in network.convolutions if conv.tap == tap)


def teacher_channels(tap: str) -> int:
    """Return C, the number of channels of VGG-19's tap."""
    return channels(VGG19, tap)
