"""What `make demo` runs: one of the project's own pictures in the style of another, as demo.png.

The network is the cache's `vgg19`; where there is none, the weights under IMPASTO_SHARED are imported once.
"""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONTENT, STYLE = ROOT / "examples" / "harbour.jpg", ROOT / "examples" / "swirls.jpg"
OUTPUT = ROOT / "demo.png"
OPTIONS = ("--size", "384", "--iterations", "80")


def main() -> int:
    """Render the demo and return the command's exit status."""
    impasto = Path(sys.executable).with_name("impasto")
    model = find_model()
    if model is None:
        print(
            "no network yet: run `.venv/bin/impasto weights fetch vgg19`, "
            "or `.venv/bin/impasto weights import FILE --name vgg19` with a file that you have, then `make demo` again",
            file=sys.stderr,
        )
        return 2
    command: list[str | Path] = [impasto, "transfer", CONTENT, STYLE, "-o", OUTPUT, "--model", model, *OPTIONS]
    print("$ impasto", *(os.path.relpath(part, ROOT) if isinstance(part, Path) else part for part in command[1:]))
    status = subprocess.run(command, check=False).returncode
    if status == 0:
        print(f"wrote {OUTPUT}")
    return status


def find_model() -> str | None:
    """Return what to give as --model, or None where there is no network."""
    from impasto.models.store import list_networks

    if "vgg19" in list_networks():
        return "vgg19"
    weights = Path(os.environ.get("IMPASTO_SHARED", ROOT.parent / "shared")) / "weights" / "vgg19_oxford.safetensors"
    return str(weights) if weights.is_file() else None


if __name__ == "__main__":
    sys.exit(main())
