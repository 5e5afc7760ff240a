import subprocess
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from impasto.models.errors import ImpastoError
from impasto.models.preprocess import OXFORD, TORCHVISION, Preprocess
from impasto.models.vgg import VGG19, Conv, Network, Pool, sequential
from impasto.models.vgg_module import build_module
from impasto.models.weights import Weights

SLIM = sequential("slim", ((4, 5), (6,), (7, 3)))


def random_weights(network: Network, preprocess: Preprocess = OXFORD) -> Weights:
    rng = np.random.default_rng(3)
    arrays = {
        name: rng.normal(0, (2 / (9 * shape[1])) ** 0.5 if len(shape) == 4 else 0.1, shape).astype(np.float32)
        for name, shape in network.parameter_shapes.items()
    }
    return Weights(arrays, preprocess, "oxford", "0" * 64)


def paper_taps(network: Network, weights: Weights, image: torch.Tensor, pool: str) -> dict[str, torch.Tensor]:
    """The same by hand, in float64, with nothing of the module's code."""
    p = weights.preprocess
    mean, std = (torch.tensor(v, dtype=torch.float64).reshape(1, 3, 1, 1) for v in (p.mean, p.std))
    x = (image.double() * p.scale - mean) / std
    taps = {}
    for layer in network.layers:
        if isinstance(layer, Pool):
            rows, columns = x.shape[2] // 2, x.shape[3] // 2
            corners = [x[:, :, i : 2 * rows : 2, j : 2 * columns : 2] for i in (0, 1) for j in (0, 1)]
            stack = torch.stack(corners)
            x = stack.mean(0) if pool == "avg" else stack.amax(0)
        else:
            kernel, bias = (
                torch.from_numpy(weights.arrays[f"{layer.name}.{part}"]).double() for part in ("weight", "bias")
            )
            x = torch.relu(F.conv2d(F.pad(x, (1, 1, 1, 1)), kernel, bias))
            taps["relu" + layer.name[4:]] = x
    return taps


def test_vgg19_is_configuration_e_to_conv5_1() -> None:
    names = [layer.name for layer in VGG19.layers]
    assert names == [
        "conv1_1",
        "conv1_2",
        "pool1",
        "conv2_1",
        "conv2_2",
        "pool2",
        "conv3_1",
        "conv3_2",
        "conv3_3",
        "conv3_4",
        "pool3",
        "conv4_1",
        "conv4_2",
        "conv4_3",
        "conv4_4",
        "pool4",
        "conv5_1",
    ]
    assert VGG19.convolutions[0] == Conv("conv1_1", 3, 64)
    assert [c.out_channels for c in VGG19.convolutions] == [64] * 2 + [128] * 2 + [256] * 4 + [512] * 5
    assert VGG19.taps[0] == "relu1_1"
    assert VGG19.taps[-1] == "relu5_1"
    assert sum(np.prod(shape) for shape in VGG19.parameter_shapes.values()) == 12_944_960


@pytest.mark.parametrize("pool", ["avg", "max"])
@pytest.mark.parametrize("preprocess", [OXFORD, TORCHVISION])
@pytest.mark.parametrize("shape", [(1, 3, 32, 32), (2, 3, 37, 51)])
def test_the_module_computes_the_layers(shape: tuple[int, ...], preprocess: Preprocess, pool: str) -> None:
    weights = random_weights(SLIM, preprocess)
    image = torch.rand(shape, generator=torch.Generator().manual_seed(1))
    expected = paper_taps(SLIM, weights, image, pool)
    found = build_module(SLIM, weights, pool=pool)(image)
    assert len(found) == len(SLIM.taps)
    for tap, value in zip(SLIM.taps, found, strict=True):
        assert value.shape == expected[tap].shape
        assert (value - expected[tap]).abs().max() <= 1e-6 * expected[tap].abs().max()


def test_average_and_maximum_pooling_differ() -> None:
    weights, image = random_weights(SLIM), torch.rand(1, 3, 32, 32)
    average, maximum = (build_module(SLIM, weights, ["relu2_1"], pool)(image)[0] for pool in ("avg", "max"))
    assert (average - maximum).abs().max() > 0.1 * average.abs().max()


def test_chosen_taps_come_in_their_order_and_nothing_deeper_is_built() -> None:
    weights, image = random_weights(SLIM), torch.rand(1, 3, 32, 40)
    everything = dict(zip(SLIM.taps, build_module(SLIM, weights)(image), strict=True))
    module = build_module(SLIM, weights, ["relu2_1", "relu1_1"])
    for tap, value in zip(("relu2_1", "relu1_1"), module(image), strict=True):
        assert torch.equal(value, everything[tap])
    assert "conv3_1.weight" not in module.state_dict()
    assert not module.training


def test_an_unknown_pooling() -> None:
    with pytest.raises(ImpastoError, match=r"^unknown pooling 'min': it is one of avg, max$"):
        build_module(SLIM, random_weights(SLIM), pool="min")


def test_an_unknown_tap() -> None:
    with pytest.raises(ImpastoError, match=r"^unknown tap 'relu3_3': slim has relu1_1, relu1_2, relu2_1, "):
        build_module(SLIM, random_weights(SLIM), ["relu1_1", "relu3_3"])


def test_importing_the_models_imports_no_torch() -> None:
    code = (
        "import sys; import impasto.models.vgg, impasto.models.weights, impasto.models.store, impasto.models.download;"
        "import impasto.export.fetch, impasto.export.tap_model; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
