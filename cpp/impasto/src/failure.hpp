// The exception that the C interface turns into a code and an impasto_error.
#pragma once

#include <stdexcept>
#include <string>

#include "impasto/impasto.h"

namespace impasto_core {

class Failure : public std::runtime_error {
public:
    Failure(impasto_code code, const std::string& message) : std::runtime_error(message), code(code) {}
    impasto_code code;
};

[[noreturn]] inline void bad_argument(const std::string& message) { throw Failure(IMPASTO_BAD_ARGUMENT, message); }

}  // namespace impasto_core
