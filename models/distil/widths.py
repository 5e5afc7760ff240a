"""Layouts (the widths of the layers) compared by their first weights alone, before any training.

Compression (see `compress`) takes two minutes where training takes an hour, and what it leaves of the style part ranks
layouts well enough to choose one: training improves all of them. The costs of a layout are reported as well: bytes as
float16, and multiplications as a share of VGG-19's, to which an evaluation's time is proportional.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import torch

from impasto.models.distil.folded import FoldedStudent, fold
from impasto.models.distil.objective import Features
from impasto.models.distil.score import score, summary
from impasto.models.distil.student import Student
from impasto.models.vgg import VGG19, Conv, Network, sequential

_WIDTHS = {
    "quarter": ((16, 16), (32, 32), (64,) * 4, (128,) * 4, (128,)),
    "three eighths": ((24, 24), (48, 48), (96,) * 4, (192,) * 4, (192,)),
    "half": ((32, 32), (64, 64), (128,) * 4, (256,) * 4, (256,)),
    "half, without conv4_4": ((32, 32), (64, 64), (128,) * 4, (256,) * 3, (256,)),  # SLIM
    "half, without conv3_4 and conv4_4": ((32, 32), (64, 64), (128,) * 3, (256,) * 3, (256,)),
    "half, a quarter in block 1": ((16, 16), (64, 64), (128,) * 4, (256,) * 3, (256,)),
    "half, without conv4_4, five eighths in block 1": ((40, 40), (64, 64), (128,) * 4, (256,) * 3, (256,)),
    "half, without conv4_4, five eighths in blocks 1 and 2": ((40, 40), (80, 80), (128,) * 4, (256,) * 3, (256,)),
    "half, three eighths in blocks 1 to 3": ((24, 24), (48, 48), (96,) * 4, (256,) * 3, (256,)),
    "half, three eighths in blocks 1 to 3, more in 4": ((24, 24), (48, 48), (96,) * 4, (320,) * 3, (320,)),
}
LAYOUTS: Mapping[str, Network] = {name: sequential("", widths) for name, widths in _WIDTHS.items()}
"""By the name under which they are scored."""

Pair = tuple[str, torch.Tensor, torch.Tensor]


def cost(network: Network) -> float:
    """Return the multiplications of a forward pass as a share of VGG-19's."""
    return _multiplications(network) / _multiplications(VGG19)


def file_bytes(tensors: Mapping[str, torch.Tensor]) -> int:
    """Return the size of parameters as float16."""
    return sum(2 * value.numel() for value in tensors.values())


def judged_layout(student: Student, judge: Features, pairs: Iterable[Pair], evaluations: int) -> dict[str, Any]:
    """Return the widths, bytes and cost of a student's layout, and its scores by VGG-19, the judge.

    The pairs are as `score.pairs` gives them. Each descent runs in bfloat16 and has so many evaluations.
    """
    network, tensors = student.network, fold(student)
    descending = FoldedStudent(tensors, network, half=True)
    scores = [score(descending, judge, first, second, name, evaluations)[0] for name, first, second in pairs]
    return {
        "widths": {conv.name: conv.out_channels for conv in network.convolutions},
        "bytes": file_bytes(tensors),
        "cost": cost(network),
        **summary(scores, {}),
        "scores": [one.record() for one in scores],
    }


def _multiplications(network: Network) -> int:
    """Return those of the convolutions, per pixel of an image whose size 16 divides, times 256."""
    count, area = 0, 256
    for layer in network.layers:
        if isinstance(layer, Conv):
            count += 9 * layer.in_channels * layer.out_channels * area
        else:
            area //= 4
    return count
