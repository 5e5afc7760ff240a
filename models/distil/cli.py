"""`python -m impasto.models.distil`: widths, corpus and first weights, training, folding, scoring."""

import argparse
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

import torch

from impasto.models.distil import checkpoint
from impasto.models.distil.compress import compress
from impasto.models.distil.corpus import Sampler, build_corpus, folder_images, photographs
from impasto.models.distil.folded import fold, further_readouts, load_folded, save_folded
from impasto.models.distil.objective import Features
from impasto.models.distil.score import Score, pairs, save_picture, score, scored_images, summary
from impasto.models.distil.spec import TAPS
from impasto.models.distil.student import Student
from impasto.models.distil.teacher import Teacher, teacher_weights
from impasto.models.distil.train import Settings, Trainer
from impasto.models.distil.widths import LAYOUTS, judged_layout
from impasto.models.errors import ImpastoError, one_line
from impasto.models.store import FULL

CALIBRATION_IMAGES, CALIBRATION_SIDE_PX = 320, 128
TRAINED: Mapping[str, str] = {
    "steps": "of the whole run, which the learning rate follows",
    "learning_rate": "",
    "batch": "",
    "side": "",
    "on_policy_share": "of a batch",
    "gram_weight": "of the errors of Gram matrices",
    "gradient_weight": "of the errors of the style loss's gradient",
}
"""The fields of `Settings` that are options of `train`, and what their help says."""
CPU = torch.device("cpu")
DEVICES = ("cpu", "cuda")
USAGE_ERROR = 2


def main(arguments: list[str] | None = None) -> None:
    """Parse the arguments and run one command; a user's mistake is one line and status 2."""
    try:
        options = _parser().parse_args(arguments)
        torch.set_num_threads(options.threads)
        options.run.mkdir(parents=True, exist_ok=True)
        options.command(options)
    except (ImpastoError, OSError) as error:
        sys.stderr.write(f"error: {one_line(error)}\n")
        sys.exit(USAGE_ERROR)


def _init(options: argparse.Namespace) -> None:
    """Write `init.pt`: the student cut out of the teacher."""
    weights = teacher_weights(options.teacher)
    student = Student()
    for line in compress(student, weights, _calibration_images(options), options.seed):
        _say(line)
    checkpoint.write({"student": student.state_dict()}, options.run / "init.pt")


def _train(options: argparse.Namespace) -> None:
    """Train from `init.pt`, or resume from `checkpoint.pt`."""
    settings = Settings(seed=options.seed, **{name: getattr(options, name) for name in TRAINED})
    device = _device(options)
    student = Student()
    if not (options.run / "checkpoint.pt").exists():
        student.load_state_dict(checkpoint.read(options.run / "init.pt")["student"])
    teacher = Teacher(teacher_weights(options.teacher), TAPS, device, settings.half)
    trainer = Trainer(student, teacher, _sampler(options), settings, options.run, device)
    if trainer.resume():
        _say(f"resuming at step {trainer.step}")
    trainer.run(options.until)


def _export(options: argparse.Namespace) -> None:
    """Write the averaged parameters of the checkpoint, folded, as float16 safetensors."""
    state = checkpoint.read(options.run / ("checkpoint.pt" if not options.first else "init.pt"))
    student = Student()
    student.load_state_dict({**state["student"], **state.get("average", {})})
    step = state.get("step", 0)
    weights = teacher_weights(options.teacher)
    taps = [tap for tap in student.network.taps if tap not in TAPS]
    further = further_readouts(student, Teacher(weights, taps, CPU, half=False), _calibration_images(options))
    said = {"licence": weights.origin.licence, "attribution": f"distilled from {weights.origin.attribution}"}
    save_folded(fold(student, further), options.output, {"step": str(step), **said})
    _say(json.dumps({"step": step, "bytes": options.output.stat().st_size, "file": str(options.output)}))


def _score(options: argparse.Namespace) -> None:
    """Score a folded student on pairs of photographs and paintings; one line per pair, finished pairs are kept."""
    device = _device(options)
    images = scored_images(_scored_folder())
    weights = teacher_weights(options.teacher)
    judge = Teacher(weights, TAPS, device, half=False)
    network: Features = judge
    if options.student:
        network = load_folded(options.student, options.half, device)
    elif options.half:
        network = Teacher(weights, TAPS, device, half=True)
    log = options.run / f"{options.name}.jsonl"
    done = _read_scores(log)
    every = list(pairs(*images, options.side, device))
    for pair, photograph, painting in every[options.offset :: options.stride]:
        if pair not in done:
            done[pair], picture = score(network, judge, photograph, painting, pair, options.evaluations)
            checkpoint.log(log, done[pair].record())
            save_picture(picture, options.run / f"{options.name}-{pair.replace('/', '-')}.png")
            _say(json.dumps(done[pair].record()))
    _say(json.dumps(summary(list(done.values()), _read_scores(options.run / "reference.jsonl"))))


def _widths(options: argparse.Namespace) -> None:
    """Compare layouts by their first weights; one line per layout, finished ones are kept."""
    chosen = list(pairs(*scored_images(_scored_folder()), options.side))[:: options.stride]
    weights = teacher_weights(options.teacher)
    judge = Teacher(weights, TAPS, CPU, half=False)
    images = _calibration_images(options)
    log = options.run / "widths.jsonl"
    done = [record["layout"] for record in checkpoint.logged(log)]
    for name, network in LAYOUTS.items():
        if name not in done:
            student = Student(network)
            for line in compress(student, weights, images, options.seed):
                _say(line)
            found = {"layout": name, **judged_layout(student, judge, chosen, options.evaluations)}
            checkpoint.log(log, found)
            _say(json.dumps(found))


def _read_scores(path: Path) -> dict[str, Score]:
    names = [field.name for field in fields(Score)]
    return {record["pair"]: Score(**{name: record[name] for name in names}) for record in checkpoint.logged(path)}


def _calibration_images(options: argparse.Namespace) -> torch.Tensor:
    rng = torch.Generator().manual_seed(options.seed)
    return _sampler(options).batch(rng, options.images, CALIBRATION_SIDE_PX)


def _sampler(options: argparse.Namespace) -> Sampler:
    """Build the corpus, or take the one that the run's folder holds from an earlier start."""
    path = options.run / "corpus.pt"
    if not path.exists():
        folders = _image_folders()
        corpus = build_corpus(options.seed, options.procedural, folders)
        found = len(photographs()) + sum(len(folder_images(folder)) for folder in folders)
        checkpoint.write({"images": [torch.from_numpy(image) for image in corpus], "found": found}, path)
    state = checkpoint.read(path)
    return Sampler([image.numpy() for image in state["images"]], state["found"])


def _image_folders() -> list[Path]:
    shared = os.environ.get("IMPASTO_SHARED")
    folder = Path(shared) / "images" if shared else None
    return [folder] if folder and folder.is_dir() else []


def _scored_folder() -> Path:
    folders = _image_folders()
    if not folders:
        raise ImpastoError(
            "no pictures to score: set IMPASTO_SHARED to a folder with images/neckarfront.jpg and paintings"
        )
    return folders[0]


def _device(options: argparse.Namespace) -> torch.device:
    if options.device == "cuda" and not torch.cuda.is_available():
        raise ImpastoError("bad --device cuda: PyTorch finds no CUDA device here; allowed is cpu")
    return torch.device(options.device)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ImpastoError(f"bad number {text!r}: allowed are whole numbers of 1 or more")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m impasto.models.distil", description=__doc__)
    commands = parser.add_subparsers(required=True)

    def command(name: str, function: object, devices: tuple[str, ...] = ()) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=function.__doc__)
        sub.set_defaults(command=function)
        sub.add_argument("--run", type=Path, required=True, help="folder of the training run")
        sub.add_argument("--teacher", default=FULL, help="VGG-19: a weights file, or a name of `impasto weights list`")
        sub.add_argument("--threads", type=_positive, default=2)
        if devices:
            sub.add_argument("--device", default=devices[0], choices=devices)
        sub.add_argument("--seed", type=int, default=1)
        sub.add_argument("--procedural", type=_positive, default=24, help="pictures per procedural family")
        return sub

    command("init", _init).add_argument("--images", type=_positive, default=CALIBRATION_IMAGES)
    train = command("train", _train, DEVICES)
    for name, text in TRAINED.items():
        default = getattr(Settings, name)
        kind = _positive if isinstance(default, int) else float
        train.add_argument(f"--{name.replace('_', '-')}", type=kind, default=default, help=text or None)
    train.add_argument("--until", type=_positive, metavar="N", help="stop after step N of --steps")
    score_ = command("score", _score, DEVICES)
    score_.add_argument("--student", type=Path, help="folded student; the teacher scores itself without it")
    score_.add_argument("--name", required=True, help="of the log and the pictures; `reference` for the teacher's own")
    score_.add_argument("--evaluations", type=_positive, default=300)
    score_.add_argument("--side", type=_positive, default=256)
    score_.add_argument("--offset", type=int, default=0, help="first pair")
    score_.add_argument("--stride", type=_positive, default=1, help="every which pair")
    score_.add_argument("--half", action="store_true", help="the descent runs in bfloat16")
    widths = command("widths", _widths)
    widths.add_argument("--images", type=_positive, default=CALIBRATION_IMAGES, help="for compression")
    widths.add_argument("--evaluations", type=_positive, default=150)
    widths.add_argument("--side", type=_positive, default=192)
    widths.add_argument("--stride", type=_positive, default=7, help="every which pair")
    export = command("export", _export)
    export.add_argument("--images", type=_positive, default=CALIBRATION_IMAGES, help="for the readouts of further taps")
    export.add_argument("--first", action="store_true", help="of the first weights, not of the checkpoint")
    export.add_argument("--output", type=Path, required=True)
    return parser


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
