"""The student as it is trained: convolutions in whitened coordinates, a linear readout per tap.

The inputs of a layer are positive and strongly correlated, which makes plain gradient steps slow. Every weight is
therefore written in coordinates in which the layer's inputs, as they were at the start of the training, have mean 0
and unit covariance - between channels, and between the nine pixels of a kernel's window - and its outputs unit
variance (Desjardins et al., arXiv:1507.00210, with fixed statistics). The function that the network computes is
the same; `plain_weights` gives its ordinary parameters.
"""

from collections.abc import Mapping
from typing import cast

import torch
from torch import nn
from torch.nn import functional

from impasto.models.distil.spec import SLIM, TAPS, channels, teacher_channels
from impasto.models.preprocess import OXFORD
from impasto.models.vgg import Conv, Network

DAMPING = 1e-3


class WhitenedConv(nn.Module):
    """weight = out_scale * V (P_channel x P_window), bias = out_scale * b - weight * mean."""

    mean: torch.Tensor
    channel: torch.Tensor
    window: torch.Tensor
    out_scale: torch.Tensor

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.v = nn.Parameter(torch.zeros(out_channels, in_channels, 9))
        self.b = nn.Parameter(torch.zeros(out_channels))
        self.register_buffer("mean", torch.zeros(in_channels))
        self.register_buffer("channel", torch.eye(in_channels))
        self.register_buffer("window", torch.eye(9))
        self.register_buffer("out_scale", torch.ones(out_channels))

    def plain(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the ordinary weight (out, in, 3, 3) and bias (out,)."""
        v = torch.einsum("oci,ij->ocj", self.v, self.window)
        weight = self.out_scale[:, None, None] * torch.einsum("ocj,cd->odj", v, self.channel)
        bias = self.out_scale * self.b - torch.einsum("odj,d->o", weight, self.mean)
        return weight.reshape(*weight.shape[:2], 3, 3), bias

    @torch.no_grad()
    def set_plain(self, weight: torch.Tensor, bias: torch.Tensor) -> None:
        """Become the convolution with these ordinary parameters; the coordinates stay."""
        flat = weight.flatten(2)
        self.b.copy_((bias + torch.einsum("odj,d->o", flat, self.mean)) / self.out_scale)
        v = torch.einsum("odj,dc->ocj", flat / self.out_scale[:, None, None], torch.linalg.inv(self.channel))
        self.v.copy_(torch.einsum("ocj,ji->oci", v, torch.linalg.inv(self.window)))

    @torch.no_grad()
    def set_coordinates(
        self, mean: torch.Tensor, covariance: torch.Tensor, window: torch.Tensor, out_scale: torch.Tensor
    ) -> None:
        """Change the coordinates, not the function.

        They are mean (in,) and covariance (in, in) of the input channels, the correlation (9, 9) of the nine pixels of
        a window, and the standard deviation of the outputs (out,).
        """
        weight, bias = self.plain()
        self.mean.copy_(mean)
        self.channel.copy_(inverse_root(covariance))
        self.window.copy_(inverse_root(window))
        self.out_scale.copy_(out_scale)
        self.set_plain(weight, bias)


class WhitenedReadout(nn.Module):
    """F = out_scale * U P f: a linear map without bias, (out, in)."""

    channel: torch.Tensor
    out_scale: torch.Tensor

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.u = nn.Parameter(torch.zeros(out_channels, in_channels))
        self.register_buffer("channel", torch.eye(in_channels))
        self.register_buffer("out_scale", torch.ones(()))

    def plain(self) -> torch.Tensor:
        """Return the ordinary matrix W (out, in)."""
        return self.out_scale * self.u @ self.channel

    @torch.no_grad()
    def set_plain(self, matrix: torch.Tensor) -> None:
        """Become this ordinary matrix; the coordinates stay."""
        self.u.copy_(matrix / self.out_scale @ torch.linalg.inv(self.channel))

    @torch.no_grad()
    def set_coordinates(self, moment: torch.Tensor, out_scale: torch.Tensor) -> None:
        """Change the coordinates (second moment of the input, scale of the output), not the function."""
        matrix = self.plain()
        self.channel.copy_(inverse_root(moment))
        self.out_scale.copy_(out_scale)
        self.set_plain(matrix)


class Student(nn.Module):
    """Images, float32 (N, 3, H, W), RGB, 0..1 -> {tap: approximation of the teacher's tap, (N, C, h, w)}."""

    gain: torch.Tensor
    offset: torch.Tensor

    def __init__(self, network: Network = SLIM) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("gain", torch.tensor(OXFORD.gain).reshape(1, 3, 1, 1))
        self.register_buffer("offset", torch.tensor(OXFORD.offset).reshape(1, 3, 1, 1))
        convs = {conv.name: WhitenedConv(conv.in_channels, conv.out_channels) for conv in network.convolutions}
        readouts = {tap: WhitenedReadout(channels(network, tap), teacher_channels(tap)) for tap in TAPS}
        self.convs = cast("Mapping[str, WhitenedConv]", nn.ModuleDict(convs))
        self.readouts = cast("Mapping[str, WhitenedReadout]", nn.ModuleDict(readouts))

    def features(self, images: torch.Tensor, half: bool = False) -> dict[str, torch.Tensor]:
        """Return the student's own features {tap: (N, r, h, w)}, before the readouts."""
        weights = {name: typed(value, half) for name, value in self.plain_weights().items()}
        return run_plain(self.network, weights, images * self.gain + self.offset)

    def forward(self, images: torch.Tensor, half: bool = False) -> dict[str, torch.Tensor]:
        """Return the approximations of the teacher's taps."""
        matrices = self.plain_readouts()
        own = self.features(images, half)
        return {tap: functional.conv2d(own[tap], typed(matrices[tap][:, :, None, None], half)) for tap in TAPS}

    def plain_weights(self) -> dict[str, torch.Tensor]:
        """Return `convN_M.weight` and `convN_M.bias`, differentiable."""
        result = {}
        for name, conv in self.convs.items():
            result[f"{name}.weight"], result[f"{name}.bias"] = conv.plain()
        return result

    def plain_readouts(self) -> dict[str, torch.Tensor]:
        """Return {tap: W (C, r)}, differentiable."""
        return {tap: readout.plain() for tap, readout in self.readouts.items()}


def run_plain(network: Network, weights: Mapping[str, torch.Tensor], x: torch.Tensor) -> dict[str, torch.Tensor]:
    """Run a network of ordinary weights on preprocessed images, in the weights' type; return all taps."""
    values = {}
    first = next(iter(weights.values()))
    x = x.to(first.dtype).contiguous(memory_format=torch.channels_last)
    for layer in network.layers:
        if isinstance(layer, Conv):
            x = torch.relu(
                functional.conv2d(x, weights[f"{layer.name}.weight"], weights[f"{layer.name}.bias"], padding=1)
            )
            values[layer.tap] = x
        else:
            x = functional.avg_pool2d(x, 2)
    return values


def typed(tensor: torch.Tensor, half: bool) -> torch.Tensor:
    """Return a weight in the type and layout in which it is used; kernels channels last."""
    result = tensor.to(torch.bfloat16 if half else torch.float32)
    return result.contiguous(memory_format=torch.channels_last) if result.dim() == 4 else result


def inverse_root(matrix: torch.Tensor) -> torch.Tensor:
    """Return (A + damping * mean eigenvalue)^(-1/2) of a symmetric positive semidefinite matrix."""
    values, vectors = torch.linalg.eigh(matrix.double())
    values = values.clamp_min(0) + DAMPING * values.mean()
    root: torch.Tensor = (vectors * values.rsqrt() @ vectors.T).to(matrix.dtype)
    return root
