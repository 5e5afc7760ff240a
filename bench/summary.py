"""What is said of a set of samples."""

from collections.abc import Sequence

import numpy as np

PERCENTILES = (50, 90, 95, 99)


def summarise(samples: Sequence[float]) -> dict[str, float]:
    """Return count, mean, extremes, median, interquartile range and percentiles.

    Percentiles are interpolated linearly between order statistics (Hyndman and Fan, American Statistician 50, 1996,
    definition 7), which is NumPy's default. With few samples the high ones are hardly more than the maximum; the count
    is there to tell.

    Raises:
        ValueError: there are no samples, or one is not finite.
    """
    values = np.asarray(samples, np.float64)
    if not values.size or not np.isfinite(values).all():
        raise ValueError(f"{values.size} samples, of which {int(np.isfinite(values).sum())} are finite")
    low, median, high = np.percentile(values, (25, 50, 75)).tolist()
    return {
        "count": values.size,
        "mean": float(values.mean()),
        "min": float(values.min()),
        "max": float(values.max()),
        "median": median,
        "iqr": high - low,
        **{f"p{rank}": float(np.percentile(values, rank)) for rank in PERCENTILES},
    }
