// Winograd F(4x4,3x3) as in Lavin and Gray (2015), section 4.1, but by the points 0, +-5/8, +-3/2 and infinity: their
// rounding is less than half that of 0, +-1, +-2 and infinity. All constants but those of G are exact in binary, so that
// the transforms agree with each other.
//
//   Y = A^T [ (G g G^T) * (B^T d B) ] A
//
// d is a tile of 6x6 inputs, Y one of 4x4 results. A task is a run of tiles: their transforms, 36 products of matrices
// [tiles, in] by [in, out], and the transforms back.

constexpr int TILE = 4, PATCH = 6, PLACES = 36;

constexpr float P = 0.625f, Q = 1.5f;  // the points
constexpr float P2 = P * P, P3 = P2 * P, Q2 = Q * Q, Q3 = Q2 * Q;

// B^T d for one row or column of six.
IMPASTO_INLINE void to_products(const V* d, V* v) {
  const V even_p = d[4] - Q2 * d[2], odd_p = d[3] - Q2 * d[1];
  const V even_q = d[4] - P2 * d[2], odd_q = d[3] - P2 * d[1];
  v[0] = (d[4] + (P2 * Q2) * d[0]) - (P2 + Q2) * d[2];
  v[1] = even_p + P * odd_p;
  v[2] = even_p - P * odd_p;
  v[3] = even_q + Q * odd_q;
  v[4] = even_q - Q * odd_q;
  v[5] = (d[5] + (P2 * Q2) * d[1]) - (P2 + Q2) * d[3];
}

// A^T m for one row or column of six.
IMPASTO_INLINE void from_products(const V* m, V* y) {
  const V sum_p = m[1] + m[2], difference_p = m[1] - m[2], sum_q = m[3] + m[4], difference_q = m[3] - m[4];
  y[0] = m[0] + (sum_p + sum_q);
  y[1] = P * difference_p + Q * difference_q;
  y[2] = P2 * sum_p + Q2 * sum_q;
  y[3] = P3 * difference_p + (Q3 * difference_q + m[5]);
}

// G g G^T of one filter. Not inlined: equal filters have equal values, to the bit, wherever it is called.
__attribute__((noinline)) static void transform_filter(const float* g, bool turned, float* u) {
  constexpr double p = P, q = Q, of_0 = 1 / (p * p * q * q);
  constexpr double of_p = 1 / (2 * p * p * (p * p - q * q)), of_q = 1 / (2 * q * q * (q * q - p * p));
  constexpr double G[PATCH][3] = {{of_0, 0, 0},
                                  {of_p, of_p * p, of_p * p * p},
                                  {of_p, -of_p * p, of_p * p * p},
                                  {of_q, of_q * q, of_q * q * q},
                                  {of_q, -of_q * q, of_q * q * q},
                                  {0, 0, 1}};
  double half[PATCH][3];
  for (int i = 0; i < PATCH; i++)
    for (int j = 0; j < 3; j++) {
      double sum = 0;
      for (int r = 0; r < 3; r++) sum += G[i][r] * (turned ? g[8 - (r * 3 + j)] : g[r * 3 + j]);
      half[i][j] = sum;
    }
  for (int i = 0; i < PATCH; i++)
    for (int j = 0; j < PATCH; j++) u[i * PATCH + j] = static_cast<float>(half[i][0] * G[j][0] + half[i][1] * G[j][1] + half[i][2] * G[j][2]);
}

static std::size_t weight_floats(const Convolution& s) { return static_cast<std::size_t>(PLACES * s.in * s.out); }

// Transform w to 36 matrices [in, out] in panels. `use` is called with a place in them and the LANES values from there
// on, until it returns false; return whether it never did.
template <typename Use>
static bool each_transformed(const Convolution& s, const float* w, bool turned, const Use& use) {
  for (std::int64_t k0 = 0; k0 < s.out; k0 += LANES)
    for (std::int64_t c = 0; c < s.in; c++) {
      float u[LANES][PLACES];
      for (int lane = 0; lane < LANES; lane++) {
        const std::int64_t k = k0 + lane;
        transform_filter(w + (turned ? c * s.out + k : k * s.in + c) * 9, turned, u[lane]);
      }
      const std::int64_t place = panel_place(c, k0, s.in, s.out);
      for (int e = 0; e < PLACES; e++) {
        float values[LANES];
        for (int lane = 0; lane < LANES; lane++) values[lane] = u[lane][e];
        if (!use(e * s.in * s.out + place, values)) return false;
      }
    }
  return true;
}

static void transform_weights(const Convolution& s, const float* w, bool turned, float* weights) {
  each_transformed(s, w, turned, [&](std::int64_t place, const float* values) {
    __builtin_memcpy(weights + place, values, LANES * sizeof(float));
    return true;
  });
}

static bool are_transformed(const Convolution& s, const float* w, bool turned, const float* weights) {
  return each_transformed(s, w, turned, [&](std::int64_t place, const float* values) {
    return __builtin_memcmp(weights + place, values, LANES * sizeof(float)) == 0;
  });
}

IMPASTO_INLINE std::int64_t tiles_in(std::int64_t side) { return (side + TILE - 1) / TILE; }
IMPASTO_INLINE std::int64_t tiles_of(const Convolution& s) {
  return s.batch * tiles_in(s.out_height()) * tiles_in(s.out_width());
}

// Tiles of a task: so many that the weights, which every task reads, are read rarely, and so few that their transforms
// stay in the caches of a core; and a small image still has a task for every core. Chosen by trial, docs/decisions.md.
static std::int64_t tiles_of_task(const Convolution& s) {
  const std::int64_t rare = (s.in + s.out) / 8, wanted = rare < 48 ? 48 : rare > 192 ? 192 : rare;
  const std::int64_t share = (tiles_of(s) + cores() - 1) / cores();
  return ((wanted < share ? wanted : share) + ROWS - 1) / ROWS * ROWS;
}

// Floats from one of the 36 matrices to the next: not a multiple of the cache's period, or all would fall in one set.
IMPASTO_INLINE std::int64_t matrix_stride(std::int64_t tiles, std::int64_t channels) {
  return (tiles * channels + 1023) / 1024 * 1024 + 32;
}

static std::size_t convolution_tasks(const Convolution& s) {
  const std::int64_t tiles = tiles_of_task(s);
  return static_cast<std::size_t>((tiles_of(s) + tiles - 1) / tiles);
}

static std::size_t convolution_scratch(const Convolution& s) {
  const std::int64_t tiles = tiles_of_task(s);
  return static_cast<std::size_t>(PLACES * (matrix_stride(tiles, s.in) + matrix_stride(tiles, s.out)));
}

struct Tile {
  std::int64_t n, y, x;  // of its first result
};

static Tile tile_of(const Convolution& s, std::int64_t index) {
  const std::int64_t across = tiles_in(s.out_width()), down = tiles_in(s.out_height());
  return {index / (across * down), index / across % down * TILE, index % across * TILE};
}

IMPASTO_INLINE std::int64_t wrapped(std::int64_t at, std::int64_t size) { return ((at % size) + size) % size; }

// Transform one tile of the input: v[e * stride + c] for the 36 places e.
static void transform_input(const Convolution& s, const ConvolutionData& data, const Tile& tile, float* v,
                            std::int64_t stride) {
  const float* from[PATCH][PATCH];
  for (int i = 0; i < PATCH; i++)
    for (int j = 0; j < PATCH; j++) {
      std::int64_t y = tile.y - s.pad + i, x = tile.x - s.pad + j;
      if (s.wrap) y = wrapped(y, s.height), x = wrapped(x, s.width);
      const bool inside = y >= 0 && y < s.height && x >= 0 && x < s.width;
      from[i][j] = inside ? data.x + ((tile.n * s.height + y) * s.width + x) * s.in : data.zeros;
    }
  for (std::int64_t c = 0; c < s.in; c += LANES) {
    V half[PATCH][PATCH];
    for (int j = 0; j < PATCH; j++) {
      V column[PATCH], result[PATCH];
      for (int i = 0; i < PATCH; i++) column[i] = load(from[i][j] + c);
      to_products(column, result);
      for (int i = 0; i < PATCH; i++) half[i][j] = result[i];
    }
    for (int i = 0; i < PATCH; i++) {
      V result[PATCH];
      to_products(half[i], result);
      for (int j = 0; j < PATCH; j++) store(v + (i * PATCH + j) * stride + c, result[j]);
    }
  }
}

// Transform one tile of products back, and apply what comes after the convolution.
static void transform_output(const Convolution& s, const ConvolutionData& data, const Tile& tile, const float* m,
                             std::int64_t stride) {
  const std::int64_t height = s.out_height(), width = s.out_width();
  const std::int64_t rows = height - tile.y < TILE ? height - tile.y : TILE;
  const std::int64_t columns = width - tile.x < TILE ? width - tile.x : TILE;
  const std::int64_t first = ((tile.n * height + tile.y) * width + tile.x) * s.out;
  for (std::int64_t k = 0; k < s.out; k += LANES) {
    V half[PATCH][TILE];
    for (int i = 0; i < PATCH; i++) {
      V row[PATCH];
      for (int j = 0; j < PATCH; j++) row[j] = load(m + (i * PATCH + j) * stride + k);
      from_products(row, half[i]);
    }
    const V bias = data.bias ? load(data.bias + k) : V{};
    for (int j = 0; j < columns; j++) {
      V column[PATCH], result[TILE];
      for (int i = 0; i < PATCH; i++) column[i] = half[i][j];
      from_products(column, result);
      for (int i = 0; i < rows; i++) {
        const std::int64_t place = first + (i * width + j) * s.out + k;
        V value = result[i] + bias;
        if (data.addend) value += load(data.addend + place);
        if (data.mask) value = masked(value, load(data.mask + place));
        store(data.y + place, s.relu ? relu(value) : value);
      }
    }
  }
}

static void convolution(const Convolution& s, const ConvolutionData& data, std::size_t task, float* scratch) {
  const std::int64_t of_task = tiles_of_task(s), begin = static_cast<std::int64_t>(task) * of_task;
  const std::int64_t left = tiles_of(s) - begin, tiles = left < of_task ? left : of_task;
  const std::int64_t in_stride = matrix_stride(of_task, s.in), out_stride = matrix_stride(of_task, s.out);
  float *v = scratch, *m = scratch + PLACES * in_stride;
  for (std::int64_t t = 0; t < tiles; t++) transform_input(s, data, tile_of(s, begin + t), v + t * s.in, in_stride);
  for (int e = 0; e < PLACES; e++)
    product(v + e * in_stride, s.in, data.weights + e * s.in * s.out, m + e * out_stride, s.out, tiles, s.in, s.out,
            s.run);
  for (std::int64_t t = 0; t < tiles; t++) transform_output(s, data, tile_of(s, begin + t), m + t * s.out, out_stride);
}
