"""One clear line where the extra is not installed."""

import importlib.util

from impasto.models.errors import ImpastoError

_SERVER = ("fastapi", "uvicorn", "python_multipart", "prometheus_client", "limits", "httpx")
_CLIENT = ("httpx",)


def require_extra(*, client_only: bool = False) -> None:
    """Check that the packages of the extra `serve` are installed.

    Raises:
        ImpastoError: one is missing.
    """
    for name in _CLIENT if client_only else _SERVER:
        if importlib.util.find_spec(name) is None:
            command = "`impasto remote`" if client_only else "`impasto serve`"
            raise ImpastoError(f"{command} needs the package {name}: run `pip install 'impasto[serve]'`")
