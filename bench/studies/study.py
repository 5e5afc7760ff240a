"""How the measurements that are no commands of `impasto` end: a user's mistake is one line and status 2."""

import sys
from collections.abc import Callable

from impasto.models.errors import ImpastoError

USAGE_ERROR = 2


def as_script(main: Callable[[], None]) -> None:
    """Run a module's main function."""
    try:
        main()
    except ImpastoError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(USAGE_ERROR)
