// Reading: the worked example, every element type, and every way that a file can lie.
#include <gptq/io/safetensors.hpp>

#include <cstdint>
#include <string>
#include <vector>

#include <sys/stat.h>

#include "io/raw_file.hpp"
#include "support/catch.hpp"
#include "support/temp_folder.hpp"

namespace safetensors_test {

using namespace gptq::io;
using gptq::format_error;
using shape = std::vector<std::size_t>;

namespace {

// The worked example of docs/formats.md: 8 + 144 + 12 bytes.
const std::string worked_header =
    R"({"__metadata__":{"format":"pt"},"a":{"dtype":"F16","shape":[2,2],"data_offsets":[0,8]},)"
    R"("b":{"dtype":"I32","shape":[1],"data_offsets":[8,12]}}   )";
const std::string worked_data("\x00\x3C\x00\x38\x00\x34\x00\xBE\x78\x56\x34\x12", 12);

/// What the reader says to these bytes; checked to name the file.
std::string refusal_of_bytes(const std::string& bytes) {
    const temp_folder folder;
    const auto path = folder.write("bad.safetensors", bytes);
    const std::string message = message_of<format_error>([&] { (void)safetensors::open(path); });
    CAPTURE(message);
    CHECK(message.starts_with(path.string() + ": "));
    return message.substr(std::min(message.size(), path.string().size() + 2));
}

/// The same for a header and 12 bytes of data.
std::string refusal(const std::string& header) { return refusal_of_bytes(raw_safetensors(header, worked_data)); }

/// The same for one tensor `t` of which this is said.
std::string refusal_of_tensor(const std::string& fields) { return refusal("{\"t\":{" + fields + "}}"); }

/// Reads the header of these bytes: true when it is accepted, and what it says then holds; false when it is refused.
/// In memory, where sanitizers see a read past the end.
bool is_accepted(const std::string& file) {
    const std::vector<std::byte> bytes(as_bytes(file).begin(), as_bytes(file).end());
    impl::safetensors_header header;
    try {
        header = impl::parse_header(bytes, "f");
    } catch (const format_error&) {
        return false;
    }
    std::size_t end = header.data_begin;
    bool holds = true;
    for (const auto& tensor : header.tensors) {
        holds = holds && header.data_begin + tensor.begin == end;
        holds = holds && byte_count(tensor.type, tensor.shape) == tensor.end - tensor.begin;
        end = header.data_begin + tensor.end;
    }
    REQUIRE(holds);
    REQUIRE(end == bytes.size());
    return true;
}

}  // namespace

TEST_CASE("the documented file is read as documented", "[io]") {
    const temp_folder folder;
    const std::string bytes = raw_safetensors(worked_header, worked_data);
    CHECK(bytes.size() == 164);
    CHECK(bytes.substr(0, 8) == std::string("\x90\0\0\0\0\0\0\0", 8));
    const auto path = folder.write("model.safetensors", bytes);

    const auto file = safetensors::open(path);
    CHECK(file.path() == path);
    CHECK(file.metadata() == std::map<std::string, std::string>{{"format", "pt"}});
    REQUIRE(file.tensors().size() == 2);
    CHECK(file.tensors()[0].name == "a");
    CHECK(file.tensors()[1].name == "b");

    CHECK(file.contains("a"));
    CHECK_FALSE(file.contains("c"));
    CHECK_FALSE(file.contains("__metadata__"));
    const tensor_ref& a = file.at("a");
    CHECK(a.type == dtype::F16);
    CHECK(a.shape == shape{2, 2});
    CHECK(element_count(a) == 4);
    CHECK(bytes_of(a.bytes) == worked_data.substr(0, 8));
    CHECK(file.at("b").type == dtype::I32);
    CHECK(bytes_of(file.at("b").bytes) == worked_data.substr(8));
    CHECK(message_of<format_error>([&] { (void)file.at("c"); }) == path.string() + ": has no tensor 'c'");
}

TEST_CASE("a tensor stays readable when the file object is gone, and the file unlinked", "[io]") {
    tensor_ref tensor;
    {
        const temp_folder folder;
        tensor = safetensors::open(folder.write("f", raw_safetensors(worked_header, worked_data))).at("b");
    }
    CHECK(bytes_of(tensor.bytes) == worked_data.substr(8));
}

TEST_CASE("headers may be short, unpadded, in any order, and hold what later versions add", "[io]") {
    const temp_folder folder;
    const auto open = [&folder](const std::string& header, const std::string& data) {
        return safetensors::open(folder.write("f", raw_safetensors(header, data)));
    };
    CHECK(open("{}", "").tensors().empty());
    CHECK(open("{  }  \n ", "").tensors().empty());
    CHECK(open(R"({"__metadata__":{}})", "").metadata().empty());
    CHECK(open(R"({"t":{"extra":1,"data_offsets":[0,1],"shape":[],"dtype":"I8"}})", "x").at("t").shape.empty());
    const auto several = open(R"({"z":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                              R"("e1":{"dtype":"F32","shape":[0],"data_offsets":[1,1]},)"
                              R"("e2":{"dtype":"F64","shape":[3,0],"data_offsets":[1,1]},)"
                              R"("a":{"dtype":"U8","shape":[2,1],"data_offsets":[1,3]}})",
                              "xyz");
    CHECK(bytes_of(several.at("z").bytes) == "x");
    CHECK(bytes_of(several.at("a").bytes) == "yz");
    CHECK(several.at("e1").bytes.empty());
    CHECK(several.at("e2").shape == shape{3, 0});
}

TEST_CASE("what is not an ordinary, readable file is refused by the system's reason", "[io]") {
    const temp_folder folder;
    const auto refused = [](const std::filesystem::path& path) {
        return message_of<gptq::file_error>([&] { (void)safetensors::open(path); });
    };
    CHECK(refused(folder / "absent") == (folder / "absent").string() + ": cannot open: No such file or directory");
    CHECK(refused(folder.path()) == folder.path().string() + ": is not an ordinary file");
    const auto pipe = folder / "pipe";
    REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
    CHECK(refused(pipe) == pipe.string() + ": is not an ordinary file");
}

TEST_CASE("a file whose header length cannot be is refused", "[io]") {
    const auto with_length = [](std::uint64_t length) { return bytes_of(std::vector{length}) + "{}"; };
    CHECK(refusal_of_bytes("") == "is 0 bytes, expected at least 8, the length of a safetensors header");
    CHECK(refusal_of_bytes("1234567") == "is 7 bytes, expected at least 8, the length of a safetensors header");
    CHECK(refusal_of_bytes(with_length(3)) ==
          "header length at byte 0 is 3, but only 2 bytes follow; the file is truncated");
    CHECK(contains(refusal_of_bytes(with_length(100'000'000)), "but only 2 bytes follow"));
    for (const std::uint64_t length : {std::uint64_t{100'000'001}, ~std::uint64_t{0}, ~std::uint64_t{7}})
        CHECK(contains(refusal_of_bytes(with_length(length)), "expected at most 100000000"));
    CHECK(contains(refusal_of_bytes(with_length(0)), "byte 8 is not '{'"));
}

TEST_CASE("a header that is not a JSON object is refused", "[io]") {
    CHECK(contains(refusal("[]"), "byte 8 is not '{'"));
    CHECK(contains(refusal(" {}"), "byte 8 is not '{'"));
    CHECK(contains(refusal("\xEF\xBB\xBF{}"), "byte 8 is not '{'"));
    CHECK(contains(refusal("{\"a\":"), "header: not JSON at byte 5"));
    CHECK(contains(refusal("{}{}"), "header: not JSON at byte 2"));
    CHECK(contains(refusal(std::string("{}\0", 3)), "header: not JSON, byte 2 is 0"));
    CHECK(contains(refusal("{\"a\":" + std::string(100, '[')), "header: JSON is nested deeper than 32"));
}

TEST_CASE("a name that stands twice in a header is refused", "[io]") {
    const std::string t = R"("t":{"dtype":"U8","shape":[12],"data_offsets":[0,12]})";
    CHECK(refusal("{" + t + "," + t + "}") == "header: JSON has the key 't' twice");
    CHECK(refusal_of_tensor(R"("dtype":"U8","dtype":"U8","shape":[12],"data_offsets":[0,12])") ==
          "header: JSON has the key 'dtype' twice");
}

TEST_CASE("metadata other than text is refused", "[io]") {
    CHECK(refusal(R"({"__metadata__":[]})") == "__metadata__ is of type array, expected an object");
    CHECK(refusal(R"({"__metadata__":null})") == "__metadata__ is null, expected an object");
    CHECK(refusal(R"({"__metadata__":{"k":1}})") == "__metadata__ 'k' is 1, expected a string");
    CHECK(refusal(R"({"__metadata__":{"k":{"l":"m"}}})") == "__metadata__ 'k' is of type object, expected a string");
}

TEST_CASE("a tensor without its three fields is refused", "[io]") {
    CHECK(refusal(R"({"t":3})") == "tensor 't': its description is 3, expected an object");
    CHECK(refusal_of_tensor(R"("shape":[12],"data_offsets":[0,12])") == "tensor 't': has no dtype");
    CHECK(refusal_of_tensor(R"("dtype":"U8","data_offsets":[0,12])") == "tensor 't': has no shape");
    CHECK(refusal_of_tensor(R"("dtype":"U8","shape":[12])") == "tensor 't': has no data_offsets");
}

TEST_CASE("an element type that the format does not know is refused", "[io]") {
    for (const char* type : {R"("F33")", R"("f32")", R"("")"})
        CHECK(refusal_of_tensor(R"("dtype":)" + std::string(type) + R"(,"shape":[12],"data_offsets":[0,12])") ==
              "tensor 't': dtype is " + std::string(type) + ", expected one of the safetensors format");
    CHECK(refusal_of_tensor(R"("dtype":32,"shape":[12],"data_offsets":[0,12])") ==
          "tensor 't': dtype is 32, expected a string");
}

TEST_CASE("a shape that is not a list of whole numbers is refused", "[io]") {
    const auto refused = [](const std::string& text) {
        return refusal_of_tensor(R"("dtype":"U8","data_offsets":[0,12],"shape":)" + text);
    };
    for (const char* size : {"-12", "12.0", "1.2e1", "\"12\"", "null", "true", "18446744073709551616"})
        CHECK(contains(refused("[" + std::string(size) + "]"), "tensor 't': shape is "));
    CHECK(contains(refused("[[12]]"), "tensor 't': shape is of type array, expected a whole number"));
    CHECK(contains(refused("12"), "tensor 't': shape is 12, expected an array"));
}

TEST_CASE("a shape whose bytes overflow, or are others than the file has, is refused", "[io]") {
    const auto refused = [](const std::string& type, const std::string& text) {
        return refusal_of_tensor("\"dtype\":\"" + type + "\",\"data_offsets\":[0,12],\"shape\":" + text);
    };
    CHECK(contains(refused("U8", "[4294967296,4294967296]"), "is more than memory can address"));
    CHECK(contains(refused("U8", "[18446744073709551615]"), "is more than memory can address"));
    // 2^62 + 3 elements of 4 bytes are 12 bytes to arithmetic that wraps.
    CHECK(contains(refused("F32", "[4611686018427387907]"), "is more than memory can address"));
    CHECK(contains(refused("F4", "[23]"), "not a whole number of bytes"));
    CHECK(refused("U8", "[11]") == "tensor 't': has 12 bytes, expected 11 for U8 [11]");
    CHECK(refused("F32", "[2,2]") == "tensor 't': has 12 bytes, expected 16 for F32 [2, 2]");
    CHECK(refused("F32", "[3,0]") == "tensor 't': has 12 bytes, expected 0 for F32 [3, 0]");
    CHECK(refused("F32", "[]") == "tensor 't': has 12 bytes, expected 4 for F32 []");
}

TEST_CASE("offsets that are not two numbers in order inside the file are refused", "[io]") {
    const auto refused = [](const std::string& text) {
        return refusal_of_tensor(R"("dtype":"U8","shape":[12],"data_offsets":)" + text);
    };
    CHECK(refused("[0]") == "tensor 't': data_offsets has 1 numbers, expected 2");
    CHECK(refused("[0,12,12]") == "tensor 't': data_offsets has 3 numbers, expected 2");
    CHECK(contains(refused("[-1,11]"), "data_offsets is -1"));
    CHECK(contains(refused("[0.0,12]"), "data_offsets is 0.0"));
    CHECK(contains(refused("{\"begin\":0}"), "data_offsets is of type object"));
    CHECK(refused("[12,0]") == "tensor 't': begins at 12, after its end at 0");
    CHECK(refused("[0,13]") == "tensor 't': ends at 13, but the file has 12 bytes of data; truncated?");
    CHECK(contains(refused(gptq::detail::text("[", SIZE_MAX - 11, ",", SIZE_MAX, "]")),
                   "but the file has 12 bytes of data"));
    CHECK(contains(refused("[4294967296,4294967308]"), "4294967"));  // which is not 0 to 12 where memory has 32 bits
}

TEST_CASE("tensors that overlap, leave holes or do not reach the end are refused", "[io]") {
    const auto two = [](const std::string& first, const std::string& second) {
        const auto tensor = [](const std::string& name, const std::string& offsets, const std::string& size) {
            return "\"" + name + R"(":{"dtype":"U8","shape":[)" + size + R"(],"data_offsets":[)" + offsets + "]}";
        };
        const auto size = [](const std::string& offsets) {
            const auto comma = offsets.find(',');
            return std::to_string(std::stoi(offsets.substr(comma + 1)) - std::stoi(offsets));
        };
        return "{" + tensor("a", first, size(first)) + "," + tensor("b", second, size(second)) + "}";
    };
    CHECK(refusal(two("0,8", "7,12")) == "tensor 'b' begins at 7, expected 8: it overlaps the one before it");
    CHECK(refusal(two("0,12", "0,12")) == "tensor 'b' begins at 0, expected 12: it overlaps the one before it");
    CHECK(refusal(two("4,4", "0,12")) == "tensor 'a' begins at 4, expected 12: it overlaps the one before it");
    CHECK(refusal(two("9,12", "0,8")) == "tensor 'a' begins at 9, expected 8: bytes of no tensor lie before it");
    CHECK(refusal(two("1,8", "8,12")) == "tensor 'a' begins at 1, expected 0: bytes of no tensor lie before it");
    CHECK(refusal(two("0,8", "8,11")) == "the last tensor ends at 11, but the file has 12 bytes of data");
    CHECK(refusal("{}") == "the last tensor ends at 0, but the file has 12 bytes of data");
}

TEST_CASE("a file cut off anywhere is refused, and so is one with a byte too many", "[io]") {
    const std::string bytes = raw_safetensors(worked_header, worked_data);
    for (std::size_t size = 0; size < bytes.size(); ++size) {
        CAPTURE(size);
        CHECK_FALSE(is_accepted(bytes.substr(0, size)));
    }
    CHECK(is_accepted(bytes));
    CHECK_FALSE(is_accepted(bytes + '\0'));
}

TEST_CASE("a file with any byte changed, doubled or lost is read consistently or refused", "[io]") {
    const std::string bytes = raw_safetensors(worked_header, worked_data);
    std::size_t accepted = 0;
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        for (int value = 0; value < 256; ++value) {
            std::string changed = bytes;
            changed[i] = static_cast<char>(value);
            accepted += is_accepted(changed);
        }
        is_accepted(bytes.substr(0, i) + bytes[i] + bytes.substr(i));
        is_accepted(bytes.substr(0, i) + bytes.substr(i + 1));
    }
    CHECK(accepted >= 256 * worked_data.size());  // data may be anything
}

}  // namespace safetensors_test
