// SHA-256 (FIPS 180-4) of a file.
#pragma once

#include <string>

namespace impasto_core {

// Return the digest in lower-case hexadecimal; "" if the file cannot be read.
std::string sha256_of_file(const std::string& path);

}  // namespace impasto_core
