"""The training loop: distillation from features, Gram matrices and on-policy images.

Every step takes half of its batch from the augmented corpus and half from the pool of on-policy images. The
teacher's answers are kept for a while and used again, because the teacher takes as long as the step itself. The
checkpoint has the images of these batches and not the answers, which take twenty times the space: the teacher computes
them again.
"""

import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from impasto.models.distil import checkpoint
from impasto.models.distil.corpus import Sampler
from impasto.models.distil.folded import FoldedStudent, fold
from impasto.models.distil.losses import Units, errors, gradient_error, measure_units, total
from impasto.models.distil.objective import style_gradients
from impasto.models.distil.on_policy import OnPolicyPool
from impasto.models.distil.student import Student
from impasto.models.distil.teacher import Features, Teacher
from impasto.models.errors import ImpastoError

CALIBRATION_BATCHES = 12
SMALLEST_SIDE_PX = 32


@dataclass(frozen=True)
class Settings:
    """The settings of one training run.

    Attributes:
        steps: of the whole run; the learning rate falls to zero over the last `decay_share` of them.
        learning_rate: of Adam, in the whitened coordinates.
        warm_up: steps over which it rises.
        decay_share: see `steps`.
        batch: crops per step.
        side: of a crop, in pixels.
        on_policy_share: of a batch.
        gram_weight: of the Gram matrices' errors, relative to the features'.
        gradient_weight: of the error of the style loss's gradient with respect to the image; 0: not computed.
        renew_every: steps between two descents that renew the on-policy pool.
        replay: batches that are kept with the teacher's answers; every second step uses one of them. 0: none.
        average: decay of the running average of the parameters, which is what is kept in the end.
        half: whether student and teacher run in bfloat16.
        seed: of everything random.
        save_every: steps between two checkpoints.

    Raises:
        ImpastoError: a value is out of range.
    """

    steps: int = 6000
    learning_rate: float = 4e-4
    warm_up: int = 60
    decay_share: float = 0.5
    batch: int = 4
    side: int = 128
    on_policy_share: float = 0.5
    gram_weight: float = 1.0
    gradient_weight: float = 0.0
    renew_every: int = 16
    replay: int = 48
    average: float = 0.995
    half: bool = True
    seed: int = 1
    save_every: int = 50

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "renew_every", "save_every"):
            _at_least(name, getattr(self, name), 1)
        _at_least("side", self.side, SMALLEST_SIDE_PX)
        for name in ("gram_weight", "gradient_weight", "learning_rate"):
            _at_least(name, getattr(self, name), 0)
        if not 0 <= self.on_policy_share <= 1:
            raise ImpastoError(f"bad {_option('on_policy_share')} {self.on_policy_share}: allowed are 0 to 1")

    def rate(self, step: int) -> float:
        """Return the learning rate of a step."""
        rise = min((step + 1) / self.warm_up, 1.0)
        fall = min((self.steps - step) / (self.steps * self.decay_share), 1.0)
        return self.learning_rate * rise * max(fall, 0.0)


class Trainer:
    """A training run that can be interrupted at any time and resumes from its checkpoint.

    The student has its first weights. `checkpoint.pt` and `log.jsonl` are in the folder.
    """

    def __init__(
        self,
        student: Student,
        teacher: Teacher,
        sampler: Sampler,
        settings: Settings,
        folder: Path,
        device: torch.device,
    ) -> None:
        self.student, self.teacher, self.sampler, self.settings = student.to(device), teacher, sampler, settings
        self.folder, self.device = folder, device
        self.rng = torch.Generator().manual_seed(settings.seed)
        self.optimiser = torch.optim.Adam(self.student.parameters(), lr=settings.learning_rate, betas=(0.9, 0.98))
        self.average = {name: value.detach().clone() for name, value in self.student.named_parameters()}
        self.pool = OnPolicyPool(settings.side)
        self.replay: list[tuple[torch.Tensor, Features]] = []
        self.step = 0
        self.units: Units | None = None

    def resume(self) -> bool:
        """Load the checkpoint, if there is one: the run continues as if it had not been interrupted.

        Raises:
            ImpastoError: the checkpoint is of other settings, or of another teacher.
        """
        path = self.folder / "checkpoint.pt"
        if not path.exists():
            return False
        state = checkpoint.read(path)
        for name, value in self._identity().items():
            if state["identity"].get(name) != value:
                raise ImpastoError(
                    f"{path} was trained with {_option(name)} {state['identity'].get(name)}, not {value}; "
                    "give the same, or another --run"
                )
        self.student.load_state_dict(state["student"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.average = {name: value.to(self.device) for name, value in state["average"].items()}
        self.rng.set_state(state["rng"])
        self.pool.images = state["pool"]
        with torch.no_grad():
            self.replay = [(images, self.teacher(images.to(self.device))) for images in state["replay"]]
        self.units = Units(**state["units"])
        self.step = state["step"]
        return True

    def save(self) -> None:
        """Write the checkpoint."""
        assert self.units is not None  # noqa: S101 (set by run)
        state = {
            "student": self.student.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "average": self.average,
            "rng": self.rng.get_state(),
            "pool": self.pool.images,
            "replay": [images for images, _ in self.replay],
            "units": asdict(self.units),
            "step": self.step,
            "identity": self._identity(),
        }
        checkpoint.write(state, self.folder / "checkpoint.pt")

    def run(self, until: int | None = None) -> None:
        """Train until the last step, or until an earlier one; the schedule is that of the whole run.

        Raises:
            ImpastoError: there is no such step; or the loss or its gradient is NaN or infinite, and the checkpoint
                stays as it was.
        """
        last = self.settings.steps if until is None else until
        if not 1 <= last <= self.settings.steps:
            raise ImpastoError(f"bad --until {until}: allowed are 1 to --steps, {self.settings.steps}")
        if self.units is None:
            self.units = self._calibrate()
            self._log({"settings": asdict(self.settings), "units": asdict(self.units)})
        started = time.monotonic(), time.process_time()
        while self.step < last:
            if self.settings.on_policy_share and self.step % self.settings.renew_every == 0:
                self._renew_pool()
            record = self._train_step(self.units)
            self.step += 1
            self._check(record)
            if self.step % 10 == 0 or self.step == 1:
                times = {"wall_s": time.monotonic() - started[0], "cpu_s": time.process_time() - started[1]}
                self._log({"step": self.step, **times, **record})
            if self.step % self.settings.save_every == 0 or self.step == last:
                self.save()

    def _check(self, record: dict[str, object]) -> None:
        """Refuse a step that spoilt the parameters, before they replace those of the checkpoint."""
        for name in ("loss", "gradient_norm"):
            if not math.isfinite(float(str(record[name]))):
                raise ImpastoError(
                    f"the training failed: {name} is {record[name]} at step {self.step}; "
                    "the checkpoint is that of an earlier step; give a smaller --learning-rate and another --run"
                )

    def _identity(self) -> dict[str, object]:
        """Return what must not change between two parts of a run."""
        return {**asdict(self.settings), "teacher": self.teacher.sha256}

    def _train_step(self, units: Units) -> dict[str, object]:
        images, truth, kind = self._batch()
        for group in self.optimiser.param_groups:
            group["lr"] = self.settings.rate(self.step)
        feature, style = errors(self.student(images.to(self.device), self.settings.half), truth, units)
        loss = total(feature, style, units, self.settings.gram_weight)
        further = {}
        if self.settings.gradient_weight:
            error = self._gradient_error(images.to(self.device))
            loss = loss + self.settings.gradient_weight * error
            further["gradient"] = round(float(error.detach()), 5)
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(self.student.parameters(), 5.0)
        self.optimiser.step()
        decay = min(self.settings.average, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for name, value in self.student.named_parameters():
                self.average[name].lerp_(value, 1 - decay)
        return {
            "kind": kind,
            "loss": float(loss.detach()),
            "gradient_norm": float(norm),
            "feature": {tap: round(float(value.detach()), 5) for tap, value in feature.items()},
            "gram": {tap: round(float(value.detach()), 5) for tap, value in style.items()},
            **further,
        }

    def _gradient_error(self, images: torch.Tensor) -> torch.Tensor:
        half = self.settings.half
        answers = style_gradients(lambda x: self.student(x, half), images, differentiable=True)
        return gradient_error(answers, style_gradients(self.teacher, images))

    def _batch(self) -> tuple[torch.Tensor, Features, str]:
        """Return images, the teacher's answers, and whether they are new."""
        if self.step % 2 and len(self.replay) > 4:
            images, truth = self.replay[int(torch.randint(len(self.replay), (), generator=self.rng))]
            return images, truth, "replay"
        seen = round(self.settings.batch * self.settings.on_policy_share)
        images = self.sampler.batch(self.rng, self.settings.batch - seen, self.settings.side)
        if seen:
            images = torch.cat([images, self.pool.draw(self.rng, seen)])
        with torch.no_grad():
            truth = self.teacher(images.to(self.device))
        if self.settings.replay:
            self.replay = [*self.replay[-self.settings.replay + 1 :], (images, truth)]
        return images, truth, "new"

    def _renew_pool(self) -> None:
        self.pool.renew(
            FoldedStudent(fold(self.student), self.student.network, self.settings.half), self.sampler, self.rng
        )

    @torch.no_grad()
    def _calibrate(self) -> Units:
        side, batch = self.settings.side, self.settings.batch
        batches = [self.sampler.batch(self.rng, batch, side).to(self.device) for _ in range(CALIBRATION_BATCHES)]
        return measure_units([self.teacher(images) for images in batches])

    def _log(self, record: dict[str, object]) -> None:
        checkpoint.log(self.folder / "log.jsonl", record)


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _at_least(name: str, value: float, least: int) -> None:
    if not (math.isfinite(value) and value >= least):
        raise ImpastoError(f"bad {_option(name)} {value}: allowed are {least} or more")
