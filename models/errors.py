"""The base of every error that a user can mend.

It lives at the bottom of the import order so that all four packages can raise it.
"""


class ImpastoError(Exception):
    """A mistake that the caller can mend: bad input, a missing file, a setting out of range.

    The message is one line: what is wrong, the value, what is allowed, what to do next.
    The command line prints it without a traceback and exits with status 2.
    """
