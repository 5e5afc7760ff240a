r"""What `make demo` runs: one of the project's own pictures in the style of another, as demo.png, in half a minute.

The network is the one inside the package, so that nothing has to be there first. The same on the command line:

    impasto transfer examples/harbour.jpg examples/swirls.jpg -o demo.png --model vgg19-slim --preset fast --size 384 \
        --iterations 80
"""

import sys
import time
from pathlib import Path

from impasto.engine import Engine, ImpastoError, preset
from impasto.engine.events import Event, Iteration
from impasto.models.store import EMBEDDED

ROOT = Path(__file__).resolve().parent.parent
CONTENT, STYLE, OUTPUT = ROOT / "examples" / "harbour.jpg", ROOT / "examples" / "swirls.jpg", ROOT / "demo.png"
SETTINGS = preset("fast", size=384, iterations=80)
LIMIT_S = 26.0  # with all that comes before the first iteration; the last evaluation and the file follow


def main() -> int:
    """Render the demo and return the exit status."""
    deadline_s = time.monotonic() + LIMIT_S
    done = 0

    def show(event: Event) -> None:
        nonlocal done
        if isinstance(event, Iteration):
            done = event.iteration
            if done % 10 == 0:
                print(f"iteration {done} of {SETTINGS.iterations}, loss {event.loss:.4g}", flush=True)

    def late() -> bool:
        return done > 0 and time.monotonic() > deadline_s

    try:
        with Engine(EMBEDDED) as engine:
            print(
                f"{CONTENT.name} in the style of {STYLE.name}, {SETTINGS.size} px, on {engine.network.name}", flush=True
            )
            result = engine.transfer(CONTENT, STYLE, SETTINGS, on_event=show, cancel=late)
        result.save(OUTPUT)
    except ImpastoError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"wrote {OUTPUT}: {result.iterations} iterations in {result.seconds:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
