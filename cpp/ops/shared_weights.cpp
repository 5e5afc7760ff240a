#include "shared_weights.h"

#include <algorithm>
#include <mutex>

namespace impasto {

namespace {

struct Held {
  const Kernels* kernels;
  std::int64_t in, out;
  bool turned;
  std::weak_ptr<const std::vector<float>> weights;
};

}  // namespace

std::shared_ptr<const std::vector<float>> shared_weights(const Kernels& kernels, const Convolution& s, const float* w,
                                                         bool turned) {
  static std::mutex mutex;
  static std::vector<Held> all;
  const std::lock_guard<std::mutex> guard(mutex);
  all.erase(std::remove_if(all.begin(), all.end(), [](const Held& held) { return held.weights.expired(); }), all.end());
  for (const Held& held : all) {
    if (held.kernels != &kernels || held.in != s.in || held.out != s.out || held.turned != turned) continue;
    std::shared_ptr<const std::vector<float>> weights = held.weights.lock();
    // The values are compared, because an address or a checksum can be that of other weights.
    if (weights && kernels.are_transformed(s, w, turned, weights->data())) return weights;
  }
  auto made = std::make_shared<std::vector<float>>(kernels.weight_floats(s));
  kernels.transform_weights(s, w, turned, made->data());
  all.push_back({&kernels, s.in, s.out, turned, made});
  return made;
}

}  // namespace impasto
