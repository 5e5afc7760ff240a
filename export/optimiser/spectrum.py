"""The product with the spectral initial inverse, without a Fourier operator.

The sines and cosines of H rows and of W columns are orthonormal matrices Q_H and Q_W. A product of two of them lies in
one band of spatial frequencies, whatever its phases, so that scaling the entries of Q_H X Q_W^T band by band is exactly
what scaling the complex spectrum is; and matrix products are what accelerators are fastest at.
"""

import numpy as np
from numpy.typing import NDArray

from impasto.export.optimiser.algebra import Algebra, Quantity
from impasto.export.optimiser.state import Spectrum, StepForm

_TINY = float(np.finfo(np.float64).tiny)


def real_fourier(size: int) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Return the orthonormal real Fourier basis of a periodic signal, and the frequency of each of its rows.

    Returns:
        [n, n] for size n, a row per basis signal: the constant, then cosine and sine of 1/n, 2/n, ... cycles per
        sample; and [n], their frequencies.
    """
    rows = np.arange(size)
    frequencies = (rows + 1) // 2 * (1 / size)
    phases = 2 * np.pi * frequencies[:, None] * np.arange(size)[None, :]
    basis = np.where((rows % 2 == 1)[:, None], np.cos(phases), np.sin(phases))
    basis[0] = 1
    return basis / np.linalg.norm(basis, axis=1, keepdims=True), frequencies


class SpectralProduct:
    """The subgraphs of one step that have to do with the spectrum."""

    def __init__(self, algebra: Algebra, form: StepForm, spectrum: Spectrum) -> None:
        self._algebra = algebra
        self._form = form
        self._spectrum = spectrum
        _, height, width = form.shape
        rows, columns = real_fourier(height)[0].astype(np.float32), real_fourier(width)[0].astype(np.float32)
        self._rows, self._rows_back = self._both("rows", rows)
        self._columns_back, self._columns = self._both("columns", columns)
        self._colours, self._colours_back = self._both("colours", spectrum.colours)

    def learnt(
        self, energies: Quantity, s: Quantity, y: Quantity, y_dot_y: Quantity, learnt: Quantity, taken: Quantity
    ) -> Quantity:
        """Return the mean energies after a pair, from those before it, [N, 2, C, B].

        s and y are [N, n]; y'y, which is not 0, the number of pairs before, and whether this one counts [N, 1].
        """
        where, number, spectrum = self._algebra.where, self._algebra.number, self._spectrum
        early = learnt < spectrum.first_pairs
        turn = ((learnt / spectrum.every).unary("Floor") * spectrum.every).equals(learnt)
        steady = where(early, number(spectrum.memory), number(spectrum.memory**spectrum.every))
        growing = 1.0 - 1.0 / (learnt + (1 + spectrum.prior_pairs))
        memory = where(steady < growing, steady, growing).reshape(0, 1, 1, 1)
        parts = [self._energy(vector).reshape(0, 1, self._form.shape[0], spectrum.bands) for vector in (s, y)]
        new = self._algebra.concat(parts, 1) / y_dot_y.reshape(0, 1, 1, 1)
        mean = self._before(energies, new, learnt) * memory + new * (1.0 - memory)
        return where((taken & (early | turn)).reshape(0, 1, 1, 1), mean, energies)

    def _before(self, energies: Quantity, new: Quantity, learnt: Quantity) -> Quantity:
        """Return what a pair's energies, new, are added to: before the first pair the prior, on its scale."""
        if not self._spectrum.prior_pairs:
            return energies  # which counts for nothing then
        prior = self._algebra.constant("prior_energies", self._spectrum.prior[None])
        total = new.reshape(0, 2, -1).sum(2).reshape(0, 2, 1, 1)
        return self._algebra.where((learnt < 1).reshape(0, 1, 1, 1), prior * total, energies)

    def multiply(self, vector: Quantity, energies: Quantity, inverse: Quantity) -> Quantity:
        """Return the product of the initial inverse with [N, n]."""
        channels, height, width = self._form.shape
        of_s, of_y = self._algebra.columns(energies, 2, 1)
        stretch = (of_s / self._algebra.where(of_y < _TINY, _TINY, of_y)).sqrt()
        scalar = inverse.reshape(0, 1, 1, 1)
        spectrum = self._spectrum
        factors = ((stretch / scalar) ** spectrum.strength).clip(spectrum.narrowest, spectrum.widest) * scalar
        band = self._algebra.constant("band", np.asarray(spectrum.band, np.int64))
        flat = factors.cast(np.float32).reshape(0, channels, spectrum.bands)
        spread = self._algebra.op("Gather", flat, band, dtype=np.float32, axis=2)
        image = self._rows_back @ (self._transform(vector) * spread) @ self._columns_back
        return (self._colours_back @ image.reshape(0, channels, height * width)).reshape(0, self._form.size)

    def _energy(self, vector: Quantity) -> Quantity:
        """Return the sums of squares in the bands, [N, C, B], float64."""
        channels, height, width = self._form.shape
        spectrum = self._transform(vector)
        members = np.eye(self._spectrum.bands, dtype=np.float32)[self._spectrum.band.ravel()]
        squares = (spectrum * spectrum).reshape(0, channels, height * width)
        return (squares @ self._algebra.constant("band_members", members)).cast(np.float64)

    def _transform(self, vector: Quantity) -> Quantity:
        """Return the spectrum of [N, n] in colour directions, [N, C, H, W]."""
        channels, height, width = self._form.shape
        coloured = self._colours @ vector.reshape(0, channels, height * width)
        return self._rows @ coloured.reshape(0, channels, height, width) @ self._columns

    def _both(self, name: str, matrix: NDArray[np.float32]) -> tuple[Quantity, Quantity]:
        """Return a matrix and its transpose."""
        transposed = np.ascontiguousarray(matrix.T)
        return self._algebra.constant(name, matrix), self._algebra.constant(f"{name}.transposed", transposed)
