// JSON from files of strangers (RFC 8259): no recursion beyond a depth, no key twice, no number that is not finite.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace impasto_core::json {

class Value;
using Array = std::vector<Value>;
using Member = std::pair<std::string, Value>;
using Object = std::vector<Member>;

// A value. Every accessor throws std::invalid_argument, with the path of the value, where it is of another kind.
class Value {
public:
    enum class Kind { null, boolean, number, string, array, object };

    Kind kind = Kind::null;
    bool boolean = false;
    double number = 0;
    std::string string;
    Array array;
    Object object;

    bool is_null() const { return kind == Kind::null; }
    const Value& at(std::string_view key) const;          // a member of an object
    const Value* find(std::string_view key) const;        // the same; nullptr where there is none
    const std::string& text() const;
    bool truth() const;
    double real() const;
    std::uint64_t whole(std::uint64_t least, std::uint64_t most) const;  // a whole number in a range
    const Array& items() const;
    const Object& members() const;
};

// Parse a text. Throws std::invalid_argument with the byte's number where it is no JSON.
Value parse(std::string_view text);

}  // namespace impasto_core::json
