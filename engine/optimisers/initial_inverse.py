"""The inverse Hessian that L-BFGS begins with in every iteration, before its curvature pairs correct it.

Other programs for style transfer use one number, the curvature along the last step (Nocedal and Wright, Numerical
Optimization, 2006, equation 7.20). But the objective is far from equally steep: the coarse luminance of an image
changes easily and its fine colour differences hardly, by factors that depend on the taps. The curvature pairs that
L-BFGS keeps anyway show those factors for every band of spatial frequencies, at the price of two Fourier transforms an
iteration.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from impasto.engine.optimisers.solution import State, StateError, Vector, restore_array, restored_number

BANDS = 10
MEMORY = 0.98
FIRST_PAIRS, EVERY = 20, 4
STRENGTH = 0.5
NARROWEST, WIDEST = 1e-2, 1e3
PRIOR_PAIRS = 10
_TINY = float(np.finfo(np.float64).tiny)


class ScalarInverse:
    """A multiple of the identity: s'y / y'y of the last pair."""

    def __init__(self) -> None:
        self._factor = np.float32(1)

    def observe(self, s: Vector, y: Vector, s_dot_y: float, y_dot_y: float) -> None:
        """Take over the curvature along s of a pair with s_dot_y above 0."""
        self._factor = np.float32(s_dot_y / y_dot_y)

    def multiply(self, vector: Vector, out: Vector) -> None:
        """Write the multiple of a vector into out, which must be another one."""
        np.multiply(vector, self._factor, out=out)

    def state(self) -> State:
        """Return the factor."""
        return {"factor": np.array(self._factor)}

    def restore(self, state: State) -> None:
        """Continue from what `state` returned."""
        self._factor = restored_number(state, "factor", np.float32)


class SpectralInverse:
    """One factor for every band of spatial frequencies and every colour direction, learnt from the pairs.

    A pair bounds the curvature along itself by s'y / s's and y'y / s'y, whose geometric mean is |y| / |s|. So a band b
    with energies |s_b|^2 and |y_b|^2, averaged over the pairs, has a factor of

        h (|s_b| / (h |y_b|))^0.5, between h / 100 and 1000 h,

    where h is the scalar of the last pair. The mean is a long one, because a matrix that changes at every step would
    devalue the pairs kept; once it has settled, every fourth pair is enough for it. The exponent moves the factors
    towards each other, as bounds and a curvature that varies over the image require. Measured on VGG-19, style of The
    Starry Night at 192 px from noise, share of the loss left after 500 evaluations: exponent 0 9.6e-4, 0.4 8.3e-4, 0.5
    7.6e-4, 0.6 8.1e-4, 0.7 1.0e-3; and with 0.7 and a mean of ten pairs 1.06e-3.

    A run that reconstructs a photograph from noise does better when it changes the coarse first. The mean then begins
    with a number of prior pairs. Their y is the same in every band, and their s falls as 1 / frequency, as the
    amplitudes of natural images do (Field, Journal of the Optical Society of America A 4, 1987). Without them, fine
    patterns settle around wrong coarse colours, and one such spot holds most of the loss for hundreds of evaluations.

    Differs from Gatys et al.: they descend along the gradient alone, and the L-BFGS of the CVPR version has one factor.

    The transform is the orthonormal Fourier transform of a periodic image, and over the channels the cosine transform:
    for RGB luminance, red against blue, and green against both. All of it is symmetric, so the matrix is too.
    """

    def __init__(self, shape: tuple[int, int, int], prior_pairs: int = 0) -> None:
        """Prepare for vectors that hold an image.

        Args:
            shape: channels, height and width.
            prior_pairs: the weight of what natural images are like, in pairs, 0 or more.
        """
        self._shape = channels, height, width = shape
        self._band = bands_of(np.abs(np.fft.fftfreq(height)), np.fft.rfftfreq(width), max(height, width))
        self._mirrored = np.full(self._band.shape, 2.0, np.float32)  # a half spectrum stands for the other half
        self._mirrored[:, 0] = 1
        if width % 2 == 0:
            self._mirrored[:, -1] = 1
        self._colours = cosine_transform(channels)
        self._energies = np.zeros((2, channels, BANDS))  # of s and of y
        self._stretch = np.ones((channels, BANDS))  # |s| / |y|
        self._pairs, self._prior_pairs = 0, prior_pairs
        self._scalar = 1.0
        self._factors = np.ones((channels, *self._band.shape), np.float32)
        # Kept: fresh memory would take longer than the transforms. Untyped: numpy.fft's stubs admit float64 alone.
        self._colour_image: Any = np.empty(shape, np.float32)
        self._spectrum: Any = np.empty(self._factors.shape, np.complex64)
        self._power = np.empty(self._factors.shape, np.float32)

    def observe(self, s: Vector, y: Vector, s_dot_y: float, y_dot_y: float) -> None:
        """Follow the pair's curvature, and add its energies to the mean if it is one of the pairs that count."""
        if self._pairs < FIRST_PAIRS or self._pairs % EVERY == 0:
            self._learn(s, y, y_dot_y)
        self._pairs += 1
        self._scalar = s_dot_y / y_dot_y
        self._set_factors()

    def _set_factors(self) -> None:
        """Spread the bands' factors over the spectrum."""
        scalar = self._scalar
        factors = scalar * np.clip((self._stretch / scalar) ** STRENGTH, NARROWEST, WIDEST)
        np.take(factors.astype(np.float32), self._band, axis=1, out=self._factors)

    def _learn(self, s: Vector, y: Vector, y_dot_y: float) -> None:
        """Add a pair's energies to the mean, as shares of its y'y: pairs count alike, early or late."""
        energies = np.stack([self._energy(s), self._energy(y)]) / y_dot_y
        if self._prior_pairs and self._pairs == 0:
            self._energies = prior_energies(self._shape) * energies.sum((1, 2), keepdims=True)
        counted = self._prior_pairs + self._pairs
        memory = min(MEMORY ** (1 if self._pairs < FIRST_PAIRS else EVERY), 1 - 1 / (counted + 1))
        self._energies = memory * self._energies + (1 - memory) * energies
        self._stretch = np.sqrt(self._energies[0] / np.maximum(self._energies[1], _TINY))

    def multiply(self, vector: Vector, out: Vector) -> None:
        """Write the product with a vector into out."""
        self._transform(vector)
        self._spectrum *= self._factors
        np.fft.ifft(self._spectrum, axis=1, norm="ortho", out=self._spectrum)
        np.fft.irfft(self._spectrum, n=self._shape[2], axis=2, norm="ortho", out=self._colour_image)
        np.dot(self._colours.T, _flat(self._colour_image), out=out.reshape(self._shape[0], -1))

    def state(self) -> State:
        """Return the energies of the bands, their ratio, and the scalar and number of the pairs."""
        return {
            "energies": self._energies.copy(),
            "stretch": self._stretch.copy(),
            "scalar": np.array(self._scalar),
            "pairs": np.array(self._pairs, np.int64),
        }

    def restore(self, state: State) -> None:
        """Continue from what `state` returned; before the first pair all factors are 1."""
        restore_array(self._energies, state, "energies")
        restore_array(self._stretch, state, "stretch")
        self._scalar = float(restored_number(state, "scalar"))
        self._pairs = int(restored_number(state, "pairs", np.int64))
        if self._scalar <= 0 or self._pairs < 0:
            raise StateError(f"scalar is {self._scalar} and pairs {self._pairs}; they must be positive")
        if self._pairs:
            self._set_factors()

    def _transform(self, vector: Vector) -> None:
        """Write the spectrum of a vector's colour directions into the buffer for it."""
        np.dot(self._colours, vector.reshape(self._shape[0], -1), out=_flat(self._colour_image))
        np.fft.rfft2(self._colour_image, norm="ortho", out=self._spectrum)

    def _energy(self, vector: Vector) -> NDArray[np.float64]:
        """Return the sum of squares in every band, [channels, BANDS]; they add up to that of the vector."""
        self._transform(vector)
        np.square(np.abs(self._spectrum, out=self._power), out=self._power)
        self._power *= self._mirrored
        return np.stack([np.bincount(self._band.ravel(), one.ravel(), BANDS) for one in self._power])


InitialInverse = ScalarInverse | SpectralInverse
"""A positive definite matrix that follows the curvature pairs."""


def _flat(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return [channels, H W] of [channels, H, W], on the same memory."""
    return image.reshape(image.shape[0], -1)


def bands_of(vertical: NDArray[np.floating], horizontal: NDArray[np.floating], side: int) -> NDArray[np.intp]:
    """Return the band, from 0, of every pair of frequencies; bands are of equal width in octaves.

    Args:
        vertical: cycles per pixel, 0 to 0.5, [A].
        horizontal: cycles per pixel, 0 to 0.5, [B].
        side: the longer side of the image, in pixels.

    Returns:
        [A, B].
    """
    lowest, highest = _frequency_range(side)
    frequencies = np.hypot(vertical[:, None], horizontal[None, :])
    octaves = np.log(np.maximum(frequencies, lowest) / lowest) / np.log(highest / lowest)
    return np.asarray(np.minimum(octaves * BANDS, BANDS - 1), np.intp)


def _frequency_range(side: int) -> tuple[float, float]:
    """Return the lowest frequency that counts as more than zero and the highest of all, in cycles per pixel."""
    return 1 / max(side, 2), math.sqrt(0.5)


def prior_energies(shape: tuple[int, int, int]) -> NDArray[np.float64]:
    """Return how s and y are spread over the bands in a prior pair: |s| / |y| falls as 1 / frequency.

    Args:
        shape: channels, height and width of the image.

    Returns:
        Shares, [2, channels, BANDS]; those of s sum to 1, and those of y do too.
    """
    channels, height, width = shape
    lowest, highest = _frequency_range(max(height, width))
    of_s = np.tile((lowest / highest) ** (2 * np.arange(BANDS) / BANDS), (channels, 1))
    return np.stack([of_s / of_s.sum(), np.full(of_s.shape, 1 / of_s.size)])


def cosine_transform(size: int) -> NDArray[np.float32]:
    """Return the orthonormal cosine transform (DCT-II), [size, size]."""
    k, n = np.arange(size)[:, None], np.arange(size)[None, :]
    matrix = np.cos(np.pi * (n + 0.5) * k / size) * np.sqrt(np.where(k == 0, 1, 2) / size)
    return np.asarray(matrix, np.float32)
