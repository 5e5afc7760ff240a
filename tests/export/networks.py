"""Whole networks with losses, small enough to export in seconds, for comparison with PyTorch's autograd."""

import itertools
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import onnx_ir as ir
import torch
from torch import Tensor, nn
from torch.nn import functional


def gram(features: Tensor) -> Tensor:
    """Return F F^T / M per sample."""
    flat = features.flatten(2)
    return flat @ flat.transpose(1, 2) / flat.shape[2]


class Vgg(nn.Module):
    """Five convolutions and two poolings with the losses of style transfer: content, Gram, total variation.

    Its constants are exact in float32, in which the exporter writes them also for a float64 module.
    """

    def __init__(self, pool: type[nn.Module] = nn.AvgPool2d) -> None:
        super().__init__()
        widths = (3, 8, 8, 12, 12, 16)
        convolutions = [nn.Conv2d(*pair, 3, padding=1) for pair in itertools.pairwise(widths)]
        self.convolutions, self.pool = nn.ModuleList(convolutions), pool(2)

    def forward(self, image: Tensor) -> Tensor:
        x, loss = (image - 0.5) * 12, torch.zeros(())
        for index, convolution in enumerate(self.convolutions):
            x = torch.relu(convolution(x * 2))
            loss = loss + ((gram(x) - 1.5) ** 2).sum() / (4 * x.shape[1] ** 2)
            if index == 3:
                loss = loss + 0.0625 * ((x - 2) ** 2).sum()
            if index in (1, 3):
                x = self.pool(x)
        down, across = image[:, :, 1:] - image[:, :, :-1], image[..., 1:] - image[..., :-1]
        return loss + 0.25 * ((down**2).sum() + (across**2).sum())


class Block(nn.Module):
    """A pre-activation residual block: normalisations that no exporter can fold into the convolution before."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList([nn.BatchNorm2d(inputs), nn.BatchNorm2d(outputs)])
        self.first = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.second = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False) if stride > 1 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(functional.relu(self.norms[0](x)))
        residual: Tensor = self.second(functional.relu(self.norms[1](y)))
        shortcut: Tensor = self.shortcut(x)
        return residual + shortcut


class Residual(nn.Module):
    """A residual network with stride 2, batch normalisation, overlapping max pooling and a cross entropy."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 7, 2, 3), nn.MaxPool2d(3, 2, 1))
        self.blocks = nn.Sequential(Block(8, 8, 1), Block(8, 16, 2), Block(16, 16, 1))
        self.norm, self.head = nn.BatchNorm2d(16), nn.Linear(16, 5)

    def forward(self, image: Tensor) -> Tensor:
        x = functional.relu(self.norm(self.blocks(self.stem(image))))
        scores = self.head(x.mean((2, 3)))
        return -functional.log_softmax(scores, 1)[:, 2].mean()


class Fire(nn.Module):
    """Squeeze and expand, an inception block with pooling branches, Concat and Split."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.squeeze = nn.Conv2d(3, 16, 3, 2), nn.Conv2d(16, 6, 1)
        self.narrow, self.wide = nn.Conv2d(6, 8, 1), nn.Conv2d(6, 8, 3, padding=1)
        self.dilated, self.tall = nn.Conv2d(16, 5, 3, padding=2, dilation=2), nn.Conv2d(16, 4, (1, 3), padding=(0, 1))

    def forward(self, image: Tensor) -> Tensor:
        x = functional.max_pool2d(functional.relu(self.stem(image)), 3, 2, ceil_mode=True)
        x = functional.relu(self.squeeze(x))
        x = torch.cat([functional.relu(self.narrow(x)), functional.relu(self.wide(x))], 1)
        branches = [
            functional.elu(self.dilated(x)),
            functional.leaky_relu(self.tall(x), 0.1),
            functional.avg_pool2d(x, 3, 1, 1),
            functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False),
            functional.max_pool2d(x, 3, 1, 1),
        ]
        first, second = torch.cat(branches, 1).chunk(2, 1)
        return (first**2).mean() + second.abs().amax((2, 3)).sum()


class Depthwise(nn.Module):
    """Depthwise separable convolutions with ReLU6, HardSwish and a squeeze-and-excitation gate."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, 2, 1)
        self.depthwise = nn.Conv2d(8, 8, 3, 1, 1, groups=8)
        self.strided = nn.Conv2d(12, 12, 5, 2, 2, groups=12)
        self.pointwise, self.grouped = nn.Conv2d(8, 12, 1), nn.Conv2d(12, 8, 3, padding=1, groups=4)
        self.gate = nn.Conv2d(12, 12, 1)

    def forward(self, image: Tensor) -> Tensor:
        x = functional.relu6(self.stem(image * 4) * 3)
        x = functional.relu6(self.pointwise(functional.relu6(self.depthwise(x) * 3)))
        x = functional.hardswish(self.strided(x) * 4)
        x = x * functional.hardsigmoid(self.gate(functional.adaptive_avg_pool2d(x, 1)))
        length: Tensor = torch.linalg.vector_norm(self.grouped(x))
        return length


class Transformer(nn.Module):
    """Patches, attention, layer normalisation, a gated and a GELU feed-forward layer."""

    def __init__(self) -> None:
        super().__init__()
        self.patches, self.embedding = nn.Conv2d(3, 16, 4, 4), nn.Parameter(torch.randn(1, 70, 16))
        self.before, self.after = nn.LayerNorm(16), nn.LayerNorm(16)
        self.qkv, self.out = nn.Linear(16, 48), nn.Linear(16, 16)
        self.up, self.down = nn.Linear(16, 32), nn.Linear(32, 16)

    def forward(self, image: Tensor) -> Tensor:
        x = self.patches(image).flatten(2).transpose(1, 2)
        x = x + self.embedding[:, : x.shape[1]]
        q, k, v = self.qkv(self.before(x)).unflatten(2, (3, 4, 4)).permute(2, 0, 3, 1, 4)
        attention = functional.softmax(torch.einsum("bhid,bhjd->bhij", q, k) / 2, 3)
        x = x + self.out((attention @ v).transpose(1, 2).flatten(2))
        hidden = self.up(self.after(x))
        x = x + self.down(functional.gelu(hidden) * torch.sigmoid(hidden))
        return torch.logsumexp(functional.gelu(x, approximate="tanh"), 2).mean()


class Decoder(nn.Module):
    """The image transformation networks of fast style transfer: reflection padding, instance norm, upsampling."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 6, 5), nn.Conv2d(6, 8, 3, 2, 1)
        self.transposed = nn.ConvTranspose2d(8, 6, 3, 2, 1, output_padding=1)
        self.instance, self.group = nn.InstanceNorm2d(6, affine=True), nn.GroupNorm(2, 8)
        self.slope, self.last = nn.PReLU(6), nn.Conv2d(6, 3, 3)

    def forward(self, image: Tensor) -> Tensor:
        x = self.slope(self.instance(self.first(functional.pad(image, (2, 2, 2, 2), "reflect"))))
        x = functional.silu(self.group(self.second(x)))
        x = functional.mish(self.transposed(x))
        x = functional.interpolate(x, scale_factor=2, mode="nearest")
        x = functional.interpolate(x, size=(30, 41), mode="bilinear", align_corners=False)
        x = self.last(functional.pad(x, (1, 1, 1, 1), "replicate"))
        return (torch.tanh(x) * torch.linspace(-1, 1, 41)).sum()


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "vgg_avg": Vgg,
    "vgg_max": lambda: Vgg(nn.MaxPool2d),
    "residual": Residual,
    "fire": Fire,
    "depthwise": Depthwise,
    "transformer": Transformer,
    "decoder": Decoder,
}


def network(name: str) -> nn.Module:
    """Return a network with reproducible weights, in evaluation mode."""
    torch.manual_seed(3)
    module = NETWORKS[name]().eval()
    for child in module.modules():
        if isinstance(child, nn.BatchNorm2d):
            assert child.running_mean is not None and child.running_var is not None  # noqa: PT018
            child.running_mean.normal_()
            child.running_var.uniform_(0.3, 2.0)
    return module


def image(height: int = 37, width: int = 30) -> Tensor:
    """Return two images, (2, 3, height, width), 0..1."""
    return torch.rand((2, 3, height, width), generator=torch.Generator().manual_seed(5))


def exported(module: nn.Module, example: Tensor) -> ir.Model:
    """Return the module as PyTorch's exporter writes it: input ``image``, output ``loss``."""
    with _quiet():
        program = torch.onnx.export(
            module,
            (example,),
            dynamo=True,
            input_names=["image"],
            output_names=["loss"],
            opset_version=20,
            verbose=False,
        )
    assert program is not None
    return program.model


def autograd(module: nn.Module, example: Tensor) -> tuple[float, Tensor]:
    """Return the loss and its gradient in the image, both computed in float64."""
    wide, leaf = module.double(), example.double().requires_grad_()
    loss = wide(leaf)
    (gradient,) = torch.autograd.grad(loss, leaf)
    module.float()
    return float(loss.detach()), gradient


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide what the exporter says of packages that are not installed."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
