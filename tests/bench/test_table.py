"""What a person sees at the end."""

import pytest

from impasto.bench import table
from impasto.bench.series import Series


def columns(line: str) -> list[str]:
    return [cell.strip() for cell in line.split("  ") if cell.strip()]


def test_a_line_has_spread_percentiles_evaluations_and_loss(capsys: pytest.CaptureFixture[str]) -> None:
    table.show_series([Series("impasto cpu fp32", "evaluation", 64, [0.001, 0.002, 0.004, 0.007, 0.011], 1, 123456.7)])
    heading, line = capsys.readouterr().out.splitlines()
    expected = ["what", "px", "of", "n", "median", "IQR", "p50", "p90", "p95", "p99", "evaluations", "loss"]
    assert columns(heading) == expected
    times = ["4 ms", "5 ms", "4 ms", "9.4 ms", "10.2 ms", "10.8 ms"]
    assert columns(line) == ["impasto cpu fp32", "64", "evaluation", "5", *times, "1", "1.2346e+05"]


@pytest.mark.parametrize(
    ("value", "said"),
    [(0.0123456, "12.3 ms"), (0.9994, "999 ms"), (0.9996, "1 s"), (1.5, "1.5 s"), (123.456, "123 s")],
)
def test_seconds_have_three_digits(value: float, said: str) -> None:
    assert table.seconds(value) == said


def test_long_names_are_not_cut_off_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    name = "torch compile-fp16-channels-last-cuda-graph"
    table.show_series([Series(name, "evaluation", 4096, [0.123] * 3, 64, -1.2345e10)])
    assert name in capsys.readouterr().out
