"""The options of a Ray cluster."""

import pytest

from impasto.engine.cli.cluster_options import check_needs_ray, read_resources
from impasto.models.errors import ImpastoError


@pytest.mark.parametrize(
    ("text", "expected"), [("", {}), ("GPU=1", {"GPU": 1.0}), ("CPU=2, fast=0.5", {"CPU": 2.0, "fast": 0.5})]
)
def test_resources(text: str, expected: dict[str, float]) -> None:
    assert read_resources(text) == expected


@pytest.mark.parametrize("text", ["GPU", "GPU=", "GPU=0", "GPU=-1", "=1", "GPU=nan", "GPU=x"])
def test_wrong_resources(text: str) -> None:
    with pytest.raises(ImpastoError, match="expected NAME=NUMBER"):
        read_resources(text)


def test_options_of_a_cluster_need_one() -> None:
    check_needs_ray("auto", resources="GPU=1", checkpoint_s=3.0)
    check_needs_ray(None, resources="", checkpoint_s=None)
    with pytest.raises(ImpastoError, match=r"--resources GPU=1 is for the workers of a Ray cluster: give --ray"):
        check_needs_ray(None, resources="GPU=1")
    with pytest.raises(ImpastoError, match=r"--checkpoint-s 0\.0 is"):
        check_needs_ray(None, checkpoint_s=0.0)
