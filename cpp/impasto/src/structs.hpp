// The caller's structs, whose struct_size says which version of the interface they are of.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <string>

#include "failure.hpp"

namespace impasto_core {

// The end of the last member that a struct had in version 1 of the interface: no caller's struct is shorter.
template <class Struct>
constexpr std::size_t kFirstSize = 0;
template <>
constexpr std::size_t kFirstSize<impasto_image> = offsetof(impasto_image, format) + sizeof(impasto_image::format);
template <>
constexpr std::size_t kFirstSize<impasto_open_options> =
    offsetof(impasto_open_options, skip_hashes) + sizeof(impasto_open_options::skip_hashes);
template <>
constexpr std::size_t kFirstSize<impasto_bundle_info> =
    offsetof(impasto_bundle_info, runtime_path) + sizeof(impasto_bundle_info::runtime_path);
template <>
constexpr std::size_t kFirstSize<impasto_result_info> = offsetof(impasto_result_info, scales) + sizeof(impasto_result_info::scales);
template <>
constexpr std::size_t kFirstSize<impasto_render_options> =
    offsetof(impasto_render_options, provider) + sizeof(impasto_render_options::provider);
template <>
constexpr std::size_t kFirstSize<impasto_progress> = offsetof(impasto_progress, loss) + sizeof(impasto_progress::loss);

// Return how many bytes of a caller's struct this library and the caller both know. Throws Failure.
template <class Struct>
std::size_t known_bytes(const Struct* given, const char* name) {
    static_assert(kFirstSize<Struct> > 0);
    if (given == nullptr) bad_argument(std::string("no ") + name + ": it is NULL");
    if (given->struct_size < kFirstSize<Struct>)
        bad_argument(std::string("bad ") + name + ": its struct_size is " + std::to_string(given->struct_size) + "; set it to sizeof(" + name + ")");
    return std::min(given->struct_size, sizeof(Struct));
}

// Copy a caller's struct; members that it lacks are 0.
template <class Struct>
Struct taken(const Struct* given, const char* name) {
    Struct whole{};
    std::memcpy(&whole, given, known_bytes(given, name));
    return whole;
}

// Fill in a caller's struct as far as it goes, and leave its struct_size.
template <class Struct>
void give(const Struct& whole, Struct* target, const char* name) {
    const std::size_t bytes = known_bytes(target, name), size = target->struct_size;
    std::memcpy(target, &whole, bytes);
    target->struct_size = size;
}

}  // namespace impasto_core
