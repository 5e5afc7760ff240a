"""Whether two revisions compute the same numbers, bit for bit, on the CPU provider.

    python -m impasto.bench.studies.same_numbers [--base REVISION] [--new REVISION] [--reference FOLDER] [--json FILE]

Run it in a clone. Each revision's own code runs every case of `fixed_runs` (vgg19-slim, 128 px), each case in a process
of its own. The arrays are compared by their bytes. The status is 1 where a case differs or fails.
"""

import argparse
import hashlib
import importlib.util
import sys
import tempfile
import time
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from impasto.bench.conditions import conditions
from impasto.bench.record import check_place, write
from impasto.bench.studies import fixed_runs
from impasto.bench.studies.checkout import WORKING_TREE, Checkout, check_out
from impasto.bench.studies.fixed_runs import CASES, Numbers, full_weights
from impasto.bench.studies.study import as_script
from impasto.models.errors import ImpastoError

BASE = "ad24494"
SAME, DIFFERS, FAILED, SKIPPED = "same", "differs", "failed", "skipped"
DIFFERENCE = 1  # the status


@dataclass(frozen=True)
class Verdict:
    """What the comparison of one case found.

    Attributes:
        case: its name.
        verdict: "same", "differs", "failed" or "skipped".
        arrays: how many were compared.
        differing: the names of those that differ.
        values: of these, both values of every float that stands alone, in hexadecimal.
        largest: the largest difference of two values at one place; None where shapes or types differ.
        reason: why the case failed or was skipped.
    """

    case: str
    verdict: str
    arrays: int = 0
    differing: tuple[str, ...] = ()
    values: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    largest: float | None = 0.0
    reason: str = ""


def main() -> None:
    """Run the cases on both revisions, print a line for each, write the record."""
    arguments = _arguments()
    if arguments.json is not None:
        check_place(arguments.json)
    verdicts: list[Verdict] = []
    with tempfile.TemporaryDirectory(prefix="impasto-same-") as name:
        folder = Path(name)
        base = check_out(arguments.base, folder / "base")
        new = check_out(arguments.new, folder / "new")
        kept = None if arguments.reference is None else arguments.reference / _key(base, arguments.threads)
        _print(f"{base.label} against {new.label}; CPU provider, threads: {arguments.threads}")
        for case in arguments.case or CASES:
            start_s = time.perf_counter()
            verdict = _judged(case, base, new, arguments.threads, folder, kept)
            verdicts.append(verdict)
            _print(f"{_line(verdict)}   {time.perf_counter() - start_s:5.1f} s")
    bad = [verdict for verdict in verdicts if verdict.verdict in (DIFFERS, FAILED)]
    skipped = sum(verdict.verdict == SKIPPED for verdict in verdicts)
    _print(f"{len(verdicts) - len(bad) - skipped} same, {len(bad)} not, {skipped} skipped")
    if arguments.json is not None:
        write(arguments.json, _record(base, new, arguments.threads, verdicts))
    if bad:
        sys.exit(DIFFERENCE)


def compare(case: str, base: Numbers, new: Numbers) -> Verdict:
    """Compare the numbers of a case, by name, type, shape and bytes; NaN equals NaN of the same bits."""
    names = sorted({*base, *new})
    differing = tuple(name for name in names if not _identical(base.get(name), new.get(name)))
    distances = [_largest(base.get(name), new.get(name)) for name in differing]
    largest = None if None in distances else max((value for value in distances if value is not None), default=0.0)
    values = {name: (_hex(base[name]), _hex(new[name])) for name in differing if _are_floats(base, new, name)}
    return Verdict(case, DIFFERS if differing else SAME, len(names), differing, values, largest)


def _judged(case: str, base: Checkout, new: Checkout, threads: int, folder: Path, kept: Path | None) -> Verdict:
    """Run a case on both revisions, or read the base's numbers where they were kept, and compare."""
    reason = _not_here(case)
    if reason:
        return Verdict(case, SKIPPED, reason=reason)
    try:
        older = _numbers(case, base, threads, folder / "base", kept)
        return compare(case, older, _numbers(case, new, threads, folder / "new", None))
    except ImpastoError as error:
        return Verdict(case, FAILED, largest=None, reason=str(error))


def _numbers(case: str, code: Checkout, threads: int, folder: Path, kept: Path | None) -> Numbers:
    """Return the numbers of a case on a revision's code.

    Raises:
        ImpastoError: the process failed.
    """
    name = hashlib.sha256(case.encode()).hexdigest()[:8]
    place = folder / name
    place.mkdir()
    output = place / "numbers.npz" if kept is None else kept / f"{name}.npz"
    found = _read(output)
    if found is not None:
        return found
    variables = {"IMPASTO_NO_CACHE": "1", "IMPASTO_CACHE": str(place / "cache"), "IMPASTO_MAX_PIXELS": ""}
    unfinished = output.with_suffix(".part.npz")
    unfinished.parent.mkdir(parents=True, exist_ok=True)
    words = ("-m", "impasto.bench.studies.fixed_runs", case, code.tree, place, threads, unfinished.absolute())
    code.python(*words, variables=variables, threads=threads)
    unfinished.replace(output)
    return _read(output) or {}


def _read(path: Path) -> Numbers | None:
    """Return the arrays of a file; None where there is none, or none that is whole."""
    try:
        with np.load(path) as arrays:
            return dict(arrays)
    except (OSError, ValueError, zipfile.BadZipFile):
        return None


def _identical(a: np.ndarray | None, b: np.ndarray | None) -> bool:
    if a is None or b is None:
        return False
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def _largest(a: np.ndarray | None, b: np.ndarray | None) -> float | None:
    """Return the largest difference of two arrays of numbers; None where they cannot be subtracted."""
    if a is None or b is None or a.shape != b.shape or not all(array.dtype.kind in "fiu" for array in (a, b)):
        return None
    return float(np.max(np.abs(a.astype(np.float64) - b.astype(np.float64)), initial=0.0))


def _are_floats(base: Numbers, new: Numbers, name: str) -> bool:
    """Return whether an array is a single float on both sides."""
    return all(
        name in numbers and numbers[name].ndim == 0 and numbers[name].dtype.kind == "f" for numbers in (base, new)
    )


def _hex(value: np.ndarray) -> str:
    return float(value).hex()


def _not_here(case: str) -> str:
    """Return why a case cannot be run on this machine; empty where it can."""
    if CASES[case] is not fixed_runs.refine_full:
        return ""
    if full_weights() is None:
        return "no weights/vgg19_oxford.safetensors in IMPASTO_SHARED"
    return "" if importlib.util.find_spec("torch") else "no PyTorch, which makes the network from its weights"


def _key(base: Checkout, threads: int) -> str:
    """Return a folder's name for the numbers of a revision: others where cases, machine or libraries differ.

    Raises:
        ImpastoError: the base is the working tree, whose numbers no commit names.
    """
    if base.name == WORKING_TREE:
        raise ImpastoError("bad --reference: the working tree has no results to keep; give a --base revision")
    here = conditions(threads)
    libraries = {name: version for name, version in here["versions"].items() if name != "impasto"}
    parts = (Path(fixed_runs.__file__).read_text(), here["processor"], libraries, threads)
    return f"{base.commit[:12]}-{hashlib.sha256(repr(parts).encode()).hexdigest()[:8]}"


def _line(verdict: Verdict) -> str:
    """Return a row of the table."""
    largest = "other shapes" if verdict.largest is None else f"{verdict.largest:.3g}"
    said = {
        SAME: f"{verdict.arrays} arrays",
        DIFFERS: f"largest difference {largest}: {_some(verdict.differing)}",
    }.get(verdict.verdict, verdict.reason)
    return f"{verdict.case:32}{verdict.verdict:9}{said}"


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def _record(base: Checkout, new: Checkout, threads: int, verdicts: Sequence[Verdict]) -> dict[str, Any]:
    return {
        "what": (__doc__ or "").strip(),
        "conditions": conditions(threads),
        "base": base.label,
        "new": new.label,
        "cases": [asdict(verdict) for verdict in verdicts],
    }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", default=BASE, help="a revision of git (default: %(default)s)")
    parser.add_argument("--new", default=WORKING_TREE, help="the revision to judge (default: %(default)s)")
    parser.add_argument("--case", action="append", choices=CASES, metavar="NAME", help="only this one; repeatable")
    parser.add_argument("--threads", type=int, default=1, help="of the processor (default: %(default)s)")
    parser.add_argument("--reference", type=Path, help="a folder that keeps the base's numbers for the next time")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the record here")
    return parser.parse_args()


def _print(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    as_script(main)
