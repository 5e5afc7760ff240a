"""The options that more than one command takes, and how they become settings."""

from pathlib import Path
from typing import Annotated

import typer

from impasto.engine.settings import CONTENT_TAPS, STYLE_TAPS

Content = Annotated[Path, typer.Argument(help="The image whose scene is kept.", show_default=False)]
Style = Annotated[Path, typer.Argument(help="The image whose look is taken.", show_default=False)]
Model = Annotated[
    str,
    typer.Option(help="A network from `impasto weights list`, a features .onnx, or a weights file; auto picks one."),
]
Provider = Annotated[
    str,
    typer.Option(help="auto, tensorrt, cuda, openvino or cpu; cuda:1 is the second GPU, cuda,nhwc an option of it."),
]
PRECISION_HELP = "Of the convolutions: auto, fp32, tf32, fp16, bf16, or bf16-typed (openvino)."
Precision = Annotated[str, typer.Option(help=PRECISION_HELP)]
BuildEngines = Annotated[
    bool, typer.Option("--build-engines", help="TensorRT may build engines that its cache lacks: minutes, once.")
]
Threads = Annotated[int, typer.Option(help="CPU threads; 0 is one per core.")]
Loop = Annotated[
    str, typer.Option(help="Where L-BFGS runs: host, device (in the provider's memory), or auto: device on GPUs.")
]
ReportEvery = Annotated[
    int | None,
    typer.Option(
        help="Evaluations between two looks of the host at a loop on the device; progress, Ctrl-C and --timeout-s wait "
        "for the next. (default: 10 on GPUs, else 1; 1 with --save-every or --animation, which take no other)",
        show_default=False,
    ),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Say what would be done and what memory it takes; compute and write nothing.")
]
IgnoreMemory = Annotated[
    bool, typer.Option("--ignore-memory", help="Try even where the memory that is free does not seem to do.")
]
Size = Annotated[int, typer.Option(help="Long side of the result, px; 0 keeps the content image's own size.")]
StyleSize = Annotated[
    int | None, typer.Option(help="Long side of the style image, px; 0 keeps its own. (default: as --size)")
]
ContentWeight = Annotated[float | None, typer.Option(help="alpha. (default: the weighting's; paper 1e-4)")]
StyleWeight = Annotated[float | None, typer.Option(help="beta. (default: the weighting's; paper 1)")]
TvWeight = Annotated[
    float | None, typer.Option(help="Smoothness (total variation). (default: the weighting's; paper 0)")
]
ContentTaps = Annotated[
    list[str] | None,
    typer.Option("--content-tap", help=f"NAME or NAME=WEIGHT, repeatable. (default: {' '.join(CONTENT_TAPS)})"),
]
StyleTaps = Annotated[
    list[str] | None,
    typer.Option("--style-tap", help=f"NAME or NAME=WEIGHT, repeatable. (default: {' '.join(STYLE_TAPS)})"),
]
Weighting = Annotated[str, typer.Option(help="What the weights mean: paper (its equations), johnson or calibrated.")]
Pool = Annotated[str, typer.Option(help="Pooling: avg (the paper's) or max.")]
Seamless = Annotated[bool, typer.Option("--seamless", help="The result tiles; its sides become multiples of 16 px.")]
Output = Annotated[
    Path,
    typer.Option(
        "--output",
        "-o",
        help="Result: .png .jpg .webp .tif, or .npy (float32, 0..255).",
        show_default=False,
    ),
]
Iterations = Annotated[int, typer.Option(help="Steps of the optimiser at most.")]
Evaluations = Annotated[
    int | None, typer.Option(help="Runs of loss and gradient at most. (default: no limit of its own)")
]
TimeoutS = Annotated[float | None, typer.Option(help="Stop after so many seconds and keep the result.")]
History = Annotated[int, typer.Option(help="Curvature pairs that L-BFGS keeps.")]
Init = Annotated[str, typer.Option(help="Start from content, noise, style, or an image FILE.")]
Seed = Annotated[int, typer.Option(help="Of the noise.")]
Optimizer = Annotated[str, typer.Option(help="lbfgs, plain-lbfgs (the textbook's), or adam.")]
LearningRate = Annotated[float, typer.Option(help="Of adam, grey levels a step.")]
Bounded = Annotated[
    bool,
    typer.Option(
        "--bounded/--unbounded", help="Keep pixels within what a file can hold; otherwise they are cut off at the end."
    ),
]
Bits = Annotated[int, typer.Option(help="Per channel in the file: 8 or 16.")]
SaveEvery = Annotated[int, typer.Option(help="Also write OUTPUT-000050.png and so on, every N iterations; 0 is never.")]
Report = Annotated[
    Path | None,
    typer.Option(help="Also write a page: pictures, loss curves, settings, command. .html", show_default=False),
]
Animation = Annotated[
    Path | None,
    typer.Option(
        help="Also write a film of the run: .webp .gif .png; a frame every --save-every iterations, else up to 60.",
        show_default=False,
    ),
]
Preview = Annotated[bool, typer.Option("--preview", help="Draw the image in the terminal as it changes.")]
PreviewAs = Annotated[
    str | None,
    typer.Option(
        help="The same in one way: kitty, iterm, sixel, blocks (24-bit) or blocks256. (default: the terminal's)",
        show_default=False,
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no summary.")]
QuietChoice = Annotated[bool, typer.Option("--quiet", "-q", help="Do not say what auto took.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON line per iteration on stdout, then a summary.")]


def taps(chosen: list[str] | None, default: tuple[str, ...]) -> tuple[str, ...]:
    """Return the taps of a repeatable option."""
    return tuple(chosen) if chosen else default
