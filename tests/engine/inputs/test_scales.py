"""The scales of a run: sizes, iterations and weights."""

import dataclasses
import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from impasto.engine import ImpastoError, Picture, Settings
from impasto.engine.inputs.pictures import as_vector
from impasto.engine.inputs.scales import COARSER_SHARE, Scale, painting_size, saved_sizes, scales_of
from impasto.engine.inputs.scaling import Whole, enlarged


def sizes(found: tuple[Scale, ...]) -> list[tuple[int, int]]:
    return [(scale.height, scale.width) for scale in found]


def long_sides(end: int, start: int = 128) -> list[int]:
    """Return the scales of style-transfer-pytorch: every end / sqrt(2)^k, rounded, down to the start."""
    found, step = set[int](), 0
    while (side := round(end / math.pow(2, step / 2))) >= start:
        found.add(side)
        step += 1
    return sorted(found) or [end]


@pytest.mark.parametrize("side", [100, 128, 180, 181, 182, 256, 300, 362, 512, 777, 1024, 2048])
def test_the_sizes_are_those_of_style_transfer_pytorch(side: int) -> None:
    assert sizes(scales_of(Settings(scales=0), side, side)) == [(one, one) for one in long_sides(side)]


def test_the_aspect_ratio_is_kept() -> None:
    assert sizes(scales_of(Settings(scales=0), 384, 512)) == [(96, 128), (136, 181), (192, 256), (272, 362), (384, 512)]


@pytest.mark.parametrize(("scales", "count"), [(0, 5), (1, 1), (2, 2), (5, 5), (9, 5)])
def test_the_finest_are_kept(scales: int, count: int) -> None:
    found = scales_of(Settings(scales=scales), 512, 400)
    assert [scale.step for scale in found] == list(range(count))[::-1]
    assert sizes(found)[-1] == (512, 400)


def test_a_small_picture_and_a_narrow_one_have_fewer() -> None:
    assert len(scales_of(Settings(scales=0), 180, 180)) == 1
    assert len(scales_of(Settings(scales=0), 135, 181)) == 2
    assert sizes(scales_of(Settings(scales=0), 50, 512)) == [(35, 362), (50, 512)]  # 25 px are too few


@pytest.mark.parametrize("side", [192, 256, 320, 512, 1024])
def test_seamless_sizes_tile_and_differ(side: int) -> None:
    found = sizes(scales_of(Settings(scales=0, seamless=True), side, side))
    assert all(one % 16 == 0 for size in found for one in size)
    assert len(set(found)) == len(found) > 1
    assert all(one < other for one, other in pairwise(found))


@pytest.mark.parametrize("iterations", [5, 6, 7, 40, 300, 1001])
def test_iterations_add_up_and_coarser_scales_have_more(iterations: int) -> None:
    found = scales_of(Settings(scales=0, iterations=iterations), 512, 512)
    shares = [scale.iterations for scale in found]
    assert sum(shares) == iterations == found[-1].last_iteration
    assert [scale.last_iteration for scale in found] == list(np.cumsum(shares))
    assert all(share >= 1 for share in shares)
    if iterations >= 300:
        ratios = [one / other for one, other in pairwise(shares)]
        assert ratios == pytest.approx([COARSER_SHARE] * 4, rel=0.03)
        assert shares[0] / shares[-1] == pytest.approx(2, rel=0.03)


@pytest.mark.parametrize(("iterations", "evaluations", "count"), [(0, None, 1), (1, None, 1), (3, None, 3), (9, 5, 2)])
def test_no_scale_is_without_an_iteration(iterations: int, evaluations: int | None, count: int) -> None:
    found = scales_of(Settings(scales=0, iterations=iterations, evaluations=evaluations), 512, 512)
    assert len(found) == count
    assert (found[-1].last_iteration, found[-1].last_evaluation) == (iterations, evaluations)


def test_evaluations_are_shared_as_well() -> None:
    found = scales_of(Settings(scales=0, evaluations=100), 512, 512)
    ends = [scale.last_evaluation or 0 for scale in found]
    assert ends[-1] == 100
    assert all(later - earlier >= 2 for earlier, later in pairwise([0, *ends]))


def test_a_run_resumes_at_a_scale_that_its_new_limit_would_leave_out() -> None:
    found = scales_of(Settings(scales=0, iterations=1), 512, 512, resumed=3)
    assert [scale.step for scale in found] == [3, 2, 1, 0]
    assert [scale.last_iteration for scale in found] == [1, 1, 1, 1]
    with pytest.raises(ImpastoError, match="no scale 7 steps below"):
        scales_of(Settings(scales=0), 512, 512, resumed=7)


@pytest.mark.parametrize("value", [-1, 33, 1.5, True])
def test_a_bad_number_of_scales_is_refused(value: Any) -> None:
    with pytest.raises(ImpastoError, match=r"^bad scales .*: allowed are whole numbers from 0 to 32$"):
        Settings(scales=value)


def test_the_style_shrinks_with_the_result_and_not_below_what_a_network_takes() -> None:
    assert painting_size(Settings(), 300, 400, 0) == (300, 400)
    assert painting_size(Settings(), 300, 400, 2) == (150, 200)
    assert painting_size(Settings(), 40, 400, 5) == (32, 320)
    assert painting_size(Settings(seamless=True), 320, 400, 1) == (224, 288)
    assert saved_sizes(Settings(scales=0), 512, 256) == [(512, 256), (362, 181), (256, 128), (181, 91), (128, 64)]
    assert len(saved_sizes(Settings(scales=7), 512, 256)) == 7


def whole(settings: Settings, height: int = 192, width: int = 256) -> Whole:
    rng = np.random.default_rng(0)
    scene = Picture(rng.random((height, width, 3), np.float32), None, "c")
    painting = Picture(rng.random((120, 160, 3), np.float32), None, "s")
    return Whole(settings, scene, painting, scales_of(settings, height, width))


def test_one_scale_is_the_job_itself() -> None:
    one = whole(Settings())
    assert one.settings_here() is one.settings
    assert [item is other for item, other in zip(one.pictures_here(), (one.scene, one.painting), strict=True)]


@pytest.mark.parametrize("weighting", ["paper", "johnson", "calibrated"])
def test_a_sum_weighs_as_the_mean_that_it_stands_for(weighting: str) -> None:
    """The weight times the number of positions is the same at every scale for a sum, and the weight for a mean."""
    settings = Settings(scales=0, weighting=weighting, content_weight=0.5, style_weight=3.0, tv_weight=0.25)
    job = whole(settings)
    sums = {"paper": {"content_weight", "tv_weight"}, "johnson": {"tv_weight"}, "calibrated": set()}[weighting]
    for number, scale in enumerate(job.scales):
        here = dataclasses.replace(job, number=number).settings_here()
        for name in ("content_weight", "style_weight", "tv_weight"):
            positions = scale.height * scale.width / (192 * 256) if name in sums else 1.0
            assert getattr(here, name) * positions == pytest.approx(getattr(settings, name), rel=1e-12)
        assert (here.iterations, here.evaluations) == (scale.last_iteration, scale.last_evaluation)
    assert dataclasses.replace(here, iterations=300) == settings


def test_pictures_are_those_of_the_result_reduced() -> None:
    job = whole(Settings(scales=0))
    scene, painting = job.pictures_here()
    assert isinstance(painting, Picture)
    assert (scene.height, scene.width, painting.height, painting.width) == (96, 128, 60, 80)
    np.testing.assert_array_equal(scene.pixels, job.scene.resized(96, 128).pixels)
    np.testing.assert_array_equal(painting.pixels, job.painting.resized(60, 80).pixels)  # type: ignore[union-attr]


def wave(height: int, width: int) -> np.ndarray:
    """Return a picture that repeats: one period of a wave along each side."""
    rows, columns = ((np.arange(side) + 0.5) * 2 * np.pi / side for side in (height, width))
    plane = 0.5 + 0.2 * np.sin(rows)[:, None] + 0.2 * np.cos(columns)
    return np.repeat(plane[..., None], 3, axis=2).astype(np.float32)


def test_a_seamless_image_is_enlarged_as_one_that_repeats() -> None:
    before, after = (Scale(0, side, side + 16, 1, 1, None) for side in (64, 96))
    errors = []
    for seamless in (True, False):
        found = enlarged(as_vector(wave(64, 80)), Settings(seamless=seamless), before, after)
        errors.append(np.abs(found - as_vector(wave(96, 112))).max())
    assert errors[0] < 1e-3 < errors[1]


def test_an_enlarged_image_keeps_its_bounds() -> None:
    before, after = (Scale(0, side, side, 1, 1, None) for side in (32, 45))
    x = as_vector(np.random.default_rng(0).integers(0, 2, (32, 32, 3)).astype(np.float32))
    clipped, free = (enlarged(x, Settings(bounded=bounded), before, after) for bounded in (True, False))
    assert (clipped.min(), clipped.max()) == (0, 1)
    assert free.min() < 0 < 1 < free.max()
    np.testing.assert_array_equal(np.clip(free, 0, 1), clipped)
