"""The student as it is used: ordinary weights, and readouts folded to r channels (see `spec`)."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from impasto.models.atomic import write_atomically
from impasto.models.distil.spec import SLIM, TAPS
from impasto.models.distil.student import Student, run_plain, typed
from impasto.models.errors import ImpastoError
from impasto.models.preprocess import OXFORD
from impasto.models.vgg import Network
from impasto.models.vgg_module import build_module
from impasto.models.weights import read_weights

Tensors = dict[str, torch.Tensor]
RIDGE = 1e-5  # of the mean power of a channel
FITTED_BATCH = 16


class FoldedStudent:
    """Images, float32 (N, 3, H, W), RGB, 0..1 -> {tap: R f, (N, r, h, w)}, differentiable in the images."""

    def __init__(self, tensors: Mapping[str, torch.Tensor], network: Network = SLIM, half: bool = False) -> None:
        shaped = {name: value[:, :, None, None] if value.dim() == 2 else value for name, value in tensors.items()}
        self.tensors = {name: typed(value, half) for name, value in shaped.items()}
        self.network = network
        device = next(iter(tensors.values())).device
        self.gain = torch.tensor(OXFORD.gain, device=device).reshape(1, 3, 1, 1)
        self.offset = torch.tensor(OXFORD.offset, device=device).reshape(1, 3, 1, 1)

    def __call__(self, images: torch.Tensor) -> Tensors:
        """Return the folded taps."""
        own = run_plain(self.network, self.tensors, images * self.gain + self.offset)
        return {tap: functional.conv2d(own[tap], self.tensors[f"{tap}.readout"]) for tap in TAPS}


@torch.no_grad()
def fold(student: Student, further: Mapping[str, torch.Tensor] | None = None) -> Tensors:
    """Return `convN_M.weight`, `convN_M.bias` and `reluN_M.readout` (r, r), float32.

    Readouts (C, r) of further taps, which the training did not look at, come from `further_readouts`.
    """
    tensors = {name: value.detach().clone() for name, value in student.plain_weights().items()}
    for tap, matrix in {**student.plain_readouts(), **(further or {})}.items():
        tensors[f"{tap}.readout"] = torch.linalg.qr(matrix.double()).R.to(matrix.dtype)
    return tensors


def save_folded(tensors: Mapping[str, torch.Tensor], path: Path, metadata: Mapping[str, str]) -> None:
    """Write the network as a float16 safetensors file, in full or not at all.

    Raises:
        ImpastoError: a value is NaN, or too large for float16; or the file cannot be written.
    """
    from safetensors.torch import save

    halves = {name: value.detach().to("cpu", torch.float16).contiguous() for name, value in tensors.items()}
    for name, value in halves.items():
        if not bool(torch.isfinite(value).all()):
            raise ImpastoError(f"cannot write {path}: {name} is NaN or too large for float16; train again")
    write_atomically(path, save(halves, {"preprocess": OXFORD.to_json(), **metadata}))


def load_folded(path: Path, half: bool = False, device: torch.device | None = None) -> FoldedStudent:
    """Read what `save_folded` wrote.

    Raises:
        ImpastoError: it cannot be read.
    """
    return FoldedStudent({name: value.to(device) for name, value in _read(path).items()}, half=half)


@torch.no_grad()
def further_readouts(student: Student, teacher: Callable[[torch.Tensor], Tensors], images: torch.Tensor) -> Tensors:
    """Return least-squares readouts {tap: W (C, r)} of the taps between the trained ones.

    The images are (N, 3, H, W), RGB, 0..1. The teacher gives at least those taps, (N, C, h, w).
    """
    taps = [tap for tap in student.network.taps if tap not in TAPS]
    moments: Tensors = {}
    for batch in torch.split(images, FITTED_BATCH):
        own, wanted = student.features(batch), teacher(batch)
        for tap in taps:
            f, target = (value.transpose(0, 1).flatten(1).double() for value in (own[tap], wanted[tap]))
            for name, product in ((f"{tap}.own", f @ f.T), (f"{tap}.both", target @ f.T)):
                moments[name] = moments.get(name, torch.zeros_like(product)) + product
    result = {}
    for tap in taps:
        own_moment = moments[f"{tap}.own"]
        ridge = RIDGE * own_moment.diagonal().mean() * torch.eye(len(own_moment), dtype=own_moment.dtype)
        result[tap] = torch.linalg.solve(own_moment + ridge, moments[f"{tap}.both"].T).T.float()
    return result


def slim_module(path: Path) -> tuple[nn.Module, tuple[str, ...]]:
    """Build a file of `save_folded` as a module for export, and name what it returns.

    Returns:
        Image, as above, -> tuple of the folded taps; and the taps' names.
    """
    tensors = _read(path)
    taps = tuple(tap for tap in SLIM.taps if f"{tap}.readout" in tensors)
    return _SlimModule(build_module(SLIM, read_weights(path, SLIM), taps), tensors, taps), taps


def _read(path: Path) -> Tensors:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return dict(load_file(path))
    except (OSError, SafetensorError) as error:
        raise ImpastoError(f"cannot read the student {path} ({error}); give a file that `export` wrote") from error


class _SlimModule(nn.Module):
    """The convolutions, then one 1x1 convolution per tap."""

    def __init__(self, features: nn.Module, tensors: Mapping[str, torch.Tensor], taps: Sequence[str]) -> None:
        super().__init__()
        self.features = features
        self.readouts = nn.ModuleDict()
        for tap in taps:
            matrix = tensors[f"{tap}.readout"].float()
            readout = nn.Conv2d(matrix.shape[1], matrix.shape[0], 1, bias=False)
            readout.load_state_dict({"weight": matrix[:, :, None, None]})
            self.readouts[f"{tap}_readout"] = readout
        self.eval().requires_grad_(False)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Run the layers and return the folded taps."""
        return tuple(readout(own) for readout, own in zip(self.readouts.values(), self.features(image), strict=True))
