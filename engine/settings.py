"""The settings of a run: frozen, checked on construction, serialisable."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from impasto.export.weightings import WEIGHTINGS
from impasto.models.errors import ImpastoError

STYLE_TAPS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
CONTENT_TAPS = ("relu4_2",)
POOLINGS = ("avg", "max")
OPTIMIZERS = ("lbfgs", "plain-lbfgs", "adam")
LARGEST_SIDE_PX = 16384
LONGEST_HISTORY = 100
SEAMLESS_STEP_PX = 16  # of VGG's four poolings


@dataclass(frozen=True)
class Tap:
    """A tap and its layer weight; None is the weighting's default."""

    name: str
    weight: float | None = None

    @classmethod
    def parse(cls, text: str) -> "Tap":
        """Read NAME or NAME=WEIGHT.

        Raises:
            ImpastoError: WEIGHT is not a number.
        """
        name, separator, weight = text.partition("=")
        if not separator:
            return cls(name)
        try:
            return cls(name, float(weight))
        except ValueError:
            raise ImpastoError(f"bad tap {text!r}: expected NAME or NAME=WEIGHT, as relu4_2=0.5") from None


@dataclass(frozen=True)
class Settings:
    """The settings of one transfer. Defaults give the paper's objective on the Oxford weights.

    Attributes:
        size: long side of the result, px; 0 keeps the content image's own size. Differs from Gatys et al.: the paper
            states neither a size nor a number of steps.
        canvas: width and height of a result that has no content image, px; None is the style image's proportions.
        style_size: long side of the style image, px; None is the same as the result, 0 its own size. Differs from
            Gatys et al.: they bring it to the content image's size, which distorts other proportions.
        iterations: maximum number of accepted steps.
        evaluations: maximum number of runs of loss and gradient; None is no such limit.
        timeout_s: time limit in seconds; None is no limit.
        history: number of curvature pairs that L-BFGS keeps.
        content_weight: alpha of the paper; None is the default of the weighting.
        style_weight: beta of the paper; None is the default of the weighting.
        tv_weight: weight of total variation (sum of squared differences of neighbours, image in 0..1); None is the
            default of the weighting.
        content_taps: taps of the content terms; names, NAME=WEIGHT or `Tap`.
        style_taps: taps of the style terms.
        weighting: "paper" (the literal equations), "johnson" (the conventions of jcjohnson/neural-style) or
            "calibrated" (errors relative to their targets, so that weights carry across networks and sizes).
            Differs from Gatys et al.: only "paper" is theirs.
        pool: "avg" (the paper's) or "max".
        seamless: whether the result tiles. Every padding in the network then wraps, and sides are multiples of 16 px.
        init: "content", "noise", "style", or the path of an image to start from. Differs from Gatys et al.: they start
            from noise; from the content image a good picture takes fewer steps.
        seed: of the noise.
        optimizer: "lbfgs", which estimates the curvature for each spatial frequency and colour; "plain-lbfgs", the
            textbook's; or "adam". Differs from Gatys et al.: they use gradient descent; L-BFGS is the CVPR version's.
        learning_rate: step size of adam, in grey levels (1/255).
        bounded: whether every pixel stays within 0..1, the range that a file can hold, during the run. With False
            pixels may leave the range and the file clips them, which often raises the loss by half. Differs from Gatys
            et al.: the paper has no bounds.
    """

    size: int = 512
    canvas: tuple[int, int] | None = None
    style_size: int | None = None
    iterations: int = 300
    evaluations: int | None = None
    timeout_s: float | None = None
    history: int = 10
    content_weight: float | None = None
    style_weight: float | None = None
    tv_weight: float | None = None
    content_taps: tuple[Tap | str, ...] = field(default=tuple(Tap(name) for name in CONTENT_TAPS))
    style_taps: tuple[Tap | str, ...] = field(default=tuple(Tap(name) for name in STYLE_TAPS))
    weighting: str = "paper"
    pool: str = "avg"
    seamless: bool = False
    init: str = "content"
    seed: int = 0
    optimizer: str = "lbfgs"
    learning_rate: float = 2.55
    bounded: bool = True

    def __post_init__(self) -> None:
        """Fill in the weighting's defaults and check every value.

        Raises:
            ImpastoError: a value is out of range.
        """
        _one_of("weighting", self.weighting, tuple(WEIGHTINGS))
        _one_of("pool", self.pool, POOLINGS)
        _one_of("optimizer", self.optimizer, OPTIMIZERS)
        defaults = WEIGHTINGS[self.weighting]
        for name in ("content_weight", "style_weight", "tv_weight"):
            if getattr(self, name) is None:
                object.__setattr__(self, name, getattr(defaults, name))
            _not_negative(name, getattr(self, name))
        for name in ("content_taps", "style_taps"):
            object.__setattr__(self, name, _taps(name, getattr(self, name)))
        _between("size", self.size, 0, LARGEST_SIDE_PX)
        if self.canvas is not None:
            object.__setattr__(self, "canvas", _canvas(tuple(self.canvas), self.seamless))
        if self.style_size is not None:
            _between("style_size", self.style_size, 0, LARGEST_SIDE_PX)
        _between("iterations", self.iterations, 0, None)
        if self.evaluations is not None:
            _between("evaluations", self.evaluations, 1, None)
        _between("history", self.history, 1, LONGEST_HISTORY)
        _between("seed", self.seed, 0, None)
        if self.timeout_s is not None and not self.timeout_s > 0:
            raise ImpastoError(f"bad timeout_s {self.timeout_s}: allowed are seconds above 0")
        if not (math.isfinite(self.learning_rate) and self.learning_rate > 0):
            raise ImpastoError(f"bad learning_rate {self.learning_rate}: allowed are numbers above 0")
        if not self.active_content_taps and not self.active_style_taps and not self.tv_weight:
            raise ImpastoError(f"nothing to optimise: {self._all_zero()}")

    @property
    def active_content_taps(self) -> tuple[Tap, ...]:
        """The content taps whose term is not zero."""
        return _active(self.content_taps, self.content_weight)

    @property
    def active_style_taps(self) -> tuple[Tap, ...]:
        """The style taps whose term is not zero."""
        return _active(self.style_taps, self.style_weight)

    def _all_zero(self) -> str:
        """Say which weights leave no term, and what to do."""
        for weight, taps in ((self.content_weight, self.content_taps), (self.style_weight, self.style_taps)):
            names = [tap.name for tap in taps if isinstance(tap, Tap)]
            if weight and names:
                return f"the weight of {', '.join(names)} is 0; give a tap a weight above 0, as {names[0]}=1"
        return "every weight is 0; give --content-weight, --style-weight or --tv-weight above 0"

    def as_dict(self) -> dict[str, Any]:
        """Return the settings as plain values for JSON."""
        values = dataclasses.asdict(self)
        for name in ("content_taps", "style_taps"):
            values[name] = {tap["name"]: tap["weight"] for tap in values[name]}
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Settings":
        """Return the settings that `as_dict` gave.

        Raises:
            ImpastoError: an unknown name or a value out of range.
        """
        known = {item.name for item in dataclasses.fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise ImpastoError(f"unknown setting {unknown[0]!r}: allowed are {', '.join(sorted(known))}")
        plain = dict(values)
        for name in ("content_taps", "style_taps"):
            if isinstance(plain.get(name), Mapping):
                plain[name] = tuple(Tap(tap, weight) for tap, weight in plain[name].items())
        return cls(**plain)


def _taps(setting: str, taps: Sequence[Tap | str]) -> tuple[Tap, ...]:
    """Return the taps as `Tap`, each once and with a weight of 0 or more."""
    parsed = tuple(tap if isinstance(tap, Tap) else Tap.parse(tap) for tap in taps)
    for tap in parsed:
        if tap.weight is not None:
            _not_negative(f"weight of {tap.name}", tap.weight)
    names = [tap.name.replace("conv", "relu", 1) for tap in parsed]
    for name in names:
        if names.count(name) > 1:
            raise ImpastoError(f"{name} is given twice in {setting}: give each tap once")
    return parsed


def _active(taps: Sequence[Tap | str], weight: float | None) -> tuple[Tap, ...]:
    parsed = [tap for tap in taps if isinstance(tap, Tap)]  # all of them, once the settings exist
    return tuple(tap for tap in parsed if tap.weight != 0) if weight else ()


def _one_of(name: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise ImpastoError(f"unknown {name} {value!r}: allowed are {', '.join(allowed)}")


def _not_negative(name: str, value: float) -> None:
    if not (math.isfinite(value) and value >= 0):
        raise ImpastoError(f"bad {name} {value:g}: allowed are finite numbers of 0 or more")


def _canvas(canvas: tuple[int, ...], seamless: bool) -> tuple[int, int]:
    """Return width and height, both in range."""
    if len(canvas) != 2:
        raise ImpastoError(f"bad canvas {canvas}: give a width and a height, px")
    for side in canvas:
        _between("canvas side", side, 1, LARGEST_SIDE_PX)
        if seamless and side % SEAMLESS_STEP_PX:
            below = side - side % SEAMLESS_STEP_PX
            raise ImpastoError(
                f"bad side {side} px for a seamless result: allowed are multiples of {SEAMLESS_STEP_PX}, "
                f"such as {below or SEAMLESS_STEP_PX} or {below + SEAMLESS_STEP_PX}"
            )
    return canvas[0], canvas[1]


def _between(name: str, value: int, low: int, high: int | None) -> None:
    if not isinstance(value, int) or value < low or (high is not None and value > high):
        allowed = f"from {low} to {high}" if high is not None else f"of {low} or more"
        raise ImpastoError(f"bad {name} {value}: allowed are whole numbers {allowed}")
