"""What is said of samples, against the standard library, NumPy and numbers worked out by hand."""

import math
import statistics

import numpy as np
import pytest

from impasto.bench.series import PERCENTILES, Point, Series, summarise


def test_five_samples_by_hand() -> None:
    # Sorted 1 2 4 7 11; a percentile q is at place 4 q / 100: p25 at 1, p50 at 2, p75 at 3, p90 at 3.6, p99 at 3.96.
    found = summarise([4.0, 1.0, 11.0, 2.0, 7.0])
    expected = {"count": 5, "mean": 5.0, "min": 1.0, "max": 11.0, "median": 4.0, "iqr": 7.0 - 2.0}
    expected |= {"p50": 4.0, "p90": 7.0 + 0.6 * 4.0, "p95": 7.0 + 0.8 * 4.0, "p99": 7.0 + 0.96 * 4.0}
    assert found == pytest.approx(expected)


@pytest.mark.parametrize("count", [2, 3, 10, 101])
def test_against_statistics_and_numpy(count: int) -> None:
    samples = np.random.default_rng(count).lognormal(size=count).tolist()
    found = summarise(samples)
    cuts = statistics.quantiles(samples, n=100, method="inclusive")
    assert found["median"] == found["p50"] == pytest.approx(statistics.median(samples))
    assert found["mean"] == pytest.approx(statistics.fmean(samples))
    assert found["iqr"] == pytest.approx(cuts[74] - cuts[24])
    for rank in PERCENTILES:
        assert found[f"p{rank}"] == pytest.approx(cuts[rank - 1]) == float(np.percentile(samples, rank))


def test_one_sample_is_everything() -> None:
    found = summarise([0.25])
    assert (found["count"], found["iqr"]) == (1, 0.0)
    assert {found[key] for key in ("mean", "min", "max", "median", "p50", "p90", "p95", "p99")} == {0.25}


@pytest.mark.parametrize("samples", [[], [1.0, math.nan], [math.inf]])
def test_nothing_to_say(samples: list[float]) -> None:
    with pytest.raises(ValueError, match="of which"):
        summarise(samples)


def test_a_series_has_its_samples_and_their_summary() -> None:
    series = Series("a", "transfer", 64, [1.0, 3.0], 20, 5.0, (Point(1, 0.5, 9.0),), {"setup_s": 2.0})
    found = series.as_dict()
    assert (found["samples_s"], found["curve"], found["setup_s"]) == ([1.0, 3.0], [[1, 0.5, 9.0]], 2.0)
    assert found["summary_s"] == summarise([1.0, 3.0])
    assert (found["evaluations"], found["loss"]) == (20, 5.0)
