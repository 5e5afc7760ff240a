"""Which way of showing pictures a terminal has, as far as its environment tells.

Nothing is asked of the terminal itself: an answer that comes late would be read as the user's typing.
"""

from collections.abc import Mapping

from impasto.models.errors import ImpastoError

KITTY, ITERM, SIXEL, BLOCKS, BLOCKS_256 = "kitty", "iterm", "sixel", "blocks", "blocks256"
KINDS = (KITTY, ITERM, SIXEL, BLOCKS, BLOCKS_256)
AUTO = "auto"

_KITTY_TERMS = ("xterm-kitty", "xterm-ghostty")
_ITERM_PROGRAMS = ("iTerm.app", "WezTerm", "mintty")
_SIXEL_TERMS = ("foot", "mlterm", "contour", "yaft")
_TRUE_COLOUR_PROGRAMS = ("vscode", "Hyper", "ghostty")


def detect(environ: Mapping[str, str]) -> str | None:
    """Return one of `KINDS`; None if the terminal is not known to have even 256 colours.

    Inside tmux and screen it is always blocks, because they do not pass pictures on.
    """
    term, program = environ.get("TERM", ""), environ.get("TERM_PROGRAM", "")
    if term == "dumb":
        return None
    inside = "TMUX" in environ or term.startswith(("screen", "tmux"))
    if not inside:
        if "KITTY_WINDOW_ID" in environ or term in _KITTY_TERMS or program == "ghostty":
            return KITTY
        if program in _ITERM_PROGRAMS:
            return ITERM
        if term.startswith(_SIXEL_TERMS) or "sixel" in term:
            return SIXEL
    if environ.get("COLORTERM", "").lower() in ("truecolor", "24bit") or term.endswith("-direct"):
        return BLOCKS
    if program in _TRUE_COLOUR_PROGRAMS or "WT_SESSION" in environ:
        return BLOCKS
    return BLOCKS_256 if "256color" in term or program == "Apple_Terminal" else None


def chosen(name: str, environ: Mapping[str, str]) -> str | None:
    """Return the kind that was named, or the detected one.

    Raises:
        ImpastoError: no such kind.
    """
    if name not in (AUTO, *KINDS):
        raise ImpastoError(f"unknown preview {name!r}: allowed are {AUTO}, {', '.join(KINDS)}")
    return detect(environ) if name == AUTO else name
