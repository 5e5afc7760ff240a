// The first layer, direct: 3 channels are too few for Winograd's transforms to pay.

constexpr int COLOURS = 3, TAPS = 27, TAPS_PADDED = 32;
constexpr std::int64_t GRADIENT_ROWS = 8;  // of the image, in one task

static std::size_t first_tasks(const FirstConvolution& s) { return static_cast<std::size_t>(s.batch * s.out_height()); }

static std::size_t first_scratch(const FirstConvolution& s) {
  return static_cast<std::size_t>(COLOURS * 3 * (s.width + 2 * s.pad));
}

template <int P, int J>
IMPASTO_INLINE void first_block(const float* const* rows, const float* weights, const float* bias, bool clip, float* y,
                                std::int64_t out) {
  V sum[P][J];
  for (int j = 0; j < J; j++) {
    const V start = bias ? load(bias + j * LANES) : V{};
    for (int p = 0; p < P; p++) sum[p][j] = start;
  }
  for (int tap = 0; tap < TAPS; tap++) {
    V w[J];
    for (int j = 0; j < J; j++) w[j] = load(weights + tap * out + j * LANES);
    const float* x = rows[tap / 3] + tap % 3;
    for (int p = 0; p < P; p++)
      for (int j = 0; j < J; j++) sum[p][j] += x[p] * w[j];
  }
  for (int p = 0; p < P; p++)
    for (int j = 0; j < J; j++) store(y + p * out + j * LANES, clip ? relu(sum[p][j]) : sum[p][j]);
}

template <int J>
static void first_row(const FirstConvolution& s, const float* const* rows, const float* weights, const float* bias,
                      float* y) {
  std::int64_t x = 0;
  const float* moved[9];
  for (; x < s.out_width();) {
    for (int i = 0; i < 9; i++) moved[i] = rows[i] + x;
    if (x + ROWS <= s.out_width()) {
      first_block<ROWS, J>(moved, weights, bias, s.relu, y + x * s.out, s.out);
      x += ROWS;
    } else {
      first_block<1, J>(moved, weights, bias, s.relu, y + x * s.out, s.out);
      x++;
    }
  }
}

// One row of results.
static void first(const FirstConvolution& s, const float* x, const float* weights, const float* bias, float* y,
                  std::size_t task, float* scratch) {
  const std::int64_t n = static_cast<std::int64_t>(task) / s.out_height();
  const std::int64_t row = static_cast<std::int64_t>(task) % s.out_height(), padded = s.width + 2 * s.pad;
  const float* rows[9];
  for (int c = 0; c < COLOURS; c++)
    for (int i = 0; i < 3; i++) {
      float* to = scratch + (c * 3 + i) * padded;
      const std::int64_t from = row + i - s.pad;
      const bool inside = from >= 0 && from < s.height;
      for (std::int64_t p = 0; p < padded; p++) to[p] = 0;
      if (inside)
        __builtin_memcpy(to + s.pad, x + ((n * COLOURS + c) * s.height + from) * s.width,
                         static_cast<std::size_t>(s.width) * sizeof(float));
      rows[c * 3 + i] = to;
    }
  float* result = y + static_cast<std::int64_t>(task) * s.out_width() * s.out;
  std::int64_t k = 0;
  for (; k + 2 * LANES <= s.out; k += 2 * LANES) first_row<2>(s, rows, weights + k, bias ? bias + k : nullptr, result + k);
  for (; k < s.out; k += LANES) first_row<1>(s, rows, weights + k, bias ? bias + k : nullptr, result + k);
}

static std::size_t first_gradient_weight_floats(std::int64_t out) { return static_cast<std::size_t>(out * TAPS_PADDED); }

static void transform_first_gradient_weights(std::int64_t out, const float* w, float* weights) {
  for (std::int64_t k = 0; k < out; k++)
    for (std::int64_t tap = 0; tap < TAPS_PADDED; tap++)
      weights[panel_place(k, tap, out, TAPS_PADDED)] = tap < TAPS ? w[k * TAPS + tap] : 0.f;
}

static std::size_t first_gradient_tasks(const FirstConvolution& s) {
  return static_cast<std::size_t>(s.batch * ((s.height + GRADIENT_ROWS - 1) / GRADIENT_ROWS));
}

static std::size_t first_gradient_scratch(const FirstConvolution& s) {
  return static_cast<std::size_t>((GRADIENT_ROWS + 2) * s.out_width() * TAPS_PADDED);
}

// Some rows of the image. What each result's cotangent gives to its 27 inputs is a product of matrices; every input
// then gathers its 9 parts.
static void first_gradient(const FirstConvolution& s, const float* d, const float* weights, float* d_x, std::size_t task,
                           float* scratch) {
  const std::int64_t blocks = (s.height + GRADIENT_ROWS - 1) / GRADIENT_ROWS;
  const std::int64_t n = static_cast<std::int64_t>(task) / blocks;
  const std::int64_t begin = static_cast<std::int64_t>(task) % blocks * GRADIENT_ROWS;
  const std::int64_t end = begin + GRADIENT_ROWS < s.height ? begin + GRADIENT_ROWS : s.height;
  const std::int64_t height = s.out_height(), width = s.out_width();
  // an input of row y takes part in the results of rows y + pad - 2 to y + pad
  const std::int64_t low = begin + s.pad - 2 < 0 ? 0 : begin + s.pad - 2;
  const std::int64_t high = end + s.pad < height ? end + s.pad : height;
  if (high > low)
    product(d + (n * height + low) * width * s.out, s.out, weights, scratch, TAPS_PADDED, (high - low) * width, s.out,
            TAPS_PADDED, s.out);
  for (std::int64_t y = begin; y < end; y++)
    for (int c = 0; c < COLOURS; c++) {
      float* row = d_x + ((n * COLOURS + c) * s.height + y) * s.width;
      for (std::int64_t x = 0; x < s.width; x++) row[x] = 0;
      for (int i = 0; i < 3; i++) {
        const std::int64_t from = y + s.pad - i;
        if (from < low || from >= high) continue;
        for (int j = 0; j < 3; j++) {
          // results x + pad - j between 0 and width
          const std::int64_t left = j - s.pad > 0 ? j - s.pad : 0;
          const std::int64_t right = width + j - s.pad < s.width ? width + j - s.pad : s.width;
          const float* part = scratch + ((from - low) * width + s.pad - j) * TAPS_PADDED + (c * 3 + i) * 3 + j;
          for (std::int64_t x = left; x < right; x++) row[x] += part[x * TAPS_PADDED];
        }
      }
    }
}
