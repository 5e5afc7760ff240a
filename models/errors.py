"""The base of every error that a user can correct.

It lives at the bottom of the import order so that all four packages can raise it.
"""


class ImpastoError(Exception):
    """A mistake that the caller can correct: bad input, a missing file, a setting out of range.

    The message is one line: what is wrong, the value, what is allowed, what to do next.
    The command line prints it without a traceback and exits with status 2.
    """


def one_line(error: Exception, longest: int | None = None) -> str:
    """Return an error's text without line breaks, cut to a length; the name of its type where it has no text."""
    return " ".join(str(error).split())[:longest] or type(error).__name__
