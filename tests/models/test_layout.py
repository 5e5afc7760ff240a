from pathlib import Path

import numpy as np
import pytest

from impasto.models.layout import recognise_oxford
from impasto.models.weight_files import read_arrays


@pytest.fixture(scope="module")
def conv1_1(shared: Path) -> np.ndarray:
    return read_arrays(shared / "weights" / "vgg19_oxford.safetensors").arrays["conv1_1.weight"].astype(np.float32)


def test_the_original_network_in_both_orders(conv1_1: np.ndarray) -> None:
    assert recognise_oxford(conv1_1) == "oxford"
    assert recognise_oxford(conv1_1[:, ::-1]) == "caffe"


def test_half_precision_and_scaled_filters(conv1_1: np.ndarray) -> None:
    scale = np.random.default_rng(0).uniform(0.01, 3, (64, 1, 1, 1)).astype(np.float32)
    assert recognise_oxford(conv1_1.astype(np.float16).astype(np.float32)) == "oxford"
    assert recognise_oxford((conv1_1 * scale)[:, ::-1]) == "caffe"
    step = np.abs(conv1_1).max() / 127  # eight bits
    assert recognise_oxford(np.round(conv1_1 / step) * step) == "oxford"


def test_other_channel_orders_and_kernels_are_not_it(conv1_1: np.ndarray) -> None:
    assert recognise_oxford(conv1_1[:, [1, 0, 2]]) is None
    assert recognise_oxford(np.roll(conv1_1, 1, axis=3)) is None


def test_random_networks_are_not_it() -> None:
    rng = np.random.default_rng(1)
    for width in (4, 16, 64):
        for _ in range(200):
            colours = rng.dirichlet((20, 20, 20))  # any balance of colours
            weights = rng.normal(0, 1, (width, 3, 3, 3)) * np.sqrt(colours)[None, :, None, None]
            assert recognise_oxford(weights.astype(np.float32)) is None
    assert recognise_oxford(np.zeros((4, 3, 3, 3), np.float32)) is None
