"""Run many cases, and keep those that fail.

python -m tests.fuzz --count 50000 [--cli] [--seed S] [--first N] [--kind image ...] [--keep FOLDER] [--json FILE]
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tests.fuzz.cases import SHARES, Cases
from tests.fuzz.judge import judge


def main() -> None:
    """Run the cases that the arguments name; the status is 1 if one fails."""
    arguments = _arguments()
    kinds = {kind: SHARES[kind] for kind in arguments.kind or SHARES}
    record: dict[str, Any] = {
        **vars(arguments),
        "read": 0,
        "refused": 0,
        "failures": [],
        "longest_s": 0.0,
        "peak_mb": 0.0,
    }
    start_s, lines = time.perf_counter(), Counter[str]()
    with tempfile.TemporaryDirectory(prefix="impasto-fuzz-") as name:
        cases = Cases(Path(name), seed=arguments.seed, through_cli=arguments.cli, kinds=kinds)
        for number in range(arguments.first, arguments.first + arguments.count):
            case = cases.make(number)
            verdict = judge(case.action)
            record["refused" if verdict.refused else "read"] += 1
            record["longest_s"] = max(record["longest_s"], verdict.seconds)
            record["peak_mb"] = max(record["peak_mb"], verdict.peak_bytes / 1e6)
            lines[case.name.split()[0]] += 1
            if verdict.problem:
                record["failures"].append({"number": number, "case": case.name, "problem": verdict.problem[-3000:]})
                print(f"{number} {case.name}: {verdict.problem.strip().splitlines()[-1][:200]}", flush=True)
                if arguments.keep:
                    arguments.keep.mkdir(parents=True, exist_ok=True)
                    shutil.copy(case.path, arguments.keep / f"{number}{case.path.suffix}")
            if arguments.json and (number % 1000 == 0 or number == arguments.first + arguments.count - 1):
                record |= {
                    "done": number + 1 - arguments.first,
                    "kinds": dict(lines),
                    "seconds": time.perf_counter() - start_s,
                }
                arguments.json.write_text(json.dumps({**record, "keep": str(arguments.keep), "json": None}, indent=1))
    print(
        f"{arguments.count} cases: {record['read']} read, {record['refused']} refused, "
        f"{len(record['failures'])} failed; longest {record['longest_s']:.2f} s, most memory {record['peak_mb']:.0f} MB"
    )
    sys.exit(bool(record["failures"]))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=2000, help="number of cases")
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--seed", type=int, default=0, help="seed of all cases")
    parser.add_argument("--cli", action="store_true", help="through the command line")
    parser.add_argument("--kind", choices=list(SHARES), action="append", help="these kinds of file only; repeatable")
    parser.add_argument("--keep", type=Path, help="folder for the files that fail")
    parser.add_argument("--json", type=Path, help="file for the record")
    return parser.parse_args()


if __name__ == "__main__":
    main()
