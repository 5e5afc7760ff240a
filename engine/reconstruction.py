"""Reconstructions: a transfer with terms left out (figure 1 of Gatys et al., arXiv:1508.06576).

From white noise, an image is looked for that has the features of another at some tap (content: equation 1), or the
same Gram matrices at a set of taps (style, which makes a texture: equations 4 and 5).
"""

from collections.abc import Sequence
from typing import Any

from impasto.engine.settings import CONTENT_TAPS, STYLE_TAPS, Settings, Tap

CONTENT_HISTORY, STYLE_HISTORY = 20, 40
"""Curvature pairs for L-BFGS: more than a transfer's 10, because a reconstruction is run for its exactness.

Measured on single runs of 500 evaluations; the share of the loss of the noise that is left with 10, 20 and 40 pairs:
content from relu3_1 at 128 px 4.5e-5, 3.4e-5 and 7.9e-5, from relu4_1 1.69e-4, 1.69e-4 and 1.46e-4; style from all
five taps at 192 px 1.1e-3, 1.05e-3 and 9.6e-4, and no less with 100.
"""


def content_reconstruction(taps: Sequence[Tap | str] = CONTENT_TAPS, **others: Any) -> Settings:
    """Return the settings of a content reconstruction: `Engine.transfer(IMAGE, None, settings)`.

    Args:
        taps: whose features are to be met; the loss is 1/2 sum (F - P)^2.
        others: of `Settings`; it starts from noise unless they say otherwise.

    Raises:
        ImpastoError: as `Settings`.
    """
    return Settings(
        content_taps=tuple(taps), content_weight=1.0, style_weight=0.0, **{**_from_noise(CONTENT_HISTORY), **others}
    )


def style_reconstruction(taps: Sequence[Tap | str] = STYLE_TAPS, **others: Any) -> Settings:
    """Return the settings of a style reconstruction: `Engine.transfer(None, IMAGE, settings)`.

    Args:
        taps: whose Gram matrices are to be met; the loss is sum w_l E_l with w_l = 1 / taps.
        others: of `Settings`, such as `canvas` and `seamless`; it starts from noise unless they say otherwise.

    Raises:
        ImpastoError: as `Settings`.
    """
    return Settings(
        style_taps=tuple(taps), content_weight=0.0, style_weight=1.0, **{**_from_noise(STYLE_HISTORY), **others}
    )


def _from_noise(history: int) -> dict[str, Any]:
    return {"init": "noise", "history": history}
