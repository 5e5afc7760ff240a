"""The student's first weights: VGG-19 itself, made narrower layer by layer, by least squares on real features.

For every convolution, shallow to deep:

1. *Selection.* Keep those r of the teacher's channels from which a linear map best predicts the rest: greedy column
    selection in the metric in which the next layer and the tap read them.
2. *Regression.* Fit the student's convolution, on the student's own inputs, to the teacher's values of these
   channels. The loss is that of the values after the ReLU: where the teacher is off, every negative answer is right,
   so the target there is min(answer, 0), and fit and targets are alternated (as in Zhang et al., arXiv:1505.06798,
   section 3.2).
3. *Readout.* At a tap, fit the linear map from the student's channels to the teacher's.

A layer of the student that the teacher names alike imitates that layer; the depths need not agree.
Channel pruning by least squares: He et al., arXiv:1707.06168.
"""

from collections.abc import Iterator

import torch
from torch.nn import functional

from impasto.models.distil.spec import TAPS
from impasto.models.distil.student import Student, WhitenedConv, WhitenedReadout
from impasto.models.preprocess import OXFORD, Preprocess
from impasto.models.vgg import VGG19, Conv
from impasto.models.weights import Weights

ALTERNATIONS = 8
RIDGE = 1e-4
SAMPLES = 40_000
CHUNK = 8

Tensors = list[torch.Tensor]


@torch.no_grad()
def compress(student: Student, weights: Weights, images: torch.Tensor, seed: int) -> Iterator[str]:
    """Give the student its first weights, and the coordinates in which it will be trained.

    ``weights`` are VGG-19's, ``images`` a few hundred for calibration, float32 (N, 3, H, W), 0..1, and ``seed`` that of
    the sampled positions.

    Yields:
        One line of progress per layer.
    """
    rng = torch.Generator().manual_seed(seed)
    parameters = {name: torch.from_numpy(value) for name, value in weights.arrays.items()}
    # The activations, one tensor per chunk of the images.
    wanted, own = _inputs(images, weights.preprocess), _inputs(images, OXFORD)
    kept = {conv.name for conv in student.network.convolutions}
    for index, layer in enumerate(VGG19.layers):
        if not isinstance(layer, Conv):
            wanted, own = ([functional.avg_pool2d(x, 2) for x in xs] for xs in (wanted, own))
            continue
        before = _convolved(wanted, parameters[f"{layer.name}.weight"], parameters[f"{layer.name}.bias"])
        wanted = [torch.relu(x) for x in before]
        if layer.name not in kept:
            continue
        conv = student.convs[layer.name]
        following = next((x for x in VGG19.layers[index + 1 :] if isinstance(x, Conv)), None)
        reader = None if following is None else parameters[f"{following.name}.weight"]
        selected = _select(wanted, reader, layer.tap in TAPS, len(conv.b))
        error = _fit(conv, own, [x[:, selected] for x in before], rng)
        own = [torch.relu(x) for x in _convolved(own, *conv.plain())]
        line = f"{layer.name}: {len(selected)} of {layer.out_channels} channels, own error {error:.4f}"
        if layer.tap in TAPS:
            line += f", tap error {_fit_readout(student.readouts[layer.tap], own, wanted):.4f}"
        yield line


def _inputs(images: torch.Tensor, preprocess: Preprocess) -> Tensors:
    """Return what a network sees of the images, in chunks."""
    gain, offset = (torch.tensor(values).reshape(1, 3, 1, 1) for values in (preprocess.gain, preprocess.offset))
    return [(chunk * gain + offset).bfloat16() for chunk in torch.split(images, CHUNK)]


def _convolved(inputs: Tensors, weight: torch.Tensor, bias: torch.Tensor) -> Tensors:
    weight, bias = weight.bfloat16(), bias.bfloat16()
    return [functional.conv2d(x, weight, bias, padding=1) for x in inputs]


def _rows(tensors: Tensors) -> torch.Tensor:
    """Return about `SAMPLES` evenly spaced pixels as rows, float32 (positions, channels)."""
    step = max(_positions(tensors) // SAMPLES, 1) | 1
    return torch.cat([x.permute(0, 2, 3, 1).flatten(0, 2)[::step] for x in tensors]).float()


def _positions(tensors: Tensors) -> int:
    return sum(x[:, 0].numel() for x in tensors)


def _select(features: Tensors, reader: torch.Tensor | None, is_tap: bool, count: int) -> torch.Tensor:
    """Return the `count` channels that best explain all, in the metric of the next layer and of the tap."""
    rows = _rows(features)
    residual = (rows.T @ rows / len(rows)).double()
    metric = torch.zeros_like(residual)
    if reader is not None:
        flat = reader.double().permute(1, 0, 2, 3).flatten(1)
        metric += flat @ flat.T / ((flat @ flat.T) * residual).sum()
    if is_tap or reader is None:
        metric += torch.eye(len(residual), dtype=torch.float64) / residual.trace()
    floor = 1e-9 * residual.diagonal().max()
    chosen: list[int] = []
    for _ in range(count):
        gain = ((metric @ residual) * residual).sum(0) / residual.diagonal().clamp_min(floor)
        gain[chosen] = -1
        best = int(gain.argmax())
        chosen.append(best)
        column = residual[:, best].clone()
        residual -= torch.outer(column, column) / column[best].clamp_min(floor)
    return torch.tensor(sorted(chosen))


def _fit(conv: WhitenedConv, inputs: Tensors, targets: Tensors, rng: torch.Generator) -> float:
    """Fit a convolution to targets before the ReLU, set its coordinates; return the error after the ReLU, relative."""
    x, y = _windows(inputs, targets, rng)
    _set_statistics(conv, x, y)
    x = torch.cat([x.flatten(1), torch.ones(len(x), 1)], 1)
    gram = x.T @ x
    gram.diagonal().add_(RIDGE * gram.diagonal().mean())
    factor = torch.linalg.cholesky(gram)
    goal, wanted = y, torch.relu(y)
    for _ in range(ALTERNATIONS):
        solution = torch.cholesky_solve(x.T @ goal, factor)
        answer = x @ solution
        goal = torch.where(y > 0, y, answer.clamp_max(0))
    weight = solution[:-1].T.reshape(len(solution[0]), -1, 3, 3)
    conv.set_plain(weight, solution[-1])
    return float((torch.relu(answer) - wanted).square().sum() / wanted.square().sum())


def _set_statistics(conv: WhitenedConv, x: torch.Tensor, y: torch.Tensor) -> None:
    """Take the coordinates from windows x (positions, channels, 9) and outputs y (positions, out)."""
    centre = x[:, :, 4]
    mean = centre.mean(0)
    covariance = torch.cov(centre.T)
    spread = (x - mean[:, None]) / covariance.diagonal().clamp_min(1e-12).sqrt()[:, None]
    spread = spread.transpose(1, 2).transpose(0, 1).flatten(1)
    conv.set_coordinates(mean, covariance, spread @ spread.T / spread.shape[1], y.std(0).clamp_min(1e-6))


def _windows(inputs: Tensors, targets: Tensors, rng: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the 3x3 windows (positions, channels, 9) at random positions, and the targets (positions, out) there."""
    share = SAMPLES / _positions(inputs)
    windows, values = [], []
    for x, y in zip(inputs, targets, strict=True):
        count, _, height, width = x.shape
        picks = min(int(share * count * height * width) + 1, count * height * width)
        flat = torch.randperm(count * height * width, generator=rng)[:picks]
        n, row, column = flat // (height * width), flat // width % height, flat % width
        padded = functional.pad(x, (1, 1, 1, 1)).permute(0, 2, 3, 1)
        taken = [padded[n, row + dy, column + dx] for dy in range(3) for dx in range(3)]
        windows.append(torch.stack(taken, 2).float())
        values.append(y.permute(0, 2, 3, 1)[n, row, column].float())
    return torch.cat(windows), torch.cat(values)


def _fit_readout(readout: WhitenedReadout, inputs: Tensors, targets: Tensors) -> float:
    """Fit the readout; return its error relative to the tap's power."""
    x, y = _rows(inputs), _rows(targets)
    moment, power = x.T @ x / len(x), y.square().mean()
    damped = moment + 1e-5 * moment.diagonal().mean() * torch.eye(len(moment))
    matrix = torch.linalg.solve(damped, x.T @ y / len(x)).T
    readout.set_coordinates(moment, power.sqrt())
    readout.set_plain(matrix)
    return float((x @ matrix.T - y).square().mean() / power)
