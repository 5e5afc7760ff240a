// Average and maximum of windows of 2x2, and their gradients. A maximum's cotangent goes to the first of equal values.

static std::size_t pooling_tasks(const Pooling& s) { return static_cast<std::size_t>(s.batch * (s.height / 2)); }

// NaN if one of them is: the comparison is false then, and the NaN has to win on either side.
IMPASTO_INLINE V larger(V a, V b) { return b > a || b != b ? b : a; }

static void pooling(const Pooling& s, const float* x, float* y, std::size_t task) {
  const std::int64_t rows = s.height / 2, columns = s.width / 2, line = s.width * s.channels;
  const std::int64_t n = static_cast<std::int64_t>(task) / rows, row = static_cast<std::int64_t>(task) % rows;
  const float* from = x + (n * s.height + 2 * row) * line;
  float* to = y + static_cast<std::int64_t>(task) * columns * s.channels;
  for (std::int64_t p = 0; p < columns; p++, from += 2 * s.channels, to += s.channels)
    for (std::int64_t c = 0; c < s.channels; c += LANES) {
      const V a = load(from + c), b = load(from + s.channels + c);
      const V e = load(from + line + c), f = load(from + line + s.channels + c);
      store(to + c, s.maximum ? larger(larger(a, b), larger(e, f)) : 0.25f * ((a + b) + (e + f)));
    }
}

static std::size_t pooling_gradient_tasks(const Pooling& s) {
  return static_cast<std::size_t>(s.batch * ((s.height + 1) / 2));
}

static void pooling_gradient(const Pooling& s, const float* d, const float* x, const float* addend, const float* mask,
                             float* d_x, std::size_t task) {
  const std::int64_t blocks = (s.height + 1) / 2, n = static_cast<std::int64_t>(task) / blocks;
  const std::int64_t block = static_cast<std::int64_t>(task) % blocks, line = s.width * s.channels;
  const std::int64_t start = (n * s.height + 2 * block) * line, rows = s.height / 2, columns = s.width / 2;
  const std::int64_t own_rows = s.height - 2 * block < 2 ? 1 : 2;
  const V zero = {};
  for (std::int64_t p = 0; p < (s.width + 1) / 2; p++) {
    const bool window = block < rows && p < columns;
    const std::int64_t own_columns = s.width - 2 * p < 2 ? 1 : 2, corner = start + 2 * p * s.channels;
    const float* cotangent = d + ((n * rows + block) * columns + p) * s.channels;
    for (std::int64_t c = 0; c < s.channels; c += LANES) {
      const V whole = window ? load(cotangent + c) : zero;
      V left = zero;  // the maximum, until its first place is found
      if (s.maximum && window) {
        const float* at = x + corner + c;
        left = larger(larger(load(at), load(at + s.channels)), larger(load(at + line), load(at + line + s.channels)));
      }
      V given = whole;  // what is still to be given away
      for (std::int64_t i = 0; i < own_rows; i++)
        for (std::int64_t j = 0; j < own_columns; j++) {
          const std::int64_t place = corner + i * line + j * s.channels + c;
          V value = 0.25f * whole;
          if (s.maximum) {
            value = zero;
            if (window) {
              const auto here = load(x + place) == left;
              value = here ? given : zero;
              given = here ? zero : given;
            }
          }
          if (addend) value += load(addend + place);
          if (mask) value = masked(value, load(mask + place));
          store(d_x + place, value);
        }
    }
  }
}
