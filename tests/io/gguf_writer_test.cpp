// Writing: the worked example byte by byte, and there and back for every type of tensor and value.
#include <gptq/io/gguf_writer.hpp>

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include <gptq/io/gguf.hpp>
#include <gptq/pack/ggml_convert.hpp>
#include <gptq/pack/packed_linear.hpp>

#include "io/raw_file.hpp"
#include "pack/random_layer.hpp"
#include "support/catch.hpp"
#include "support/killed.hpp"
#include "support/temp_folder.hpp"

namespace gguf_writer_test {

using namespace gptq::io;
using gptq::ggml_type;
using declarations = std::vector<gguf_declaration>;
using shape = std::vector<std::size_t>;

namespace {

/// Bytes that differ from place to place, and between names of different length.
std::vector<std::byte> some_bytes(const gguf_declaration& tensor) {
    std::vector<std::byte> bytes(impl::tensor_bytes(tensor.type, tensor.shape).value());
    for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(31 * i + tensor.name.size());
    return bytes;
}

/// Writes them last to first, and returns the finished file.
std::filesystem::path written(const temp_folder& folder, const declarations& tensors,
                              const gguf_metadata& metadata = {}) {
    gguf_writer writer(folder / "f", metadata, tensors);
    for (auto tensor = tensors.rbegin(); tensor != tensors.rend(); ++tensor)
        writer.write(tensor->name, some_bytes(*tensor));
    writer.finish();
    return folder / "f";
}

}  // namespace

TEST_CASE("a GGUF file is the documented bytes", "[io]") {
    const temp_folder folder;
    gguf_writer writer(folder / "f", {{"general.architecture", "llama"}},
                       declarations{{"t.weight", ggml_type::q4_0, {2, 32}}});
    const std::string blocks = "d-and-16-codes-in-a-block-of-18-byte";
    writer.write("t.weight", as_bytes(blocks));
    writer.finish();
    std::string expected("GGUF\3\0\0\0\1\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0", 24);
    expected += std::string("\x14\0\0\0\0\0\0\0general.architecture\x08\0\0\0\x05\0\0\0\0\0\0\0llama", 45);
    expected += std::string("\x08\0\0\0\0\0\0\0t.weight\2\0\0\0\x20\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0\2\0\0\0", 40);
    expected += std::string(8 + 11, '\0') + blocks + std::string(28, '\0');
    REQUIRE(expected.size() == 192);
    CHECK(read_bytes(folder / "f") == expected);
}

TEST_CASE("GGUF tensors of every type come back as they were, each where its alignment wants it", "[io]") {
    declarations tensors;
    for (std::uint32_t number = 0; number < gptq::ggml_types.size(); ++number)
        if (const auto type = gptq::ggml_type_numbered(number))
            for (const shape& s : {shape{256}, shape{3, 256}, shape{2, 1, 3, 512}, shape{0, 256}})
                tensors.push_back({gptq::detail::text(name(*type), shape_text(s)), *type, s});
    const std::uint32_t alignment = GENERATE(1U, 32U, 256U);
    const temp_folder folder;
    const gguf file = gguf::open(written(folder, tensors, {{"general.alignment", alignment}}));
    CHECK(file.tensors().size() == tensors.size());
    for (const gguf_declaration& expected : tensors) {
        CAPTURE(expected.name);
        const gguf_tensor& tensor = file.at(expected.name);
        CHECK(tensor.type == expected.type);
        CHECK(tensor.shape == expected.shape);
        CHECK(bytes_of(tensor.bytes) == bytes_of(some_bytes(expected)));
        if (!tensor.bytes.empty())
            CHECK(static_cast<std::size_t>(tensor.bytes.data() - tensor.file->bytes().data()) % alignment == 0);
    }
}

TEST_CASE("metadata of every type comes back as it was", "[io]") {
    const gguf_metadata metadata = {
        {"u8", std::uint8_t{255}},
        {"i8", std::int8_t{-128}},
        {"u16", std::uint16_t{65535}},
        {"i16", std::int16_t{-32768}},
        {"u32", std::uint32_t{4294967295}},
        {"i32", -2147483647},
        {"f32", 1.5F},
        {"yes", true},
        {"no", false},
        {"string", "é\n"},
        {"empty", ""},
        {"u64", std::numeric_limits<std::uint64_t>::max()},
        {"i64", std::numeric_limits<std::int64_t>::min()},
        {"f64", 0.1},
        {"u8s", std::vector<std::uint8_t>{1, 2}},
        {"i8s", std::vector<std::int8_t>{-1}},
        {"u16s", std::vector<std::uint16_t>{1, 65535}},
        {"i16s", std::vector<std::int16_t>{-3}},
        {"u32s", std::vector<std::uint32_t>{}},
        {"i32s", std::vector<std::int32_t>{1, -1}},
        {"f32s", std::vector<float>{0.5F, -0.0F}},
        {"bools", std::vector<bool>{true, false, true, true}},
        {"strings", std::vector<std::string>{"a", "", "b c"}},
        {"u64s", std::vector<std::uint64_t>{7}},
        {"i64s", std::vector<std::int64_t>{-7}},
        {"f64s", std::vector<double>{1e300}},
    };
    const temp_folder folder;
    const gguf file = gguf::open(written(folder, {}, metadata));
    CHECK(file.metadata() == metadata);
    CHECK(file.value<std::int32_t>("i32") == -2147483647);
    CHECK(file.tensors().empty());
}

TEST_CASE("a packed layer goes through a GGUF file and stays the same weights", "[io]") {
    const auto q = random_layer(24, 96, {.bits = 3, .group_size = 32});
    const gptq::packed_linear p = gptq::pack(q);
    const temp_folder folder;
    const ggml_type type = gptq::exact_ggml_type(p);
    gguf_writer writer(folder / "f", {}, declarations{{"w", type, {p.out_features, p.in_features}}});
    writer.write("w", gptq::to_ggml(p, type));
    writer.finish();
    const gguf file = gguf::open(folder / "f");
    const gguf_tensor& w = file.at("w");
    const auto floats = to_floats(w);
    const auto back = gptq::from_ggml(w.type, w.shape[0], w.shape[1], w.bytes);
    std::size_t wrong = 0;
    for (std::size_t o = 0; o < 24; ++o)
        for (std::size_t i = 0; i < 96; ++i) {
            wrong += floats[o * 96 + i] != value_at(p, o, i);
            wrong += back.value(o, i) != value_at(p, o, i);
        }
    CHECK(wrong == 0);
}

TEST_CASE("GGUF declarations that no file can hold are refused before one is made", "[io]") {
    const temp_folder folder;
    const auto refused = [&folder](const declarations& tensors, const gguf_metadata& metadata = {}) {
        return message_of<gptq::option_error>([&] { gguf_writer(folder / "f", metadata, tensors); });
    };
    CHECK(
        contains(refused({{"a", ggml_type::f32, {1}}, {"a", ggml_type::f32, {2}}}), "f: tensor 'a' is declared twice"));
    CHECK(contains(refused({{std::string(64, 'n'), ggml_type::f32, {1}}}), "a name of 64 bytes, expected at most 63"));
    CHECK(contains(refused({{"a", ggml_type::f32, {}}}), "tensor 'a' has 0 axes, expected 1 … 4"));
    CHECK(contains(refused({{"a", ggml_type::f32, {1, 1, 1, 1, 1}}}), "tensor 'a' has 5 axes, expected 1 … 4"));
    CHECK(contains(refused({{"a", ggml_type::q4_0, {32, 31}}}), "tensor 'a', Q4_0 [32, 31], is more than memory can"));
    constexpr std::size_t huge = ~std::size_t{0} / 32 + 1;
    CHECK(contains(refused({{"a", ggml_type::i8, {16, huge}}}),
                   gptq::detail::text("tensor 'a', I8 [16, ", huge, "], is more than")));
    declarations many;
    for (char c = 'a'; c < 'i'; ++c) many.push_back({std::string(1, c), ggml_type::i8, {huge}});
    CHECK(contains(refused(many), "the tensors together are too large for a file"));
    CHECK(contains(refused({}, {{"", true}}), "a key has 0 bytes, expected 1 … 65535"));
    CHECK(contains(refused({}, {{std::string(65536, 'k'), true}}), "a key has 65536 bytes"));
    CHECK(contains(refused({}, {{"k", gguf_array(gguf_no_nesting{})}}), "key 'k' is an array of arrays"));
    CHECK(contains(refused({}, {{"general.alignment", 32}}), "key 'general.alignment' is of type i32, expected u32"));
    CHECK(contains(refused({}, {{"general.alignment", std::uint32_t{48}}}), "is 48, expected a power of two"));
    CHECK(std::filesystem::is_empty(folder.path()));
}

TEST_CASE("each declared GGUF tensor is written once, whole or in pieces, in any order", "[io]") {
    const temp_folder folder;
    gguf_writer writer(folder / "f", {}, declarations{{"a", ggml_type::i8, {5}}, {"b", ggml_type::i8, {2}}});
    const std::string one = "one", two = "2", three = "33", rest = "!";
    CHECK(contains(message_of<gptq::option_error>([&] { writer.write("c", as_bytes(one)); }),
                   "f: tensor 'c' was not declared"));
    CHECK(message_of<gptq::shape_error>([&] { writer.write("a", as_bytes(one)); }) ==
          (folder / "f").string() + ": tensor 'a': number of bytes is 3, expected 5");
    writer.append("a", as_bytes(one));
    writer.append("b", as_bytes(two));
    CHECK(message_of<gptq::shape_error>([&] { writer.append("a", as_bytes(one)); }) ==
          (folder / "f").string() + ": tensor 'a': 3 more bytes, of which it has 2 left");
    CHECK(contains(message_of<gptq::option_error>([&] { writer.finish(); }),
                   "f: 2 of the declared tensors were not written, such as 'a'"));
    CHECK_FALSE(std::filesystem::exists(folder / "f"));
    writer.append("b", as_bytes(rest));
    writer.append("a", as_bytes(three));
    CHECK(contains(message_of<gptq::option_error>([&] { writer.append("a", {}); }), "for the second time"));
    writer.finish();
    const gguf file = gguf::open(folder / "f");
    CHECK(bytes_of(file.at("a").bytes) == "one33");
    CHECK(bytes_of(file.at("b").bytes) == "2!");
}

TEST_CASE("zeros among the pieces of a GGUF tensor are read as zeros", "[io]") {
    const temp_folder folder;
    gguf_writer writer(folder / "f", {}, declarations{{"a", ggml_type::i8, {5}}});
    const std::string one = "one";
    writer.append_zeros("a", 1);
    writer.append("a", as_bytes(one));
    CHECK_THROWS_AS(writer.append_zeros("a", 2), gptq::shape_error);
    writer.append_zeros("a", 1);
    writer.finish();
    CHECK(bytes_of(gguf::open(folder / "f").at("a").bytes) == std::string("\0one\0", 5));
}

TEST_CASE("a GGUF file whose writer is killed never has its name", "[io]") {
    const temp_folder folder;
    kill_in_the_middle_of([&](auto die) {
        gguf_writer writer(folder / "f", {}, declarations{{"a", ggml_type::i8, {2}}, {"b", ggml_type::i8, {2}}});
        writer.append_zeros("a", 2);
        writer.append_zeros("b", 1);
        die();
    });
    CHECK_FALSE(std::filesystem::exists(folder / "f"));
    CHECK(gguf::open(written(folder, {{"a", ggml_type::i8, {2}}})).at("a").bytes.size() == 2);
}

TEST_CASE("a GGUF file that is not finished leaves nothing", "[io]") {
    const temp_folder folder;
    { gguf_writer writer(folder / "f", {}, declarations{{"a", ggml_type::i8, {1}}}); }
    CHECK(std::filesystem::is_empty(folder.path()));
}

}  // namespace gguf_writer_test
