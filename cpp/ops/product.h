// Products of small matrices: rows of A, contiguous, by panels of B of a few vectors' width.

// Rows and vectors of one block of the result: what the set's registers hold.
constexpr int ROWS = 6;
constexpr int PANEL = IMPASTO_PANEL;  // vectors

template <int R, int J>
IMPASTO_INLINE void block_product(const float* a, std::int64_t a_stride, const float* b, float* c, std::int64_t c_stride,
                                  std::int64_t depth, std::int64_t run) {
  for (std::int64_t begin = 0; begin < depth; begin += run) {
    const std::int64_t end = begin + run < depth ? begin + run : depth;
    V sum[R][J];
    for (int r = 0; r < R; r++)
      for (int j = 0; j < J; j++) sum[r][j] = V{};
    for (std::int64_t i = begin; i < end; i++, b += J * LANES) {
      V row[J];
      for (int j = 0; j < J; j++) row[j] = load(b + j * LANES);
      for (int r = 0; r < R; r++)
        for (int j = 0; j < J; j++) sum[r][j] += a[r * a_stride + i] * row[j];
    }
    for (int r = 0; r < R; r++)
      for (int j = 0; j < J; j++) {
        float* place = c + r * c_stride + j * LANES;
        store(place, begin ? load(place) + sum[r][j] : sum[r][j]);
      }
  }
}

template <int J>
static void panel_product(const float* a, std::int64_t a_stride, const float* b, float* c, std::int64_t c_stride,
                          std::int64_t rows, std::int64_t depth, std::int64_t run) {
  for (; rows >= ROWS; rows -= ROWS, a += ROWS * a_stride, c += ROWS * c_stride)
    block_product<ROWS, J>(a, a_stride, b, c, c_stride, depth, run);
  switch (rows) {
    case 5: block_product<5, J>(a, a_stride, b, c, c_stride, depth, run); break;
    case 4: block_product<4, J>(a, a_stride, b, c, c_stride, depth, run); break;
    case 3: block_product<3, J>(a, a_stride, b, c, c_stride, depth, run); break;
    case 2: block_product<2, J>(a, a_stride, b, c, c_stride, depth, run); break;
    case 1: block_product<1, J>(a, a_stride, b, c, c_stride, depth, run); break;
    default: break;
  }
}

// C [rows, columns] = A [rows, depth] B, with `run` products added up before their sum joins the total: rounding grows with
// the length of a chain of additions. B is in panels one after another, each [depth, PANEL vectors] and the last as
// narrow as it needs to be; columns is a multiple of LANES.
static void product(const float* a, std::int64_t a_stride, const float* b, float* c, std::int64_t c_stride,
                    std::int64_t rows, std::int64_t depth, std::int64_t columns, std::int64_t run) {
  for (std::int64_t k = 0; k < columns;) {
    const std::int64_t vectors = (columns - k) / LANES < PANEL ? (columns - k) / LANES : PANEL;
    const float* panel = b + k * depth;
    if (vectors == 4) panel_product<4>(a, a_stride, panel, c + k, c_stride, rows, depth, run);
    else if (vectors == 3) panel_product<3>(a, a_stride, panel, c + k, c_stride, rows, depth, run);
    else if (vectors == 2) panel_product<2>(a, a_stride, panel, c + k, c_stride, rows, depth, run);
    else panel_product<1>(a, a_stride, panel, c + k, c_stride, rows, depth, run);
    k += vectors * LANES;
  }
}

// Where element (i, k) of B [depth, columns] is in its panels.
static inline std::int64_t panel_place(std::int64_t i, std::int64_t k, std::int64_t depth, std::int64_t columns) {
  const std::int64_t width = PANEL * LANES, start = k / width * width;
  const std::int64_t own = columns - start < width ? columns - start : width;
  return start * depth + i * own + (k - start);
}
