#include "square_root.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "failure.hpp"

namespace impasto_core {
namespace {

constexpr double kFloor = 1e-4;       // of the mean variance; export/square_root.py says why
constexpr double kResolution = 1e-6;  // eigenvalues below this share are float32's rounding

using Vector = std::vector<double>;

// Householder's reduction to tridiagonal form, with the transformations in the rows of v
// (Golub and Van Loan, "Matrix Computations", section 8.3.1; the form of EISPACK's tred2).
void tridiagonalise(Vector& v, Vector& diagonal, Vector& beside, std::size_t n) {
    const auto at = [&](std::size_t row, std::size_t column) -> double& { return v[row * n + column]; };
    for (std::size_t i = n - 1; i > 0; --i) {
        double scale = 0, h = 0;
        for (std::size_t k = 0; k < i; ++k) scale += std::abs(at(i, k));
        if (i == 1 || scale == 0) {
            beside[i] = at(i, i - 1);
        } else {
            for (std::size_t k = 0; k < i; ++k) {
                at(i, k) /= scale;
                h += at(i, k) * at(i, k);
            }
            const double f = at(i, i - 1), g = f >= 0 ? -std::sqrt(h) : std::sqrt(h);
            beside[i] = scale * g;
            h -= f * g;
            at(i, i - 1) = f - g;
            // p = A u / h, in `beside`; A is the lower triangle, read row by row.
            std::fill(beside.begin(), beside.begin() + static_cast<std::ptrdiff_t>(i), 0.0);
            for (std::size_t j = 0; j < i; ++j) {
                double sum = at(j, j) * at(i, j);
                const double u = at(i, j);
                for (std::size_t k = 0; k < j; ++k) {
                    sum += at(j, k) * at(i, k);
                    beside[k] += at(j, k) * u;
                }
                beside[j] += sum;
            }
            double half = 0;
            for (std::size_t j = 0; j < i; ++j) {
                beside[j] /= h;
                half += beside[j] * at(i, j);
            }
            half /= h + h;
            for (std::size_t j = 0; j < i; ++j) beside[j] -= half * at(i, j);
            for (std::size_t j = 0; j < i; ++j) {
                const double u = at(i, j), q = beside[j];
                for (std::size_t k = 0; k <= j; ++k) at(j, k) -= u * beside[k] + q * at(i, k);
            }
        }
        diagonal[i] = h;
    }
    diagonal[0] = 0;
    beside[0] = 0;
    Vector sums(n);
    for (std::size_t i = 0; i < n; ++i) {
        if (diagonal[i] != 0) {  // Q <- Q - (Q u) u^T / h, for the leading rows, row by row
            std::fill(sums.begin(), sums.begin() + static_cast<std::ptrdiff_t>(i), 0.0);
            for (std::size_t k = 0; k < i; ++k)
                for (std::size_t j = 0; j < i; ++j) sums[j] += at(i, k) * at(k, j);
            for (std::size_t k = 0; k < i; ++k) {
                const double u = at(i, k) / diagonal[i];
                for (std::size_t j = 0; j < i; ++j) at(k, j) -= sums[j] * u;
            }
        }
        diagonal[i] = at(i, i);
        at(i, i) = 1;
        for (std::size_t j = 0; j < i; ++j) at(i, j) = at(j, i) = 0;
    }
}

// The implicit QL iteration (Golub and Van Loan, section 8.3.3; the form of EISPACK's tql2). `w` holds the
// transformations transposed, so that a rotation works on two rows.
bool diagonalise(Vector& w, Vector& diagonal, Vector& beside, std::size_t n) {
    for (std::size_t i = 1; i < n; ++i) beside[i - 1] = beside[i];
    beside[n - 1] = 0;
    for (std::size_t l = 0; l < n; ++l) {
        for (int turn = 0;; ++turn) {
            std::size_t m = l;
            for (; m + 1 < n; ++m) {
                const double size = std::abs(diagonal[m]) + std::abs(diagonal[m + 1]);
                if (std::abs(beside[m]) + size == size) break;
            }
            if (m == l) break;
            if (turn == 60) return false;
            double g = (diagonal[l + 1] - diagonal[l]) / (2 * beside[l]);
            double r = std::hypot(g, 1.0);
            g = diagonal[m] - diagonal[l] + beside[l] / (g + std::copysign(r, g));
            double s = 1, c = 1, p = 0;
            bool early = false;
            for (std::size_t i = m; i-- > l;) {
                double f = s * beside[i];
                const double b = c * beside[i];
                r = std::hypot(f, g);
                beside[i + 1] = r;
                if (r == 0) {
                    diagonal[i + 1] -= p;
                    beside[m] = 0;
                    early = true;
                    break;
                }
                s = f / r;
                c = g / r;
                g = diagonal[i + 1] - p;
                r = (diagonal[i] - g) * s + 2 * c * b;
                p = s * r;
                diagonal[i + 1] = g + p;
                g = c * r - b;
                double* low = w.data() + i * n;
                double* high = low + n;
                for (std::size_t k = 0; k < n; ++k) {
                    f = high[k];
                    high[k] = s * low[k] + c * f;
                    low[k] = c * low[k] - s * f;
                }
            }
            if (early) continue;
            diagonal[l] -= p;
            beside[l] = g;
            beside[m] = 0;
        }
    }
    return true;
}

}  // namespace

std::vector<float> covariance_root(const float* covariance, std::size_t size) {
    Vector v(covariance, covariance + size * size), diagonal(size), beside(size), w(size * size);
    tridiagonalise(v, diagonal, beside, size);
    for (std::size_t row = 0; row < size; ++row)
        for (std::size_t column = 0; column < size; ++column) w[column * size + row] = v[row * size + column];
    std::vector<float> root(size * size);
    if (!diagonalise(w, diagonal, beside, size))
        throw Failure(IMPASTO_RUNTIME_FAILED, "the eigenvalues of a covariance matrix of the style image did not converge; take another image");
    std::vector<std::size_t> order(size);
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return diagonal[a] < diagonal[b]; });
    const double largest = std::max(0.0, diagonal[order.back()]);
    double total = 0, count = 0;
    for (double& value : diagonal) {
        value = value > kResolution * largest ? value : 0.0;
        total += value;
        count += value > 0 ? 1 : 0;
    }
    const double raise = kFloor / (static_cast<double>(size) - kFloor * count) * total;
    for (std::size_t column = 0; column < size; ++column) {
        const std::size_t from = order[column];
        const double length = diagonal[from] > 0 ? std::sqrt(diagonal[from] + raise) : 0.0;
        for (std::size_t row = 0; row < size; ++row)
            root[row * size + column] = static_cast<float>(w[from * size + row] * length);
    }
    return root;
}

}  // namespace impasto_core
