"""A transfer asks no network, and leaves nothing of ONNX Runtime's telemetry in the user's folders."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

SETTING = "ORT_DISABLE_TELEMETRY"
LEFT_BY_TELEMETRY = "Microsoft"


def bare_environment() -> dict[str, str]:
    """Return what a program needs to start. ONNX Runtime sends nothing where a variable such as CI says so."""
    return {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH", "TMPDIR") if name in os.environ}


def transfer(home: Path, *before: object, telemetry: str | None = None, dry: bool = False) -> None:
    """Run a transfer in a process of its own whose home folder is `home`."""
    environment = bare_environment() | {"HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")}
    if telemetry is not None:
        environment[SETTING] = telemetry
    images = (REPOSITORY / "examples" / name for name in ("harbour.jpg", "swirls.jpg"))
    words = ["transfer", *images, "-o", home / "o.png", "--size", 64, "--iterations", 2, "--quiet", "--provider", "cpu"]
    code = "from impasto.engine.cli import main; main()"
    line = [*before, sys.executable, "-c", code, *words, *(["--dry-run"] if dry else [])]
    subprocess.run([str(word) for word in line], env=environment, check=True, capture_output=True)


@pytest.mark.skipif(shutil.which("strace") is None, reason="no strace on this machine")
def test_a_transfer_connects_to_nothing(tmp_path: Path) -> None:
    record = tmp_path / "connections.txt"

    transfer(tmp_path, "strace", "-f", "-e", "trace=connect,sendto,sendmsg,sendmmsg", "-o", record)

    lines = record.read_text().splitlines()
    assert any("exited with 0" in line for line in lines)  # strace followed the program
    assert not [line for line in lines if "AF_INET" in line or "nscd" in line or "resolve" in line]


@pytest.mark.parametrize("dry", [False, True], ids=["transfer", "dry run"])
def test_the_telemetry_leaves_no_folder(tmp_path: Path, dry: bool) -> None:
    transfer(tmp_path, dry=dry)

    assert not list(tmp_path.rglob(LEFT_BY_TELEMETRY))
    assert dry or (tmp_path / "o.png").exists()


@pytest.mark.parametrize("given", [None, "0"])
def test_the_users_own_setting_is_kept(given: str | None) -> None:
    environment = bare_environment() | ({} if given is None else {SETTING: given})
    code = f"import os; import impasto.engine.runtime.ort; print(os.environ['{SETTING}'])"

    printed = subprocess.check_output([sys.executable, "-c", code], env=environment, text=True)

    assert printed.strip() == (given or "1")


@pytest.mark.skipif(sys.platform != "linux", reason="the folder's place is known on Linux")
def test_the_folder_appears_with_telemetry(tmp_path: Path) -> None:
    """Show that the check of `test_the_telemetry_leaves_no_folder` can fail."""
    transfer(tmp_path, telemetry="0")

    if not list(tmp_path.rglob(LEFT_BY_TELEMETRY)):
        pytest.skip("ONNX Runtime's telemetry leaves no folder on this machine")
