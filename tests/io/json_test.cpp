#include <gptq/io/json.hpp>

#include <string>

#include "io/raw_file.hpp"
#include "support/catch.hpp"

namespace json_test {

using namespace gptq::io::impl;
using gptq::format_error;

namespace {
std::string refusal(std::string_view text) {
    return message_of<format_error>([&] { (void)parse_json(text, "a.json"); });
}
}  // namespace

TEST_CASE("JSON is read with its types", "[io]") {
    const json value = parse_json(R"({"a": [1, -2, 3.5, "é", true, null], "b": {"a": {}}})", "a.json");
    CHECK(as_integer(value["a"][1], "", "") == -2);
    CHECK(as_size(value["a"][0], "", "") == 1);
    CHECK(as_double(value["a"][2], "", "") == 3.5);
    CHECK(as_string(value["a"][3], "", "") == "é");
    CHECK(as_bool(value["a"][4], "", ""));
}

TEST_CASE("text that is not JSON is refused at the byte where it ends to be", "[io]") {
    CHECK(refusal("") == "a.json: not JSON at byte 0");
    CHECK(refusal("{\"a\" 1}") == "a.json: not JSON at byte 5");
    CHECK(refusal("{} x") == "a.json: not JSON at byte 3");
    CHECK(refusal("{\"a\": \"\xFF\"}") == "a.json: not JSON at byte 7");
    CHECK(refusal(std::string_view("{}\0{", 4)) == "a.json: not JSON, byte 2 is 0");
    CHECK(refusal("[1e999]") == "a.json: JSON holds a number that is out of range");
}

TEST_CASE("a key that stands twice in one object is refused, in two objects it is not", "[io]") {
    CHECK(refusal(R"({"a": 1, "b": 2, "a": 3})") == "a.json: JSON has the key 'a' twice");
    CHECK(refusal(R"({"x": [{"a": 1, "\u0061": 2}]})") == "a.json: JSON has the key 'a' twice");
    CHECK_NOTHROW(parse_json(R"({"a": {"a": 1}, "b": [{"a": 1}, {"a": 2}]})", "a.json"));
}

TEST_CASE("JSON nests as deep as models need, not as deep as someone likes", "[io]") {
    const auto nested = [](std::size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); };
    CHECK_NOTHROW(parse_json(nested(32), "a.json"));
    CHECK(refusal(nested(40)) == "a.json: JSON is nested deeper than 32");
    CHECK(refusal(std::string(1'000'000, '[')) == "a.json: JSON is nested deeper than 32");
}

TEST_CASE("a field of another type is refused with what it is and what it should be", "[io]") {
    const auto message = [](auto read, const json& value) {
        return message_of<format_error>([&] { (void)read(value, "a.json", "bits"); });
    };
    CHECK(message(as_size<json>, -1) == "a.json: bits is -1, expected a whole number, not negative");
    CHECK(message(as_size<json>, json::parse("-0")) == "a.json: bits is 0, expected a whole number, not negative");
    CHECK(message(as_integer<json>, 4.0) == "a.json: bits is 4.0, expected a whole number");
    CHECK(message(as_integer<json>, json::parse("18446744073709551615")) ==
          "a.json: bits is 18446744073709551615, expected a whole number");
    CHECK(message(as_integer<json>, json::parse("18446744073709551616")) ==
          "a.json: bits is 1.8446744073709552e+19, expected a whole number");
    CHECK(message(as_bool<json>, 1) == "a.json: bits is 1, expected true or false");
    CHECK(message(as_double<json>, "0.1") == "a.json: bits is \"0.1\", expected a number");
    CHECK(message(as_string<json>, json::array({1, 2})) == "a.json: bits is of type array, expected a string");
    CHECK(message(as_object<json>, nullptr) == "a.json: bits is null, expected an object");
    CHECK(message(as_size<json>, std::string(1000, 'x')) ==
          "a.json: bits is of type string, expected a whole number, not negative");
}

}  // namespace json_test
