"""Reconstructions: a transfer with terms left out (figure 1 of Gatys et al., arXiv:1508.06576).

From white noise, an image is looked for that has the features of another at some tap (content: equation 1), or the
same Gram matrices at a set of taps (style, which makes a texture: equations 4 and 5).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from impasto.engine.settings import CONTENT_TAPS, STYLE_TAPS, Settings, Tap

RECONSTRUCTION_HISTORY = 20
"""Curvature pairs for L-BFGS: twice a transfer's, because a reconstruction is worth running until it is exact.

From relu2_1 at 128 px, 500 evaluations leave 1.50e-5 of the loss with 20 pairs, 1.55e-5 with 10 and 1.49e-5 with 40.
"""

_COMMON: Mapping[str, Any] = {"init": "noise", "history": RECONSTRUCTION_HISTORY}


def content_reconstruction(taps: Sequence[Tap | str] = CONTENT_TAPS, **others: Any) -> Settings:
    """Return the settings of a content reconstruction: `Engine.transfer(IMAGE, None, settings)`.

    Args:
        taps: whose features are to be met; the loss is 1/2 sum (F - P)^2.
        others: of `Settings`; it starts from noise unless they say otherwise.

    Raises:
        ImpastoError: as `Settings`.
    """
    return Settings(content_taps=tuple(taps), content_weight=1.0, style_weight=0.0, **{**_COMMON, **others})


def style_reconstruction(taps: Sequence[Tap | str] = STYLE_TAPS, **others: Any) -> Settings:
    """Return the settings of a style reconstruction: `Engine.transfer(None, IMAGE, settings)`.

    Args:
        taps: whose Gram matrices are to be met; the loss is sum w_l E_l with w_l = 1 / taps.
        others: of `Settings`, such as `canvas` and `seamless`; it starts from noise unless they say otherwise.

    Raises:
        ImpastoError: as `Settings`.
    """
    return Settings(style_taps=tuple(taps), content_weight=0.0, style_weight=1.0, **{**_COMMON, **others})
