#include "json.hpp"

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <locale>
#include <set>
#include <sstream>
#include <stdexcept>

namespace impasto_core::json {
namespace {

constexpr int kDeepest = 24;

class Parser {
public:
    explicit Parser(std::string_view text) : text_(text) {}

    Value whole_text() {
        Value value = parse_value(0);
        skip_space();
        if (place_ != text_.size()) fail("text after the end");
        return value;
    }

private:
    [[noreturn]] void fail(const char* why) const {
        throw std::invalid_argument(std::string(why) + " at byte " + std::to_string(place_));
    }

    void skip_space() {
        while (place_ < text_.size() && std::strchr(" \t\r\n", text_[place_]) != nullptr && text_[place_] != '\0') ++place_;
    }

    char peek() const { return place_ < text_.size() ? text_[place_] : '\0'; }

    void expect(char wanted) {
        if (place_ >= text_.size() || text_[place_] != wanted) fail("unexpected character");
        ++place_;
    }

    void expect_word(std::string_view word) {
        if (text_.substr(place_, word.size()) != word) fail("unexpected word");
        place_ += word.size();
    }

    Value parse_value(int depth) {
        if (depth > kDeepest) fail("nested too deep");
        skip_space();
        Value value;
        switch (peek()) {
            case '{': parse_object(value, depth); break;
            case '[': parse_array(value, depth); break;
            case '"':
                value.kind = Value::Kind::string;
                value.string = parse_string();
                break;
            case 't':
                expect_word("true");
                value.kind = Value::Kind::boolean;
                value.boolean = true;
                break;
            case 'f':
                expect_word("false");
                value.kind = Value::Kind::boolean;
                break;
            case 'n': expect_word("null"); break;
            default:
                value.kind = Value::Kind::number;
                value.number = parse_number();
        }
        return value;
    }

    void parse_object(Value& value, int depth) {
        value.kind = Value::Kind::object;
        expect('{');
        std::set<std::string> keys;
        skip_space();
        if (peek() == '}') {
            ++place_;
            return;
        }
        while (true) {
            skip_space();
            std::string key = parse_string();
            if (!keys.insert(key).second) fail("a key is given twice");
            skip_space();
            expect(':');
            value.object.emplace_back(std::move(key), parse_value(depth + 1));
            skip_space();
            if (peek() == ',') {
                ++place_;
                continue;
            }
            expect('}');
            return;
        }
    }

    void parse_array(Value& value, int depth) {
        value.kind = Value::Kind::array;
        expect('[');
        skip_space();
        if (peek() == ']') {
            ++place_;
            return;
        }
        while (true) {
            value.array.push_back(parse_value(depth + 1));
            skip_space();
            if (peek() == ',') {
                ++place_;
                continue;
            }
            expect(']');
            return;
        }
    }

    std::string parse_string() {
        expect('"');
        std::string found;
        while (true) {
            if (place_ >= text_.size()) fail("unfinished string");
            const char c = text_[place_++];
            if (c == '"') return found;
            if (static_cast<unsigned char>(c) < 0x20) fail("control character in a string");
            if (c != '\\') {
                found.push_back(c);
                continue;
            }
            const char escaped = peek();
            ++place_;
            switch (escaped) {
                case '"': case '\\': case '/': found.push_back(escaped); break;
                case 'b': found.push_back('\b'); break;
                case 'f': found.push_back('\f'); break;
                case 'n': found.push_back('\n'); break;
                case 'r': found.push_back('\r'); break;
                case 't': found.push_back('\t'); break;
                case 'u': append_utf8(found, parse_unicode()); break;
                default: fail("unknown escape");
            }
        }
    }

    unsigned parse_hex() {
        unsigned code = 0;
        for (int digit = 0; digit < 4; ++digit) {
            const char c = peek();
            unsigned value = 0;
            if (c >= '0' && c <= '9') value = static_cast<unsigned>(c - '0');
            else if (c >= 'a' && c <= 'f') value = static_cast<unsigned>(c - 'a') + 10;
            else if (c >= 'A' && c <= 'F') value = static_cast<unsigned>(c - 'A') + 10;
            else fail("bad escape");
            code = code * 16 + value;
            ++place_;
        }
        return code;
    }

    unsigned parse_unicode() {
        const unsigned first = parse_hex();
        if (first < 0xD800 || first > 0xDFFF) return first;
        if (first > 0xDBFF || text_.substr(place_, 2) != "\\u") fail("lone surrogate");
        place_ += 2;
        const unsigned second = parse_hex();
        if (second < 0xDC00 || second > 0xDFFF) fail("lone surrogate");
        return 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00);
    }

    static void append_utf8(std::string& text, unsigned code) {
        const auto push = [&](unsigned byte) { text.push_back(static_cast<char>(byte)); };
        if (code < 0x80) {
            push(code);
        } else if (code < 0x800) {
            push(0xC0 | (code >> 6));
            push(0x80 | (code & 0x3F));
        } else if (code < 0x10000) {
            push(0xE0 | (code >> 12));
            push(0x80 | ((code >> 6) & 0x3F));
            push(0x80 | (code & 0x3F));
        } else {
            push(0xF0 | (code >> 18));
            push(0x80 | ((code >> 12) & 0x3F));
            push(0x80 | ((code >> 6) & 0x3F));
            push(0x80 | (code & 0x3F));
        }
    }

    double parse_number() {
        const std::size_t start = place_;
        const auto digits = [&] {
            const std::size_t first = place_;
            while (peek() >= '0' && peek() <= '9') ++place_;
            if (place_ == first) fail("unexpected character");
        };
        if (peek() == '-') ++place_;
        if (peek() == '0') ++place_;
        else digits();
        if (peek() == '.') {
            ++place_;
            digits();
        }
        if (peek() == 'e' || peek() == 'E') {
            ++place_;
            if (peek() == '+' || peek() == '-') ++place_;
            digits();
        }
        // A stream of the classic locale: std::strtod would follow the host's decimal comma.
        std::istringstream stream{std::string(text_.substr(start, place_ - start))};
        stream.imbue(std::locale::classic());
        double value = 0;
        stream >> value;
        if (stream.fail() || !std::isfinite(value)) fail("a number out of range");
        return value;
    }

    std::string_view text_;
    std::size_t place_ = 0;
};

[[noreturn]] void refuse(const char* wanted) { throw std::invalid_argument(std::string("expected ") + wanted); }

}  // namespace

const Value* Value::find(std::string_view key) const {
    if (kind != Kind::object) return nullptr;
    for (const Member& member : object)
        if (member.first == key) return &member.second;
    return nullptr;
}

const Value& Value::at(std::string_view key) const {
    const Value* found = find(key);
    if (found == nullptr) throw std::invalid_argument("no \"" + std::string(key) + "\"");
    return *found;
}

const std::string& Value::text() const {
    if (kind != Kind::string) refuse("a text");
    return string;
}

bool Value::truth() const {
    if (kind != Kind::boolean) refuse("true or false");
    return boolean;
}

double Value::real() const {
    if (kind != Kind::number) refuse("a number");
    return number;
}

std::uint64_t Value::whole(std::uint64_t least, std::uint64_t most) const {
    const double value = real();
    if (value < static_cast<double>(least) || value > static_cast<double>(most) || value != std::floor(value))
        refuse(("a whole number of " + std::to_string(least) + " to " + std::to_string(most)).c_str());
    return static_cast<std::uint64_t>(value);
}

const Array& Value::items() const {
    if (kind != Kind::array) refuse("a list");
    return array;
}

const Object& Value::members() const {
    if (kind != Kind::object) refuse("an object");
    return object;
}

Value parse(std::string_view text) { return Parser(text).whole_text(); }

}  // namespace impasto_core::json
