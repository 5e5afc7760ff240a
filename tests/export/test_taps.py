import pytest

from impasto.export.taps import find_tap
from impasto.models.errors import ImpastoError
from impasto.models.vgg import VGG19


@pytest.mark.parametrize(("name", "tap"), [("conv4_2", "relu4_2"), ("relu4_2", "relu4_2"), ("conv5_1", "relu5_1")])
def test_the_papers_spelling_of_a_tap(name: str, tap: str) -> None:
    assert find_tap(VGG19.taps, name, "VGG-19") == tap


ALL_TAPS = (
    "relu1_1, relu1_2, relu2_1, relu2_2, relu3_1, relu3_2, relu3_3, relu3_4, "
    "relu4_1, relu4_2, relu4_3, relu4_4, relu5_1"
)


@pytest.mark.parametrize("name", ["relu5_2", "conv5_4", "conv6_1"])
def test_a_tap_beyond_the_end_of_the_network(name: str) -> None:
    with pytest.raises(ImpastoError) as caught:
        find_tap(VGG19.taps, name, "VGG-19")
    assert str(caught.value) == f"tap {name!r} lies beyond the end of VGG-19: it has {ALL_TAPS}"


@pytest.mark.parametrize("name", ["relu1_3", "conv0_1", "fc6", "", "relu4_2 ", "pool1", "relu4-2"])
def test_an_unknown_tap(name: str) -> None:
    with pytest.raises(ImpastoError) as caught:
        find_tap(VGG19.taps, name, "VGG-19")
    assert str(caught.value) == f"unknown tap {name!r}: VGG-19 has {ALL_TAPS}"
