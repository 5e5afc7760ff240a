"""The code of a git revision, unpacked so that another process runs it and no other code."""

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from impasto.models.errors import ImpastoError

ROOT = Path(__file__).resolve().parents[2]
WORKING_TREE = "the working tree"
FOLDERS = ("models", "export", "engine", "server")  # and bench
STUDIES = "impasto.bench.studies"
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True)
class Checkout:
    """The files of a revision and the folder from which its code is imported.

    Attributes:
        name: as the user gave it.
        commit: the revision's full hash; of the working tree the hash of its HEAD.
        tree: the revision's files.
        packages: a folder that holds `impasto/`, for PYTHONPATH.
    """

    name: str
    commit: str
    tree: Path
    packages: Path

    @property
    def label(self) -> str:
        """The name and the commit, for a table."""
        return f"{self.name} ({self.commit[:7]})"

    def python(
        self,
        *words: object,
        cwd: Path | None = None,
        variables: Mapping[str, str] | None = None,
        threads: int = 0,
    ) -> str:
        """Run Python on the revision's code and return what it prints.

        Python is started with -S, so that it finds the other installed packages and not an editable install of impasto.
        `impasto.bench.studies` is the working tree's, whichever the revision.

        Args:
            words: the command line after `python`.
            cwd: the folder in which it runs; None is this process's.
            variables: added to the environment; an empty one is removed from it.
            threads: of the linear algebra libraries; 0 leaves them alone.

        Raises:
            ImpastoError: the process failed; the message is the last line that it wrote to stderr.
        """
        installed = [entry for entry in sys.path if Path(entry).name in ("site-packages", "dist-packages")]
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(self.packages), *installed]),
            **(dict.fromkeys(_THREADS, str(threads)) if threads else {}),
            **(variables or {}),
        }
        ended = subprocess.run(  # noqa: S603 - this very Python
            [sys.executable, "-S", "-P", *map(str, words)],
            cwd=cwd,
            env={name: value for name, value in environment.items() if value},
            capture_output=True,
            text=True,
            check=False,
        )
        if ended.returncode:
            lines = ended.stderr.strip().splitlines() or ["it printed no error"]
            raise ImpastoError(f"{self.label}: status {ended.returncode}: {lines[-1].strip()}")
        return ended.stdout


def check_out(revision: str, folder: Path) -> Checkout:
    """Unpack a revision into a folder; the working tree is used where it lies.

    Args:
        revision: of git, such as a tag or HEAD~10; or `WORKING_TREE`.
        folder: it is made, and holds the files from then on.

    Raises:
        ImpastoError: this is no clone, or it has no such revision.
    """
    tree, packages = folder / "tree", folder / "packages"
    if revision == WORKING_TREE:
        commit, tree = git("rev-parse", "HEAD"), ROOT
    else:
        commit = git("rev-parse", "--verify", f"{revision}^{{commit}}")
        tree.mkdir(parents=True)
        archive = subprocess.run(  # noqa: S603
            ["git", "archive", commit],  # noqa: S607
            cwd=ROOT,
            check=True,
            capture_output=True,
        ).stdout
        subprocess.run(["tar", "-x", "-C", str(tree)], input=archive, check=True)  # noqa: S603, S607
    _link(tree, packages / "impasto")
    return Checkout(revision, commit, tree, packages)


def _link(tree: Path, packages: Path) -> None:
    """Make a folder that is imported as `impasto`: a revision's code, but for the studies, which measure it."""
    (packages / "bench").mkdir(parents=True)
    for name in FOLDERS:
        if (tree / name).is_dir():
            (packages / name).symlink_to(tree / name)
    for path in (tree / "bench").iterdir():
        (packages / "bench" / path.name).symlink_to(path)
    studies = packages / "bench" / "studies"
    studies.unlink(missing_ok=True)
    studies.symlink_to(ROOT / "bench" / "studies")


def check_imports(tree: Path) -> None:
    """Refuse to continue in a process that imported code from outside a revision's files.

    Raises:
        ImpastoError: a module of impasto lies elsewhere.
    """
    for name, module in sorted(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if not name.startswith("impasto.") or name.startswith(STUDIES) or file is None:
            continue
        if not Path(file).resolve().is_relative_to(tree.resolve()):
            raise ImpastoError(f"the code of another revision was imported: {name} from {file}")


def git(*arguments: str) -> str:
    """Return what git prints.

    Raises:
        ImpastoError: it failed.
    """
    ended = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603, S607
    if ended.returncode:
        raise ImpastoError(f"git {' '.join(arguments)}: {ended.stderr.strip()}; run it in a clone, with a revision")
    return ended.stdout.strip()
