// A vector of IMPASTO_LANES floats, by the compiler's vector types (GCC, Clang). Included by one file for each instruction
// set, inside that set's own namespace. Arithmetic is written with operators; a product that is added to something becomes
// a fused multiply-add where the set has one (-ffp-contract=fast).

#define IMPASTO_INLINE static inline __attribute__((always_inline))

constexpr int LANES = IMPASTO_LANES;
typedef float V __attribute__((vector_size(4 * IMPASTO_LANES)));
typedef float Unaligned __attribute__((vector_size(4 * IMPASTO_LANES), aligned(4), may_alias));

IMPASTO_INLINE V load(const float* from) { return *reinterpret_cast<const Unaligned*>(from); }
IMPASTO_INLINE void store(float* to, V value) { *reinterpret_cast<Unaligned*>(to) = value; }

// A NaN stays a NaN, so that a broken evaluation is seen as one.
IMPASTO_INLINE V relu(V value) {
  const V zero = {};
  return value < zero ? zero : value;
}

// What flows back through a ReLU whose result was `activation`.
IMPASTO_INLINE V masked(V value, V activation) {
  const V zero = {};
  return activation > zero ? value : zero;
}
