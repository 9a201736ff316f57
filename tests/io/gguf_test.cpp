// Reading: the worked example byte by byte, every type of value, and every way that a file can lie.
#include <gptq/io/gguf.hpp>

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "io/raw_file.hpp"
#include "support/catch.hpp"
#include "support/temp_folder.hpp"

namespace gguf_test {

using namespace gptq::io;
using gptq::format_error;
using gptq::ggml_type;
using shape = std::vector<std::size_t>;

namespace {

template <class T>
std::string number(T value) {
    return bytes_of(std::vector<T>{value});
}
std::string u32(std::uint32_t value) { return number(value); }
std::string u64(std::uint64_t value) { return number(value); }
std::string text(const std::string& characters) { return u64(characters.size()) + characters; }

std::string pair(const std::string& key, std::uint32_t type, const std::string& value) {
    return text(key) + u32(type) + value;
}

std::string tensor_info(const std::string& name, const std::vector<std::uint64_t>& ne, std::uint32_t type,
                        std::uint64_t offset) {
    return text(name) + u32(static_cast<std::uint32_t>(ne.size())) + bytes_of(ne) + u32(type) + u64(offset);
}

std::string padded(std::string bytes, std::size_t alignment = 32) {
    return bytes.append((alignment - bytes.size() % alignment) % alignment, '\0');
}

/// A file of these pairs, these tensor infos and these data, right or wrong.
std::string file_of(const std::vector<std::string>& pairs, const std::vector<std::string>& infos = {},
                    const std::string& data = {}, std::size_t alignment = 32) {
    std::string bytes = "GGUF" + u32(3) + u64(infos.size()) + u64(pairs.size());
    for (const auto& p : pairs) bytes += p;
    for (const auto& t : infos) bytes += t;
    return infos.empty() ? bytes : padded(bytes, alignment) + data;
}

const std::string architecture = pair("general.architecture", 8, text("llama"));
/// Two blocks of Q4_0: d = 0.5, codes 0 … 15 twice.
const std::string two_blocks = [] {
    const std::string block("\x00\x38\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xAA\xBB\xCC\xDD\xEE\xFF", 18);
    return block + block;
}();
/// The worked example: a pair, a tensor "t.weight" of two rows of a block, 192 bytes.
const std::string worked = padded(file_of({architecture}, {tensor_info("t.weight", {32, 2}, 2, 0)}, two_blocks));

/// What the reader says to these bytes; checked to name the file. In memory, where sanitizers see a read past the end.
std::string refusal(const std::string& file) {
    const std::vector<std::byte> bytes(as_bytes(file).begin(), as_bytes(file).end());
    const std::string message = message_of<format_error>([&] { (void)gguf::over(bytes, "f"); });
    CAPTURE(message);
    CHECK(message.starts_with("f: "));
    return message.substr(std::min<std::size_t>(message.size(), 3));
}

/// True when a file is accepted, and what it says then holds; false when it is refused.
bool is_accepted(const std::string& file) {
    const std::vector<std::byte> bytes(as_bytes(file).begin(), as_bytes(file).end());
    try {
        const gguf g = gguf::over(bytes);
        std::size_t total = 0;
        for (const gguf_tensor& tensor : g.tensors()) {
            std::size_t elements = 1;
            for (const std::size_t axis : tensor.shape) elements *= axis;
            REQUIRE(element_count(tensor) == elements);
            REQUIRE((tensor.bytes.empty() || tensor.bytes.data() + tensor.bytes.size() <= bytes.data() + bytes.size()));
            total += tensor.bytes.size();
            try {
                const auto floats = to_floats(tensor);
                REQUIRE(floats.size() == elements);
            } catch (const format_error&) {  // types that have no floats
            }
        }
        REQUIRE(total <= bytes.size());
    } catch (const format_error&) {
        return false;
    }
    return true;
}

}  // namespace

TEST_CASE("the documented GGUF file is read as documented", "[io]") {
    REQUIRE(worked.size() == 192);
    CHECK(worked.substr(0, 24) == std::string("GGUF\3\0\0\0\1\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0", 24));
    CHECK(worked.substr(64, 5) == "llama");
    CHECK(worked.substr(128, 36) == two_blocks);
    const temp_folder folder;
    const auto path = folder.write("model.gguf", worked);

    const gguf file = gguf::open(path);
    CHECK(file.path() == path);
    CHECK(file.version() == 3);
    CHECK(file.metadata().size() == 1);
    CHECK(file.value<std::string>("general.architecture") == "llama");
    REQUIRE(file.tensors().size() == 1);
    CHECK(file.contains("t.weight"));
    CHECK_FALSE(file.contains("t"));
    const gguf_tensor& tensor = file.at("t.weight");
    CHECK(tensor.type == ggml_type::q4_0);
    CHECK(tensor.shape == shape{2, 32});
    CHECK(bytes_of(tensor.bytes) == two_blocks);
    CHECK(element_count(tensor) == 64);
    const auto floats = to_floats(tensor);
    for (std::size_t i = 0; i < 64; ++i) CHECK(floats[i] == 0.5F * (static_cast<float>(i % 16) - 8));
    CHECK(describe(tensor) == path.string() + ": tensor 't.weight'");
    CHECK(message_of<format_error>([&] { (void)file.at("u"); }) == path.string() + ": has no tensor 'u'");
}

TEST_CASE("a GGUF tensor stays readable when the file object is gone, and the file unlinked", "[io]") {
    gguf_tensor tensor;
    {
        const temp_folder folder;
        tensor = gguf::open(folder.write("f", worked)).at("t.weight");
    }
    CHECK(bytes_of(tensor.bytes) == two_blocks);
}

TEST_CASE("version 2 is read like version 3", "[io]") {
    std::string file = worked;
    file[4] = 2;
    CHECK(gguf::over(as_bytes(file)).version() == 2);
    CHECK(gguf::over(as_bytes(file)).at("t.weight").shape == shape{2, 32});
}

TEST_CASE("values of every type are read as what they are", "[io]") {
    const auto array = [](std::uint32_t type, std::uint64_t count, const std::string& elements) {
        return u32(type) + u64(count) + elements;
    };
    const std::string bytes = file_of({
        pair("u8", 0, number<std::uint8_t>(200)),
        pair("i8", 1, number<std::int8_t>(-100)),
        pair("u16", 2, number<std::uint16_t>(60000)),
        pair("i16", 3, number<std::int16_t>(-30000)),
        pair("u32", 4, u32(4000000000)),
        pair("i32", 5, number<std::int32_t>(-2000000000)),
        pair("f32", 6, number(1.5F)),
        pair("no", 7, std::string(1, '\0')),
        pair("yes", 7, "\1"),
        pair("string", 8, text(std::string("a\0b", 3))),
        pair("u64", 10, u64(1ULL << 63U)),
        pair("i64", 11, number<std::int64_t>(-1)),
        pair("f64", 12, number(0.1)),
        pair("u8s", 9, array(0, 3, "\1\2\3")),
        pair("i32s", 9, array(5, 2, number<std::int32_t>(-1) + u32(7))),
        pair("f32s", 9, array(6, 1, number(-2.5F))),
        pair("bools", 9, array(7, 3, std::string("\1\0\1", 3))),
        pair("strings", 9, array(8, 3, text("a") + text("") + text("bc"))),
        pair("none", 9, array(8, 0, "")),
        pair("u64s", 9, array(10, 1, u64(5))),
        pair("f64s", 9, array(12, 1, number(0.25))),
    });
    const gguf file = gguf::over(as_bytes(bytes), "f");
    CHECK(file.metadata().size() == 21);
    CHECK(file.value<std::uint8_t>("u8") == 200);
    CHECK(file.value<std::int8_t>("i8") == -100);
    CHECK(file.value<std::uint16_t>("u16") == 60000);
    CHECK(file.value<std::int16_t>("i16") == -30000);
    CHECK(file.value<std::uint32_t>("u32") == 4000000000U);
    CHECK(file.value<std::int32_t>("i32") == -2000000000);
    CHECK(file.value<float>("f32") == 1.5F);
    CHECK_FALSE(file.value<bool>("no"));
    CHECK(file.value<bool>("yes"));
    CHECK(file.value<std::string>("string") == std::string("a\0b", 3));
    CHECK(file.value<std::uint64_t>("u64") == 1ULL << 63U);
    CHECK(file.value<std::int64_t>("i64") == -1);
    CHECK(file.value<double>("f64") == 0.1);
    CHECK(file.value<std::vector<std::uint8_t>>("u8s") == std::vector<std::uint8_t>{1, 2, 3});
    CHECK(file.value<std::vector<std::int32_t>>("i32s") == std::vector<std::int32_t>{-1, 7});
    CHECK(file.value<std::vector<float>>("f32s") == std::vector<float>{-2.5F});
    CHECK(file.value<std::vector<bool>>("bools") == std::vector<bool>{true, false, true});
    CHECK(file.value<std::vector<std::string>>("strings") == std::vector<std::string>{"a", "", "bc"});
    CHECK(file.value<std::vector<std::string>>("none").empty());
    CHECK(file.value<std::vector<std::uint64_t>>("u64s") == std::vector<std::uint64_t>{5});
    CHECK(file.value<std::vector<double>>("f64s") == std::vector<double>{0.25});

    const auto said = [](auto&& f) { return message_of<format_error>(f); };
    CHECK(file.find_value<float>("absent") == nullptr);
    CHECK(said([&] { (void)file.value<float>("absent"); }) == "f: has no key 'absent'");
    CHECK(said([&] { (void)file.value<std::uint32_t>("i32"); }) == "f: key 'i32' is of type i32, expected u32");
    CHECK(said([&] { (void)file.find_value<std::uint64_t>("u32"); }) == "f: key 'u32' is of type u32, expected u64");
    CHECK(said([&] { (void)file.value<std::vector<std::string>>("f32s"); }) ==
          "f: key 'f32s' is of type array of f32, expected array of string");
    CHECK(said([&] { (void)file.value<float>("f32s"); }) == "f: key 'f32s' is of type array of f32, expected f32");
}

TEST_CASE("tensors of plain types are read as floats, others are named", "[io]") {
    const std::string data = padded(number(1.5F) + number(-2.0F)) +
                             padded(bytes_of(std::vector<std::uint16_t>{0x3800, 0xBE00})) +
                             padded(bytes_of(std::vector<std::uint16_t>{0x3FC0, 0xC000})) + padded(number(0.1)) +
                             padded(number<std::int32_t>(7));
    const std::string bytes =
        file_of({},
                {tensor_info("f32", {2}, 0, 0), tensor_info("f16", {2}, 1, 32), tensor_info("bf16", {1, 2}, 30, 64),
                 tensor_info("f64", {}, 28, 96), tensor_info("i32", {1, 1, 1, 1}, 26, 128)},
                data);
    const gguf file = gguf::over(as_bytes(bytes), "f");
    using floats = std::vector<float>;
    CHECK(to_floats(file.at("f32")) == floats{1.5F, -2});
    CHECK(to_floats(file.at("f16")) == floats{0.5F, -1.5F});
    CHECK(to_floats(file.at("bf16")) == floats{1.5F, -2});
    CHECK(file.at("bf16").shape == shape{2, 1});
    CHECK(to_floats(file.at("f64")) == floats{0.1F});
    CHECK(file.at("f64").shape.empty());
    CHECK(contains(message_of<format_error>([&] { (void)to_floats(file.at("i32")); }),
                   "tensor 'i32': is I32, expected F32, F16, BF16, F64, Q4_0"));
    floats wrong(3);
    CHECK_THROWS_AS(read_floats(file.at("f32"), wrong), gptq::shape_error);
}

TEST_CASE("files without tensors, with empty ones, or with another alignment are files", "[io]") {
    CHECK(gguf::over(as_bytes(file_of({}))).tensors().empty());
    const std::string empty = file_of({}, {tensor_info("e", {32, 0}, 2, 0), tensor_info("z", {0}, 0, 0)});
    CHECK(gguf::over(as_bytes(empty)).at("e").bytes.empty());
    for (const std::uint32_t alignment : {1U, 8U, 64U, 4096U}) {
        const std::uint64_t second = (36 + alignment - 1) / alignment * alignment;
        const std::string bytes = file_of({pair("general.alignment", 4, u32(alignment))},
                                          {tensor_info("a", {32, 2}, 2, 0), tensor_info("b", {4}, 24, second)},
                                          padded(two_blocks, alignment) + "abcd", alignment);
        CHECK(bytes_of(gguf::over(as_bytes(bytes)).at("b").bytes) == "abcd");
    }
}

TEST_CASE("what is no GGUF file of a version that is read is refused", "[io]") {
    CHECK(refusal("") == "byte 0: \"GGUF\" takes 4 bytes, but only 0 follow; the file is truncated");
    CHECK(refusal("GGU") == "byte 0: \"GGUF\" takes 4 bytes, but only 3 follow; the file is truncated");
    CHECK(refusal("GGML" + worked.substr(4)) == "does not begin with \"GGUF\"; not a GGUF file");
    const auto with_version = [](std::uint32_t version) { return "GGUF" + u32(version) + worked.substr(8); };
    CHECK(refusal(with_version(1)) == "byte 4: version is 1, expected 2 or 3");
    CHECK(refusal(with_version(4)) == "byte 4: version is 4, expected 2 or 3");
    CHECK(refusal(with_version(0)) == "byte 4: version is 0, expected 2 or 3");
    CHECK(refusal(with_version(0x03000000)) ==
          "byte 4: the file is big-endian, which is not read; expected a little-endian file");
}

TEST_CASE("counts and lengths that a file cannot hold are refused before anything is allocated", "[io]") {
    const auto with_counts = [](std::uint64_t tensors, std::uint64_t pairs) {
        return "GGUF" + u32(3) + u64(tensors) + u64(pairs);
    };
    for (const std::uint64_t huge : {1ULL, 1ULL << 32U, 1ULL << 63U, ~0ULL}) {
        CHECK(contains(refusal(with_counts(huge, 0)), " tensors do not fit in the 8 bytes that follow"));
        CHECK(contains(refusal(with_counts(0, huge)), " metadata pairs do not fit in the 0 bytes that follow"));
    }
    const auto with_pair = [](const std::string& bytes) { return "GGUF" + u32(3) + u64(0) + u64(1) + bytes; };
    const std::string rest(100, 'x');
    for (const std::uint64_t huge : {101ULL, 1ULL << 63U, (1ULL << 63U) + 1, ~0ULL, ~0ULL - 7}) {
        CHECK(contains(refusal(with_pair(u64(huge) + rest)), "a key takes "));
        CHECK(contains(refusal(with_pair(text("k") + u32(8) + u64(huge) + rest)), "key 'k' takes "));
        for (const std::uint32_t type : {0U, 7U, 8U, 12U})
            CHECK(contains(refusal(with_pair(text("k") + u32(9) + u32(type) + u64(huge) + rest)),
                           " elements of key 'k' do not fit in the 100 bytes that follow"));
        CHECK(contains(refusal("GGUF" + u32(3) + u64(1) + u64(0) + u64(huge) + rest), "a tensor's name takes "));
    }
    CHECK(contains(refusal(with_pair(text("k") + u32(9) + u32(12) + u64(13) + rest)), "13 elements of key 'k' do not"));
}

TEST_CASE("keys that are empty, endless or there twice are refused", "[io]") {
    CHECK(contains(refusal(file_of({pair("", 7, "\1"), architecture})), "a key has 0 bytes, expected 1 … 65535"));
    CHECK(contains(refusal(file_of({pair(std::string(65536, 'k'), 7, "\1")})), "a key has 65536 bytes"));
    CHECK(is_accepted(file_of({pair(std::string(65535, 'k'), 7, "\1")})));
    CHECK(contains(refusal(file_of({pair("a", 7, "\1"), architecture, pair("a", 4, u32(1))})),
                   "key 'a' stands there twice"));
}

TEST_CASE("values of no type, arrays of arrays and bools of 2 are refused", "[io]") {
    CHECK(contains(refusal(file_of({pair("k", 13, u64(1))})), "key 'k' is of type 13, expected 0 … 12"));
    CHECK(contains(refusal(file_of({pair("k", ~0U, u64(1))})), "key 'k' is of type 4294967295"));
    CHECK(contains(refusal(file_of({pair("k", 9, u32(13) + u64(0))})),
                   "key 'k' is an array of type 13, expected 0 … 12"));
    CHECK(contains(refusal(file_of({pair("k", 9, u32(9) + u64(1) + u32(0) + u64(1) + "a")})),
                   "key 'k' is an array of arrays"));
    CHECK(contains(refusal(file_of({pair("k", 7, "\2")})), "key 'k' is 2, expected 0 or 1, as it is a bool"));
    CHECK(contains(refusal(file_of({pair("k", 9, u32(7) + u64(2) + "\1\3")})), "key 'k' is 3, expected 0 or 1"));
}

TEST_CASE("an alignment that is no power of two, or no u32, is refused", "[io]") {
    const auto refused = [](std::uint32_t type, const std::string& value) {
        return refusal(file_of({pair("general.alignment", type, value)}));
    };
    CHECK(refused(4, u32(0)) == "key 'general.alignment' is 0, expected a power of two");
    CHECK(refused(4, u32(24)) == "key 'general.alignment' is 24, expected a power of two");
    CHECK(refused(10, u64(32)) == "key 'general.alignment' is of type u64, expected u32");
    CHECK(refused(8, text("32")) == "key 'general.alignment' is of type string, expected u32");
}

TEST_CASE("tensors with a name, axes or a type that no file has are refused by name", "[io]") {
    const auto refused = [](const std::string& info) { return refusal(file_of({}, {info}, std::string(4096, '\0'))); };
    CHECK(contains(refused(tensor_info(std::string(64, 'n'), {1}, 0, 0)),
                   "a tensor's name has 64 bytes, expected at most 63"));
    CHECK(is_accepted(file_of({}, {tensor_info(std::string(63, 'n'), {1}, 0, 0)}, std::string(4, '\0'))));
    CHECK(contains(refused(tensor_info("t", {1, 1, 1, 1, 1}, 0, 0)), "tensor 't' has 5 axes, expected at most 4"));
    for (const std::uint32_t type : {4U, 5U, 31U, 38U, 43U, ~0U})
        CHECK(contains(refused(tensor_info("t", {256}, type, 0)),
                       "tensor 't' has elements of type " + std::to_string(type) + ", which is not known"));
    CHECK(refusal(file_of({}, {tensor_info("t", {1}, 0, 0), tensor_info("t", {1}, 0, 32)}, std::string(64, '\0'))) ==
          "tensor 't' stands there twice");
}

TEST_CASE("shapes whose bytes overflow, or whose rows are not whole blocks, are refused", "[io]") {
    const auto refused = [](const std::vector<std::uint64_t>& ne, std::uint32_t type) {
        return refusal(file_of({}, {tensor_info("t", ne, type, 0)}, std::string(4096, '\0')));
    };
    CHECK(contains(refused({33, 2}, 2),
                   "tensor 't', Q4_0 [2, 33], is more than memory can address, or its rows are not "
                   "whole blocks of 32 elements"));
    CHECK(contains(refused({128}, 12), "whole blocks of 256 elements"));
    CHECK(contains(refused({}, 2), "Q4_0 []"));
    constexpr std::uint64_t two_32 = 1ULL << 32U;
    // To arithmetic that wraps these have 0, 0, 0, 12 and 18 bytes.
    for (const auto& ne : std::vector<std::vector<std::uint64_t>>{
             {two_32, two_32}, {1ULL << 62U}, {2, 1, 1ULL << 31U, 1ULL << 31U}, {(1ULL << 62U) + 3}})
        CHECK(contains(refused(ne, 0), "is more than memory can address"));
    CHECK(contains(refused({32, (1ULL << 63U) + 1}, 2), "is more than memory can address"));
    CHECK(contains(refused({~0ULL}, 24), "is more than memory can address"));
    CHECK(contains(refused({0, two_32, two_32}, 0), "is more than memory can address"));
    CHECK(contains(refused({two_32, two_32, 0}, 0), "is more than memory can address"));
}

TEST_CASE("tensors that are not where the ones before them end, or not in the file, are refused", "[io]") {
    const auto refused = [](std::uint64_t first, std::uint64_t second, std::size_t data) {
        return refusal(file_of({}, {tensor_info("a", {32, 2}, 2, first), tensor_info("b", {32}, 2, second)},
                               std::string(data, '\0')));
    };
    CHECK(refused(32, 96, 256) == "tensor 'a' begins at 32, expected 0, where the one before it ends");
    CHECK(refused(0, 36, 256) == "tensor 'b' begins at 36, expected 64, where the one before it ends");
    CHECK(refused(0, 96, 256) == "tensor 'b' begins at 96, expected 64, where the one before it ends");
    CHECK(refused(0, 0, 256) == "tensor 'b' begins at 0, expected 64, where the one before it ends");
    CHECK(refused(0, SIZE_MAX, 256) ==
          gptq::detail::text("tensor 'b' begins at ", SIZE_MAX, ", expected 64, where the one before it ends"));
    CHECK(contains(refused(1ULL << 32U, 64, 256), "4294967296"));  // which is not 0 where memory has 32 bits
    CHECK(refused(0, 64, 81) == "tensor 'b' has 18 bytes from 64 on, but the file has 81 bytes of data; truncated?");
    CHECK(refused(0, 64, 63) == "tensor 'b' has 18 bytes from 64 on, but the file has 63 bytes of data; truncated?");
    CHECK(refused(0, 64, 35) == "tensor 'a' has 36 bytes from 0 on, but the file has 35 bytes of data; truncated?");
    CHECK(contains(refusal(file_of({}, {tensor_info("a", {1ULL << 27U}, 0, 0)}, std::string(64, '\0'))),
                   "tensor 'a' has 536870912 bytes from 0 on, but the file has 64"));
}

TEST_CASE("a GGUF file cut off anywhere is refused, up to the padding that nobody reads", "[io]") {
    for (std::size_t size = 0; size < 128 + two_blocks.size(); ++size) {
        CAPTURE(size);
        CHECK_FALSE(is_accepted(worked.substr(0, size)));
    }
    for (std::size_t size = 128 + two_blocks.size(); size <= worked.size(); ++size)
        CHECK(is_accepted(worked.substr(0, size)));
}

TEST_CASE("a GGUF file with any byte changed, doubled or lost is read consistently or refused", "[io]") {
    std::size_t accepted = 0;
    for (std::size_t i = 0; i < worked.size(); ++i) {
        for (int value = 0; value < 256; value += i < 128 ? 1 : 51) {
            std::string changed = worked;
            changed[i] = static_cast<char>(value);
            accepted += is_accepted(changed);
        }
        is_accepted(worked.substr(0, i) + worked[i] + worked.substr(i));
        is_accepted(worked.substr(0, i) + worked.substr(i + 1));
    }
    CHECK(accepted > 1000);  // padding, text and data may be anything
}

TEST_CASE("ten thousand damaged GGUF files are read consistently or refused", "[io]") {
    const std::string whole = padded(file_of(
        {architecture, pair("general.alignment", 4, u32(32)),
         pair("tokens", 9, u32(8) + u64(3) + text("a") + text("bc") + text("")),
         pair("scores", 9, u32(6) + u64(2) + number(1.0F) + number(2.0F)), pair("flags", 9, u32(7) + u64(2) + "\1\1"),
         pair("count", 4, u32(7)), pair("yes", 7, "\1"), pair("long", 11, u64(9))},
        {tensor_info("t.weight", {32, 2}, 2, 0), tensor_info("norm", {3}, 0, 64), tensor_info("k", {256}, 14, 96)},
        padded(two_blocks) + padded(std::string(12, '\1')) + padded(std::string(210, '\2'))));
    REQUIRE(is_accepted(whole));
    std::mt19937 random(7);
    const auto below = [&random](std::size_t n) { return random() % n; };
    // What fields are likely to be confused with: small counts, types, and the ends of ranges.
    const std::vector<std::string> values = {
        u64(0), u64(1), u64(1ULL << 31U), u64(1ULL << 32U), u64(1ULL << 63U), u64(~0ULL),          u64(~0U),
        u32(8), u32(9), u32(14),          u32(0x80000000U), u32(~0U),         std::string(1, '\0')};
    std::size_t accepted = 0;
    for (int repeat = 0; repeat < 10'000; ++repeat) {
        std::string damaged = whole;
        for (std::size_t hits = 1 + below(3); hits > 0; --hits) {
            const std::size_t at = below(damaged.size()), length = std::min(1 + below(24), damaged.size() - at);
            switch (below(5)) {
                case 0: damaged[at] = static_cast<char>(below(256)); break;
                case 1: damaged[at] = static_cast<char>(damaged[at] ^ (1 << below(8))); break;
                case 2: damaged.erase(at, length); break;
                case 3: damaged.insert(at, damaged.substr(below(damaged.size()), length)); break;
                default: {
                    const std::string& value = values[below(values.size())];
                    damaged.replace(at, std::min(value.size(), damaged.size() - at), value);
                }
            }
            if (damaged.empty()) damaged = "G";
        }
        accepted += is_accepted(damaged);
    }
    CHECK(accepted > 500);
    CHECK(accepted < 9'500);
}

}  // namespace gguf_test
