// libFuzzer's target: `infer` of any attributes and shapes either refuses with a text or gives a shape whose sizes are in
// range. Built by clang++ -fsanitize=fuzzer,address,undefined fuzz_shapes.cpp ../shapes.cpp; see docs/decisions.md.

#include <cstdlib>
#include <cstring>

#include "../shapes.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace impasto;
  const auto next = [&]() -> std::int64_t {
    if (size == 0) return 0;
    const std::uint8_t kind = *data++;
    size--;
    if (kind & 0x80) {  // any number at all
      std::int64_t value = 0;
      const std::size_t bytes = size < sizeof value ? size : sizeof value;
      std::memcpy(&value, data, bytes);
      data += bytes;
      size -= bytes;
      return value;
    }
    return kind - 4;  // a small one
  };
  const auto op = static_cast<Operator>(static_cast<std::uint64_t>(next()) % 6);
  Attributes attributes;
  for (std::int64_t Attributes::* place : {&Attributes::pad, &Attributes::wrap, &Attributes::relu, &Attributes::maximum,
                                           &Attributes::addend, &Attributes::mask})
    attributes.*place = next();
  std::vector<Shape> shapes(static_cast<std::uint64_t>(next()) % 6);
  for (Shape& shape : shapes) {
    shape.resize(static_cast<std::uint64_t>(next()) % 7);
    for (std::int64_t& side : shape) side = next();
  }
  const Inferred inferred = infer(op, attributes, shapes);
  if (!inferred.error.empty()) return 0;
  if (inferred.shape.size() != 4) std::abort();
  std::int64_t values = 1;
  for (const std::int64_t side : inferred.shape) {
    if (side < 1 || values > (std::int64_t{1} << 40) / side) std::abort();
    values *= side;
  }
  return 0;
}
