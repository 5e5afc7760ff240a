"""Images that the optimiser makes through the student: the part of the data that contains the student's own mistakes.

A descent through the student produces patterns to which the student is blind, such as a fine grid. With such images and
the teacher's answers to them in the training set, the student learns to detect them.
"""

import torch

from impasto.models.distil.corpus import Sampler
from impasto.models.distil.folded import FoldedStudent
from impasto.models.distil.objective import Objective, descend

STAGES = (4, 12, 30, 60, 100)
CAPACITY = 240
NOISE_SHARE = 0.25


class OnPolicyPool:
    """A pool of such images, float16 (n, 3, side, side); the oldest make room for new ones."""

    def __init__(self, side: int) -> None:
        self.images = torch.empty(0, 3, side, side, dtype=torch.float16)

    def renew(self, features: FoldedStudent, sampler: Sampler, rng: torch.Generator) -> None:
        """Run one descent with random images, weights and start, and add what it passes through."""
        side = self.images.shape[2]
        content, style = torch.split(sampler.batch(rng, 2, side), 1)
        device = features.gain.device
        alpha = float(10 ** (-2 - 2 * torch.rand((), generator=rng)))
        from_noise = float(torch.rand((), generator=rng)) < NOISE_SHARE
        start = 0.5 + 0.2 * torch.randn(content.shape, generator=rng) if from_noise else content
        if from_noise and float(torch.rand((), generator=rng)) < 0.5:
            alpha = 0.0
        last = STAGES[int(torch.randint(2, len(STAGES), (), generator=rng))]
        objective = Objective.of_images(features, content.to(device), style.to(device), alpha)
        kept = [
            image.cpu()
            for number, image in descend(objective, start.to(device), last)
            if number in STAGES and bool(image.isfinite().all())
        ]
        new = torch.cat([self.images, *(image.clamp(-1, 2).half() for image in kept)])
        self.images = new[-CAPACITY:]

    def draw(self, rng: torch.Generator, count: int) -> torch.Tensor:
        """Return random images of the pool, float32, some mirrored."""
        picks = self.images[torch.randint(len(self.images), (count,), generator=rng)].float()
        mirrored = torch.rand(count, generator=rng) < 0.5
        return torch.where(mirrored[:, None, None, None], picks.flip(3), picks)
