"""The table of the options that commands share.

To make a new setting of `Settings` an option, add one field of the same name here. All commands that take its panel
then have the option.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from impasto.engine.cli.declare import LOOK, MACHINE, OPTIMISER, OUTPUT, option
from impasto.engine.cli.terminal import say
from impasto.engine.presets import NAMES, preset
from impasto.engine.settings import CONTENT_TAPS, STYLE_TAPS, Settings

if TYPE_CHECKING:
    from impasto.engine.jobs.engine import Engine

OBJECTIVE = ("model", "size", "style_size", "content_weight", LOOK)
"""Options of commands that need a loss but no optimiser."""

ENGINE = ("provider", "precision", "threads", "build_engines", "ignore_memory")
"""Options of commands that evaluate a network."""

KEPT = ("provider", "threads", "loop", "bits", "ignore_memory", "checkpoint_every")
"""Options that a checkpoint stores for `impasto resume`, next to the run's state."""

PRECISIONS = "Precision of the convolutions: auto, fp32, tf32, fp16, bf16, or bf16-typed (openvino)."

Content = Annotated[Path, typer.Argument(help="The image whose scene is kept.")]
Style = Annotated[Path, typer.Argument(help="The image whose look is taken.")]
Output = Annotated[
    Path, typer.Option("--output", "-o", help="Result: .png .jpg .webp .tif, or .npy (float32, 0..255).")
]
Batch = Annotated[
    int | None,
    typer.Option(help="Pictures per evaluation at most. (default: 1 on processors; on a GPU 4, or what fits)"),
]


_TOLD = ("strength", "smoothness", "style_weight", "tv_weight")
"""Options whose help says the default itself, because it differs between presets."""


def tap_help(default: Sequence[str]) -> str:
    """Return the help of an option that chooses taps."""
    return f"NAME or NAME=WEIGHT, repeatable. (default: {' '.join(default)})"


def of_preset(*names: str) -> dict[str, Any]:
    """Return the options of a command whose defaults are those of the default preset, for `takes`.

    Args:
        names: the options of settings that the command takes; none is all.
    """
    values = preset()
    shown = {item.name: getattr(values, item.name) for item in fields(Settings) if item.name not in _TOLD}
    numbers = {name: value for name, value in shown.items() if isinstance(value, str | int | float)}
    return {name: value for name, value in numbers.items() if not names or name in (*names, "preset")}


def json_option(text: str) -> Any:
    """Return the field of `--json` with its help text."""
    return option(False, text, OUTPUT, "--json")


@dataclass(frozen=True)
class Options:
    """The values of shared options; for None, `Settings` or `Engine` has the default."""

    model: str = option("auto", "A name from `impasto weights list`, a features .onnx or weights file; auto picks one.")
    size: int = option(Settings.size, "Long side of the result, px; 0 keeps the content image's own size.")
    preset: str = option("", f"Settings to begin with: {', '.join(NAMES)}, or a .json file.")
    strength: float | None = option(None, "How much of the painting: 0 little, 0.5 usual, 1 most.")
    smoothness: float | None = option(None, "Smoothness: 0 none, 1 usual, 3 much. (paper: none)")
    stroke_size: float = option(Settings.stroke_size, "Size of the strokes: 0.5 finer, 1 as painted, 2 broader.")
    style_size: int | None = option(None, "Long side of the style image, px; 0 keeps its own. (default: as --size)")
    scales: int = option(
        Settings.scales,
        "Sizes from coarse to fine, at most; 0 is as many as there are, from 128 px by factors of 1.41.",
    )
    content_weight: float | None = option(None, "Weight of the content, alpha, in place of --strength. (paper: 1e-4)")
    iterations: int | None = option(Settings.iterations, "Steps of the optimiser at most.")

    style_weight: float | None = option(None, "Weight of the style, beta. (default: the preset's; paper 1)", LOOK)
    tv_weight: float | None = option(None, "Weight of total variation, in place of --smoothness. (paper: 0)", LOOK)
    content_taps: list[str] | None = option(None, tap_help(CONTENT_TAPS), LOOK, "--content-tap", metavar="TAP")
    style_taps: list[str] | None = option(None, tap_help(STYLE_TAPS), LOOK, "--style-tap", metavar="TAP")
    weighting: str = option(
        Settings.weighting, "Meaning of the weights: paper (its equations), johnson or calibrated.", LOOK
    )
    style_loss: str = option(
        Settings.style_loss, "What is matched: gram (the paper's), gram-mean (less the mean), or moments.", LOOK
    )
    tv_norm: str = option(
        Settings.tv_norm, "Differences in --tv-weight: squared, or l2 or l1, which leave edges sharp.", LOOK
    )
    pool: str = option(Settings.pool, "Pooling: avg (the paper's) or max.", LOOK)
    padding: str = option(
        Settings.padding, "The image beyond its borders: zero (the paper's), replicate or reflect.", LOOK
    )
    seamless: bool = option(False, "Make a result that tiles; its sides become multiples of 16 px.", LOOK, "--seamless")

    evaluations: int | None = option(None, "Runs of loss and gradient at most. (default: no limit)", OPTIMISER)
    timeout_s: float | None = option(None, "Stop after so many seconds and keep the result.", OPTIMISER)
    init: str = option(Settings.init, "Start from content, noise, style, or an image FILE.", OPTIMISER)
    seed: int = option(Settings.seed, "Seed of the noise.", OPTIMISER)
    optimizer: str = option(Settings.optimizer, "lbfgs, plain-lbfgs (the textbook's), or adam.", OPTIMISER)
    history: int = option(Settings.history, "Curvature pairs that L-BFGS keeps.", OPTIMISER)
    learning_rate: float = option(Settings.learning_rate, "Step size of adam, in grey levels.", OPTIMISER)
    average: float = option(
        Settings.average, "Decay of a moving average of adam's images, as 0.99; 0 is none.", OPTIMISER
    )
    bounded: bool = option(
        Settings.bounded,
        "Keep pixels in the range that a file can hold; otherwise they are clipped at the end.",
        OPTIMISER,
        "--bounded/--unbounded",
    )

    bits: int = option(8, "Bits per channel in the file: 8 or 16.", OUTPUT)
    save_every: int = option(0, "Also write OUTPUT-000050.png and so on, every N iterations; 0 is never.", OUTPUT)
    report: Path | None = option(None, "Also write a page: pictures, loss curves, settings, command. .html", OUTPUT)
    animation: Path | None = option(
        None,
        "Also write a film of the run: .webp .gif .png; a frame every --save-every iterations, else up to 60.",
        OUTPUT,
    )
    checkpoint: Path | None = option(
        None, "Also save the state of the run to this file, for `impasto resume`. .safetensors", OUTPUT
    )
    checkpoint_every: float | None = option(
        None, "Save the state every so many seconds, and at the end; 0 is every iteration. (default: 60)", OUTPUT
    )
    preview: bool = option(False, "Draw the image in the terminal as it changes.", OUTPUT, "--preview")
    preview_as: str | None = option(
        None,
        "Draw it as kitty, iterm, sixel, blocks (24-bit) or blocks256. (default: what the terminal supports)",
        OUTPUT,
    )
    force: bool = option(False, "Write over a file that the run reads, such as CONTENT.", OUTPUT, "--force")
    dry_run: bool = option(
        False, "Print the plan, its expected time and its memory; compute and write nothing.", OUTPUT, "--dry-run"
    )
    quiet: bool = option(False, "Print no remarks, progress or summary.", OUTPUT, "--quiet", "-q")
    as_json: bool = json_option("Print one JSON line per iteration on stdout, then a summary.")

    provider: str = option(
        "auto",
        "auto, tensorrt, cuda, webgpu, openvino or cpu; cuda:1 is the second GPU, cuda,nhwc an option of it.",
        MACHINE,
    )
    precision: str = option("auto", PRECISIONS, MACHINE)
    threads: int = option(0, "CPU threads; 0 is one per core.", MACHINE)
    loop: str = option(
        "auto", "Where L-BFGS runs: host, device (in the provider's memory), or auto: device on GPUs.", MACHINE
    )
    report_every: int | None = option(
        None,
        "Evaluations between two reports of a loop on the device. Progress, Ctrl-C and --timeout-s wait for the next "
        "report. (default: 10 on GPUs, else 1; --save-every and --animation require 1)",
        MACHINE,
    )
    build_engines: bool = option(
        False, "TensorRT may build engines that its cache lacks: minutes, once.", MACHINE, "--build-engines"
    )
    ignore_memory: bool = option(False, "Run even if the free memory seems too small.", MACHINE, "--ignore-memory")

    given: frozenset[str] = frozenset()
    """The options that the user typed."""

    def say(self, line: str) -> None:
        """Print a remark on stderr, unless --quiet is given."""
        if not self.quiet:
            say(line)

    def say_choices(self, engine: "Engine") -> None:
        """Print the network and the provider that "auto" chose, unless --quiet is given."""
        self.say(engine.network.choice)
        self.say(engine.provider.choice)

    def setting_values(self) -> dict[str, Any]:
        """Return the values of `Settings` by name, without those that have its defaults."""
        values = {item.name: getattr(self, item.name, None) for item in fields(Settings) if item.name != "preset"}
        return {name: value for name, value in values.items() if value not in (None, [])}

    def settings(self, **changes: Any) -> Settings:
        """Return the settings that the options make: those of the preset, overridden by what the user typed.

        Args:
            changes: values of `Settings` that replace options.

        Raises:
            ImpastoError: as `Settings`.
        """
        if self.preset:
            typed = {name: value for name, value in self.setting_values().items() if name in self.given}
            return preset(self.preset, **{**typed, **changes})
        return Settings(**{**self.setting_values(), **changes})

    def engine(self, **changes: Any) -> "Engine":
        """Return the engine that the options describe.

        Args:
            changes: arguments of `Engine` that replace options.

        Raises:
            ImpastoError: as `Engine`.
        """
        from impasto.engine.jobs.engine import Engine

        names = ("model", "provider", "precision", "threads", "build_engines", "loop", "report_every")
        arguments = {
            **{name: getattr(self, name) for name in names},
            "checks_memory": not self.ignore_memory,
            **changes,
        }
        return Engine(arguments.pop("model"), **arguments)
