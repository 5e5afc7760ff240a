"""Reconstructions: a transfer with terms left out (figure 1 of Gatys et al., arXiv:1508.06576).

The optimiser starts from white noise. It searches for an image that has the features of another image at a tap
(content, equation 1), or the same Gram matrices at a set of taps (style, equations 4 and 5), which makes a texture.
"""

from collections.abc import Sequence
from typing import Any, cast

from impasto.engine.settings import CONTENT_TAPS, STYLE_TAPS, Settings, Tap

CONTENT_HISTORY, STYLE_HISTORY = 20, 40
"""Curvature pairs for L-BFGS: more than a transfer's 10, because a reconstruction is run for its exactness.

Differs from Gatys et al.: they reconstruct by gradient descent, which keeps none.
Measured with 10 pairs instead, seed 0, 500 evaluations, the share of the loss of the noise that is left: content from
relu1_1 5.7e-11 for 6.0e-11, from relu3_1 1.93e-5 for 1.82e-5, from relu4_1 1.29e-4 for 1.38e-4, from relu5_1 1.55e-3
for 1.38e-3; style from all five taps at 192 px 8.9e-4 for 7.6e-4 (bench/results/reconstructions.json).
"""

CONTENT_PRECISION = "fp32"
"""Default precision of the convolutions. Near the end, a content loss consists of small differences of features.

Neckarfront at 128 px from relu1_1, 500 evaluations: 0.1 grey levels off in fp32, and 6.4 in bf16.
"""


def content_reconstruction(taps: Sequence[Tap | str] = CONTENT_TAPS, **others: Any) -> Settings:
    """Return the settings of a content reconstruction: `Engine.transfer(IMAGE, None, settings)`.

    Args:
        taps: the taps whose features the result should have; the loss is 1/2 sum (F - P)^2.
        others: other values of `Settings`. The run starts from noise unless they contain another `init`.

    Raises:
        ImpastoError: as `Settings`.
    """
    chosen = {"init": "noise", "history": CONTENT_HISTORY, **others}
    return Settings(content_taps=cast(tuple[Tap | str, ...], taps), content_weight=1.0, style_weight=0.0, **chosen)


def style_reconstruction(taps: Sequence[Tap | str] = STYLE_TAPS, **others: Any) -> Settings:
    """Return the settings of a style reconstruction: `Engine.transfer(None, IMAGE, settings)`.

    Args:
        taps: the taps whose Gram matrices the result should have; the loss is sum w_l E_l with w_l = 1 / taps.
        others: other values of `Settings`, such as `canvas` and `seamless`. The run starts from noise unless they
            contain another `init`.

    Raises:
        ImpastoError: as `Settings`.
    """
    chosen = {"init": "noise", "history": STYLE_HISTORY, **others}
    return Settings(style_taps=cast(tuple[Tap | str, ...], taps), content_weight=0.0, style_weight=1.0, **chosen)
