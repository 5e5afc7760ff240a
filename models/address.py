"""Web addresses: which ones a download takes, and their form in messages, without a user's name and password."""

import base64
import re
import string
from dataclasses import dataclass
from urllib.parse import SplitResult, quote, unquote, urljoin, urlsplit

SHOWN_CHARACTERS = 200
HOST = re.compile(r"[a-z0-9._-]+|[0-9a-f]*:[0-9a-f:.]*(%[a-z0-9._-]+)?", re.IGNORECASE)
BAD_HOST = "its host is neither a name nor an IP address"


class BadAddressError(ValueError):
    """An address that cannot be requested. The message is one line and holds neither name nor password."""


@dataclass(frozen=True)
class Address:
    """An address that can be requested.

    Attributes:
        url: the address without a user's name and password, in ASCII.
        authorization: the `Authorization` header for name and password; None without them.
    """

    url: str
    authorization: str | None = None

    def redirected(self, location: str) -> "Address":
        """Return the address to which a server redirects. Another server gets neither name nor password.

        Args:
            location: the `Location` header, which may be relative.

        Raises:
            BadAddressError: the new address cannot be requested.
        """
        location = quote(location, encoding="iso-8859-1", errors="replace", safe=string.punctuation)
        try:
            target = parse_address(_joined(self.url, location))
        except BadAddressError as error:
            raise BadAddressError(f"{self.url} redirects to a {error}") from error
        if target.authorization is None and _origin(target.url) == _origin(self.url):
            return Address(target.url, self.authorization)
        return target


def parse_address(text: str) -> Address:
    """Return an address of the form `http[s]://[NAME[:PASSWORD]@]HOST[:PORT][/PATH]`.

    Raises:
        BadAddressError: the text has another form, its port is out of range, or it is not in ASCII.
    """
    try:
        return _parsed(text)
    except ValueError as error:
        raise BadAddressError(_refused(text, error)) from error


def _parsed(text: str) -> Address:
    if not text.isascii():
        raise ValueError("it is not in ASCII; write its host in the form xn--... and its path with %XX")
    if not text.isprintable() or " " in text:
        raise ValueError("it has a space or a control character; write it as %XX")
    if not re.match(r"https?://[^/]", text, flags=re.IGNORECASE):
        raise ValueError("expected http://... or https://...")
    try:
        parts = urlsplit(text)
        host = (parts.hostname or "").encode("idna").decode("ascii")  # as the socket does: labels of 1 to 63 characters
    except ValueError as error:
        raise ValueError(BAD_HOST) from error
    if not HOST.fullmatch(host):
        raise ValueError(BAD_HOST)
    if not _is_port(parts):
        raise ValueError("its port is not a number from 1 to 65535")
    user, at, place = parts.netloc.rpartition("@")
    return Address(parts._replace(netloc=place).geturl(), _basic(user) if at else None)


def _joined(base: str, location: str) -> str:
    """Return an address relative to another one; itself where it cannot be taken apart."""
    try:
        return urljoin(base, location)
    except ValueError:
        return location


def _is_port(parts: SplitResult) -> bool:
    try:
        return parts.port != 0
    except ValueError:
        return False


def _basic(user: str) -> str:
    """Return the header of a name and password that an address holds percent-encoded (RFC 7617)."""
    name, _, password = user.partition(":")
    return "Basic " + base64.b64encode(f"{unquote(name)}:{unquote(password)}".encode()).decode("ascii")


def _refused(text: str, why: ValueError) -> str:
    """Return what is wrong with an address, without all up to the last @: nobody knows where a password ends there."""
    shown = re.sub(r"^([a-zA-Z.+-]*:?//)?.*@", r"\1***@", text, flags=re.DOTALL)
    return f"bad address {shown[:SHOWN_CHARACTERS]!r}: {why}"


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc
