"""The settings of a run: frozen, checked on construction, serialisable."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from impasto.engine import setting_checks as checks
from impasto.export.terms import GRAM, SQUARED, STYLE_LOSSES, TV_NORMS
from impasto.export.weightings import WEIGHTINGS
from impasto.models.errors import ImpastoError

STYLE_TAPS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
CONTENT_TAPS = ("relu4_2",)
POOLINGS = ("avg", "max")
PADDINGS = ("zero", "replicate", "reflect")
OPTIMIZERS = ("lbfgs", "plain-lbfgs", "adam")
LARGEST_SIDE_PX = 16384
LONGEST_HISTORY = 100
LARGEST_STROKE_SIZE = 8
MOST_SCALES = 32
SEAMLESS_STEP_PX = 16  # of VGG's four poolings


@dataclass(frozen=True)
class Tap:
    """A tap and its layer weight; None is the weighting's default.

    Raises:
        ImpastoError: the name is no text, or the weight no finite number of 0 or more.
    """

    name: str
    weight: float | None = None

    def __post_init__(self) -> None:
        """Check both values."""
        if not isinstance(self.name, str) or not self.name:
            raise ImpastoError(f"bad tap {checks.shown(self.name)}: expected the name of one, as relu4_2")
        if self.weight is not None:
            weight = checks.not_negative(f"weight of {self.name}", self.weight)
            object.__setattr__(self, "weight", weight)

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
        scales: maximum number of sizes from coarse to fine that the run goes through; 0 is as many as there are, by
            factors of the square root of 2, from 128 px to the result. Differs from Gatys et al.: the paper has one.
        iterations: maximum number of accepted steps, of all scales together.
        evaluations: maximum number of runs of loss and gradient, of all scales together; None is no such limit.
        timeout_s: time limit in seconds; None is no limit.
        history: number of curvature pairs that L-BFGS keeps.
        stroke_size: size of the strokes, as a multiple of those of `style_size` None; 1 is the painting's proportion of
            stroke to picture. It scales the style image.
        strength: how much of the painting the result has, 0 to 1, in place of `content_weight`; it means the same on
            every size, network and weighting (`impasto.export.weightings.content_strength`). None is that the
            content_weight counts. Differs from Gatys et al.: they give alpha / beta.
        content_weight: alpha of the paper; None is the default of the weighting, or `strength`.
        style_weight: beta of the paper; None is the default of the weighting.
        smoothness: how much differences of neighbouring pixels count, 0 or more, in place of `tv_weight`; 1 is usual,
            and it means the same on every size, network and weighting (`impasto.export.weightings.with_smoothness`).
            None is that the tv_weight counts. Differs from Gatys et al.: the paper has no such term.
        tv_weight: weight of total variation (differences of neighbours, image in 0..1); None is the default of the
            weighting, or `smoothness`.
        tv_norm: of those differences: "squared" (their squares), "l2" (their length at each pixel, whatever the
            direction of an edge) or "l1" (their magnitudes); `impasto.export.total_variation` has the formulas.
        content_taps: taps of the content terms; names, NAME=WEIGHT or `Tap`.
        style_taps: taps of the style terms.
        weighting: "paper" (the literal equations), "johnson" (the conventions of jcjohnson/neural-style) or
            "calibrated" (errors relative to their targets, so that weights carry across networks and sizes).
            Differs from Gatys et al.: only "paper" is theirs.
        style_loss: what a style term compares: "gram" (the paper's Gram matrices), "gram-mean" (Gram matrices of
            features without their mean) or "moments" (mean and covariance, as the squared Wasserstein-2 distance of
            Gaussians). Differs from Gatys et al.: only "gram" is theirs.
        pool: "avg" (the paper's) or "max".
        padding: what the network's first convolution sees beyond the image: "zero" (the paper's: the mean colour of its
            training set), "replicate" (the outermost pixels again) or "reflect" (the image in a mirror). Later
            convolutions have zeros in any case, as in crowsonkb/style-transfer-pytorch, whose padding is "replicate".
            It has no effect on a seamless result. Differs from Gatys et al.: only "zero" is theirs.
        seamless: whether the result tiles. Every padding in the network then wraps, and sides are multiples of 16 px.
        init: "content", "noise", "style", or the path of an image to start from. Differs from Gatys et al.: they start
            from noise; from the content image a good picture takes fewer steps.
        seed: of the noise.
        optimizer: "lbfgs", which estimates the curvature for each spatial frequency and colour; "plain-lbfgs", the
            textbook's; or "adam". Differs from Gatys et al.: they use gradient descent; L-BFGS is the CVPR version's.
        learning_rate: step size of adam, in grey levels (1/255).
        average: decay of a moving average of adam's images, from 0 to below 1; the average is then the result, every
            preview and every snapshot. 0 is no average. 0.99 averages over about the latest hundred steps, as
            crowsonkb/style-transfer-pytorch does. The losses remain those of the images before averaging.
        bounded: whether every pixel stays within 0..1, the range that a file can hold, during the run. With False
            pixels may leave the range and the file clips them, which often raises the loss by half. Differs from Gatys
            et al.: the paper has no bounds.
        preset: name of the preset that the settings began with; "" is none. It is a label and changes nothing.
    """

    size: int = 512
    canvas: tuple[int, int] | None = None
    style_size: int | None = None
    stroke_size: float = 1.0
    scales: int = 1
    iterations: int = 300
    evaluations: int | None = None
    timeout_s: float | None = None
    history: int = 10
    strength: float | None = None
    smoothness: float | None = None
    content_weight: float | None = None
    style_weight: float | None = None
    tv_weight: float | None = None
    content_taps: tuple[Tap | str, ...] = field(default=tuple(Tap(name) for name in CONTENT_TAPS))
    style_taps: tuple[Tap | str, ...] = field(default=tuple(Tap(name) for name in STYLE_TAPS))
    weighting: str = "paper"
    style_loss: str = GRAM
    tv_norm: str = SQUARED
    pool: str = "avg"
    padding: str = PADDINGS[0]
    seamless: bool = False
    init: str = "content"
    seed: int = 0
    optimizer: str = "lbfgs"
    learning_rate: float = 2.55
    average: float = 0.0
    bounded: bool = True
    preset: str = ""

    def __post_init__(self) -> None:
        """Fill in the weighting's defaults and check every value.

        Raises:
            ImpastoError: a value is out of range.
        """
        for name, allowed in _WORDS.items():
            checks.one_of(name, getattr(self, name), allowed)
        defaults = WEIGHTINGS[self.weighting]
        self._check_strength()
        for name in ("content_weight", "style_weight", "tv_weight"):
            given = getattr(self, name)
            if name in _STANDS_IN and getattr(self, _STANDS_IN[name]) is not None:
                continue
            self._set(name, checks.not_negative(name, getattr(defaults, name) if given is None else given))
        for name in ("content_taps", "style_taps"):
            self._set(name, _taps(name, getattr(self, name)))
        for name, (low, high) in _RANGES.items():
            if getattr(self, name) is not None or name not in ("style_size", "evaluations"):
                self._set(name, checks.between(name, getattr(self, name), low, high))
        for name in ("seamless", "bounded"):
            self._set(name, checks.switch(name, getattr(self, name)))
        checks.text("init", self.init)
        checks.text("preset", self.preset)
        if self.canvas is not None:
            self._set("canvas", _canvas(self.canvas, self.seamless))
        if self.timeout_s is not None:
            self._set("timeout_s", checks.positive("timeout_s", self.timeout_s, "seconds above 0"))
        self._set("learning_rate", checks.positive("learning_rate", self.learning_rate, "numbers above 0"))
        self._set("average", checks.share("average", self.average))
        if self.average and self.optimizer != "adam":
            raise ImpastoError(
                f"bad average {self.average:g} with optimizer {self.optimizer}: only the images of adam are averaged; "
                "give --optimizer adam, or leave --average out"
            )
        if not self.active_content_taps and not self.active_style_taps and not self.smooths:
            raise ImpastoError(f"nothing to optimise: {self._all_zero()}")

    def _check_strength(self) -> None:
        """Check the settings that stand in for others: `strength`, `smoothness` and `stroke_size`."""
        if self.strength is not None:
            self._set("strength", checks.fraction("strength", self.strength))
            if self.content_weight is not None:
                raise _both("strength", self.strength, "content_weight", self.content_weight, "weigh the content")
        if self.smoothness is not None:
            self._set("smoothness", checks.not_negative("smoothness", self.smoothness))
            if self.tv_weight is not None:
                raise _both("smoothness", self.smoothness, "tv_weight", self.tv_weight, "weigh total variation")
        self._set("stroke_size", checks.positive("stroke_size", self.stroke_size, "numbers above 0, such as 0.5 or 2"))
        if self.stroke_size > LARGEST_STROKE_SIZE:
            raise ImpastoError(
                f"bad stroke_size {self.stroke_size:g}: allowed are numbers above 0 up to {LARGEST_STROKE_SIZE}"
            )
        if self.stroke_size != 1 and self.style_size is not None:
            raise _both("stroke_size", self.stroke_size, "style_size", self.style_size, "scale the style image")

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    @property
    def active_content_taps(self) -> tuple[Tap, ...]:
        """The content taps whose term is not zero."""
        return _active(self.content_taps, self.content_weight if self.strength is None else 1.0)

    @property
    def smooths(self) -> bool:
        """Whether the term of total variation is not zero."""
        return bool(self.tv_weight if self.smoothness is None else self.smoothness)

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
        if not isinstance(values, Mapping):
            raise ImpastoError(f"bad settings {checks.shown(values)}: expected values by name")
        known = {item.name for item in dataclasses.fields(cls)}
        unknown = sorted(map(str, set(values) - known))
        if unknown:
            raise ImpastoError(f"unknown setting {unknown[0]!r}: allowed are {', '.join(sorted(known))}")
        plain = dict(values)
        for name in ("content_taps", "style_taps"):
            if isinstance(plain.get(name), Mapping):
                plain[name] = tuple(Tap(tap, weight) for tap, weight in plain[name].items())
        return cls(**plain)


_WORDS: Mapping[str, Sequence[str]] = {
    "weighting": tuple(WEIGHTINGS),
    "style_loss": STYLE_LOSSES,
    "tv_norm": TV_NORMS,
    "pool": POOLINGS,
    "padding": PADDINGS,
    "optimizer": OPTIMIZERS,
}
_STANDS_IN = {"content_weight": "strength", "tv_weight": "smoothness"}
"""By weight, the setting that is given in its place."""

_RANGES: Mapping[str, tuple[int, int | None]] = {
    "size": (0, LARGEST_SIDE_PX),
    "style_size": (0, LARGEST_SIDE_PX),
    "scales": (0, MOST_SCALES),
    "iterations": (0, None),
    "evaluations": (1, None),
    "history": (1, LONGEST_HISTORY),
    "seed": (0, None),
}
"""The smallest and the largest of the whole numbers; None is what a file can hold."""


def _both(one: str, value: float, other: str, second: object, what: str) -> ImpastoError:
    return ImpastoError(f"{one} {value:g} and {other} {checks.shown(second)}: both {what}; give one of them")


def _taps(setting: str, taps: Any) -> tuple[Tap, ...]:
    """Return the taps as `Tap`, each once and with a weight of 0 or more."""
    if isinstance(taps, str) or not isinstance(taps, Iterable):
        raise ImpastoError(f"bad {setting} {checks.shown(taps)}: give a sequence of taps, as ('relu4_2', 'relu5_1')")
    parsed = tuple(_tap(setting, tap) for tap in taps)
    names = [tap.name.replace("conv", "relu", 1) for tap in parsed]
    for name in names:
        if names.count(name) > 1:
            raise ImpastoError(f"{name} is given twice in {setting}: give each tap once")
    return parsed


def _tap(setting: str, given: object) -> Tap:
    tap = Tap.parse(given) if isinstance(given, str) else given
    if not isinstance(tap, Tap):
        raise ImpastoError(f"bad {setting} {checks.shown(given)}: expected NAME or NAME=WEIGHT, as relu4_2=0.5")
    return tap


def _active(taps: Sequence[Tap | str], weight: float | None) -> tuple[Tap, ...]:
    parsed = [tap for tap in taps if isinstance(tap, Tap)]  # all of them, once the settings exist
    return tuple(tap for tap in parsed if tap.weight != 0) if weight else ()


def _canvas(canvas: Any, seamless: bool) -> tuple[int, int]:
    """Return width and height, both in range."""
    if not isinstance(canvas, Sequence) or isinstance(canvas, str) or len(canvas) != 2:
        raise ImpastoError(f"bad canvas {checks.shown(canvas)}: give a width and a height, px")
    width, height = (checks.between("canvas side", side, 1, LARGEST_SIDE_PX) for side in canvas)
    for side in (width, height):
        if seamless and side % SEAMLESS_STEP_PX:
            below = side - side % SEAMLESS_STEP_PX
            raise ImpastoError(
                f"bad side {side} px for a seamless result: allowed are multiples of {SEAMLESS_STEP_PX}, "
                f"such as {below or SEAMLESS_STEP_PX} or {below + SEAMLESS_STEP_PX}"
            )
    return width, height
