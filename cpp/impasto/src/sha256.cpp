#include "sha256.hpp"

#include <array>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <vector>

namespace impasto_core {
namespace {

constexpr std::array<std::uint32_t, 64> kRounds = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01,
    0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc,
    0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147,
    0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08,
    0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208,
    0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

std::uint32_t turned(std::uint32_t word, int bits) { return (word >> bits) | (word << (32 - bits)); }

void absorb(std::array<std::uint32_t, 8>& state, const unsigned char* block) {
    std::array<std::uint32_t, 64> words;
    for (std::size_t i = 0; i < 16; ++i)
        words[i] = static_cast<std::uint32_t>(block[4 * i]) << 24 | static_cast<std::uint32_t>(block[4 * i + 1]) << 16 |
                   static_cast<std::uint32_t>(block[4 * i + 2]) << 8 | block[4 * i + 3];
    for (std::size_t i = 16; i < 64; ++i) {
        const std::uint32_t early = words[i - 15], late = words[i - 2];
        const std::uint32_t s0 = turned(early, 7) ^ turned(early, 18) ^ (early >> 3);
        const std::uint32_t s1 = turned(late, 17) ^ turned(late, 19) ^ (late >> 10);
        words[i] = words[i - 16] + s0 + words[i - 7] + s1;
    }
    auto [a, b, c, d, e, f, g, h] = state;
    for (std::size_t i = 0; i < 64; ++i) {
        const std::uint32_t s1 = turned(e, 6) ^ turned(e, 11) ^ turned(e, 25);
        const std::uint32_t first = h + s1 + ((e & f) ^ (~e & g)) + kRounds[i] + words[i];
        const std::uint32_t s0 = turned(a, 2) ^ turned(a, 13) ^ turned(a, 22);
        const std::uint32_t second = s0 + ((a & b) ^ (a & c) ^ (b & c));
        h = g; g = f; f = e; e = d + first; d = c; c = b; b = a; a = first + second;
    }
    state[0] += a; state[1] += b; state[2] += c; state[3] += d;
    state[4] += e; state[5] += f; state[6] += g; state[7] += h;
}

}  // namespace

std::string sha256_of_file(const std::string& path) {
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"), std::fclose);
    if (!file) return "";
    std::array<std::uint32_t, 8> state = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                          0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    std::vector<unsigned char> buffer(1 << 18);
    std::uint64_t total = 0;
    std::size_t rest = 0;
    while (true) {
        const std::size_t read = std::fread(buffer.data() + rest, 1, buffer.size() - rest - 128, file.get());
        total += read;
        rest += read;
        std::size_t used = 0;
        for (; used + 64 <= rest; used += 64) absorb(state, buffer.data() + used);
        for (std::size_t i = used; i < rest; ++i) buffer[i - used] = buffer[i];
        rest -= used;
        if (read == 0) break;
    }
    if (std::ferror(file.get()) != 0) return "";
    buffer[rest++] = 0x80;
    while (rest % 64 != 56) buffer[rest++] = 0;
    for (int shift = 56; shift >= 0; shift -= 8) buffer[rest++] = static_cast<unsigned char>(total * 8 >> shift);
    for (std::size_t used = 0; used < rest; used += 64) absorb(state, buffer.data() + used);
    std::string digest;
    for (const std::uint32_t word : state) {
        std::array<char, 9> text{};
        std::snprintf(text.data(), text.size(), "%08x", word);
        digest += text.data();
    }
    return digest;
}

}  // namespace impasto_core
