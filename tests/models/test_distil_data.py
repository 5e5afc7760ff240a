"""The data: procedural pictures, crops, on-policy images."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("skimage")

from impasto.models.distil.corpus import Sampler, photographs  # noqa: E402
from impasto.models.distil.procedural import FAMILIES, power_law  # noqa: E402


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_family_gives_different_images_in_range(family: str) -> None:
    rng = np.random.default_rng(3)
    first, second = (FAMILIES[family](rng, 48) for _ in range(2))
    again = FAMILIES[family](np.random.default_rng(3), 48)
    assert first.shape == (48, 48, 3)
    assert first.dtype == np.float32
    assert first.min() >= 0
    assert first.max() <= 1
    assert first.std() > 0.002
    assert np.abs(first - second).mean() > 0.005
    np.testing.assert_array_equal(first, again)


def test_power_law_has_the_spectrum_asked_for() -> None:
    slopes = []
    for seed in range(12):
        image = power_law(np.random.default_rng(seed), 128, 1.0)
        power = np.abs(np.fft.fft2(image.mean(2) - image.mean())) ** 2
        radius = np.hypot(np.fft.fftfreq(128)[:, None], np.fft.fftfreq(128)[None])
        band = (radius > 0.03) & (radius < 0.4)
        slopes.append(np.polyfit(np.log(radius[band]), np.log(power[band] + 1e-12), 1)[0])
    assert np.mean(slopes) == pytest.approx(-2, abs=0.35)


def test_photographs_come_from_the_wheel_and_are_rgb() -> None:
    images = photographs()
    assert len(images) >= 10
    assert all(image.dtype == np.uint8 and image.shape[2] == 3 and max(image.shape) <= 640 for image in images)


def test_crops_are_reproducible_and_of_the_size_asked_for() -> None:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (80, 60, 3)).astype(np.uint8) for _ in range(3)]
    sampler = Sampler(images, 1)
    first, second, other = (sampler.batch(torch.Generator().manual_seed(seed), 6, 32) for seed in (5, 5, 6))
    assert first.shape == (6, 3, 32, 32)
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    assert first.isfinite().all()


def test_plain_crops_keep_the_colours() -> None:
    image = np.full((40, 40, 3), (10, 128, 250), np.uint8)
    crops = Sampler([image], 1).batch(torch.Generator().manual_seed(0), 4, 32, plain=True)
    expected = torch.tensor([10, 128, 250]).reshape(1, 3, 1, 1) / 255
    torch.testing.assert_close(crops, expected.expand_as(crops), rtol=0, atol=1e-4)
