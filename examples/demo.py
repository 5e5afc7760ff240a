"""What `make demo` runs: one of the project's own pictures in the style of another, as demo.png.

The network is the one inside the package, so that nothing has to be there first.
"""

import os
import subprocess
import sys
from pathlib import Path

from impasto.models.store import EMBEDDED

ROOT = Path(__file__).resolve().parent.parent
CONTENT, STYLE = ROOT / "examples" / "harbour.jpg", ROOT / "examples" / "swirls.jpg"
OUTPUT = ROOT / "demo.png"
OPTIONS = (
    "--model",
    EMBEDDED,
    "--size",
    "512",
    "--weighting",
    "calibrated",
    "--iterations",
    "100",
    "--timeout-s",
    "24",
)


def main() -> int:
    """Render the demo and return the command's exit status."""
    impasto = Path(sys.executable).with_name("impasto")
    command: list[str | Path] = [impasto, "transfer", CONTENT, STYLE, "-o", OUTPUT, *OPTIONS]
    print("$ impasto", *(os.path.relpath(part, ROOT) if isinstance(part, Path) else part for part in command[1:]))
    sys.stdout.flush()
    status = subprocess.run(command, check=False).returncode
    if status == 0:
        print(f"wrote {OUTPUT}")
    return status


if __name__ == "__main__":
    sys.exit(main())
