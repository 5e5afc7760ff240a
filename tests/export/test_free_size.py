"""Targets graphs for images of any size: one over the number of positions is found, or its absence is told."""

import numpy as np
import onnx_ir as ir
import pytest

from impasto.export.bundle import free_size
from impasto.export.objective import build_targets
from impasto.models.errors import ImpastoError
from tests.small_network import features_model


def targets(style_loss: str) -> ir.Model:
    return build_targets(
        features_model(),
        content_taps=("relu2_1",),
        style_taps=("relu1_1", "relu3_1"),
        height=48,
        width=64,
        pool="avg",
        style_loss=style_loss,
    )


@pytest.mark.parametrize("style_loss", ["gram", "gram-mean", "moments"])
def test_a_factor_that_is_not_found_is_told(style_loss: str) -> None:
    free_size(targets(style_loss))
    wrong = targets(style_loss)
    for value in wrong.graph.initializers.values():
        tensor = value.const_value
        if tensor is not None and np.all(tensor.numpy() == np.float32(1 / (48 * 64))):
            value.const_value = ir.tensor(tensor.numpy() * np.float32(2), name=value.name)
    with pytest.raises(ImpastoError, match="has no factor of 1 over its 3072 positions"):
        free_size(wrong)
