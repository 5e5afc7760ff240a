"""Damaged files of every format, through the readers and through the command line."""

from pathlib import Path

import pytest

from tests.fuzz.cases import Cases
from tests.fuzz.judge import judge

READ_CASES, CLI_CASES = 1850, 150


@pytest.mark.parametrize(("count", "through_cli"), [(READ_CASES, False), (CLI_CASES, True)], ids=["readers", "cli"])
def test_damaged_files_are_read_or_refused_in_one_line(tmp_path: Path, count: int, through_cli: bool) -> None:
    cases = Cases(tmp_path, seed=1, through_cli=through_cli)
    failures, read = [], 0
    for number in range(count):
        case = cases.make(number)
        verdict = judge(case.action)
        read += not verdict.refused
        if verdict.problem:
            failures.append(f"case {number}, {case.name}: {verdict.problem}")
    assert not failures, "\n".join(failures)
    assert 0 < read < count  # some damage does no harm, and most does
