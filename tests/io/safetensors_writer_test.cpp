// Writing: the layout on disk, and there and back for every element type.
#include <gptq/io/safetensors_writer.hpp>

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include <gptq/io/safetensors.hpp>

#include "io/raw_file.hpp"
#include "support/catch.hpp"
#include "support/killed.hpp"
#include "support/temp_folder.hpp"

namespace safetensors_writer_test {

using namespace gptq::io;
using declarations = std::vector<tensor_declaration>;
using shape = std::vector<std::size_t>;

namespace {

/// Bytes that differ from place to place, and between names of different length.
std::vector<std::byte> some_bytes(const tensor_declaration& tensor) {
    std::vector<std::byte> bytes(byte_count(tensor.type, tensor.shape).value());
    for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(31 * i + tensor.name.size());
    return bytes;
}

/// Writes them last to first, and returns the finished file.
std::filesystem::path written(const temp_folder& folder, const declarations& tensors,
                              std::map<std::string, std::string> metadata = {}) {
    safetensors_writer writer(folder / "f.safetensors", tensors, std::move(metadata));
    for (auto tensor = tensors.rbegin(); tensor != tensors.rend(); ++tensor)
        writer.write(tensor->name, some_bytes(*tensor));
    writer.finish();
    return folder / "f.safetensors";
}

}  // namespace

TEST_CASE("a file is laid out as documented, the widest elements first", "[io]") {
    const temp_folder folder;
    safetensors_writer writer(folder / "f", declarations{{"a", dtype::F16, {2, 2}}, {"b", dtype::I32, {1}}});
    const std::vector<std::uint16_t> a = {0x3C00, 0x3800, 0x3400, 0xBE00};
    const std::vector<std::uint32_t> b = {0x12345678};
    writer.write("a", gptq::impl::little_endian_bytes(a));
    writer.write("b", gptq::impl::little_endian_bytes(b));
    writer.finish();
    std::string header = R"({"__metadata__":{"format":"pt"},"b":{"dtype":"I32","shape":[1],"data_offsets":[0,4]},)"
                         R"("a":{"dtype":"F16","shape":[2,2],"data_offsets":[4,12]}})";
    header.resize(3 * 64 - 8, ' ');  // the data begin at a multiple of 64
    CHECK(read_bytes(folder / "f") ==
          raw_safetensors(header, std::string("\x78\x56\x34\x12\x00\x3C\x00\x38\x00\x34\x00\xBE", 12)));
}

TEST_CASE("tensors of every type come back as they were, each at a multiple of its size", "[io]") {
    declarations tensors;
    for (std::size_t i = 0; i < dtypes.size(); ++i)
        for (const shape& s : {shape{}, shape{3, 4}, shape{5, 8}, shape{2, 0}})
            if (byte_count(static_cast<dtype>(i), s))
                tensors.push_back({std::string(dtypes[i].name) + shape_text(s), static_cast<dtype>(i), s});
    const temp_folder folder;
    const auto path = written(folder, tensors);
    const auto file = safetensors::open(path);
    CHECK(file.tensors().size() == tensors.size());
    std::set<dtype> types;
    for (const tensor_declaration& expected : tensors) {
        CAPTURE(expected.name);
        const tensor_ref& tensor = file.at(expected.name);
        if (!tensor.bytes.empty()) types.insert(tensor.type);
        CHECK(tensor.type == expected.type);
        CHECK(tensor.shape == expected.shape);
        CHECK(bytes_of(tensor.bytes) == bytes_of(some_bytes(expected)));
        const auto offset = static_cast<std::size_t>(tensor.bytes.data() - tensor.file->bytes().data());
        if (bits(tensor.type) >= 8) CHECK(offset % (bits(tensor.type) / 8) == 0);
    }
    CHECK(types.size() == 22);
}

TEST_CASE("names and metadata of any text come back", "[io]") {
    const temp_folder folder;
    const std::map<std::string, std::string> metadata = {
        {"format", "np"}, {"quote", "\"\\\n\t"}, {"é", "日本"}, {"", ""}};
    const declarations tensors = {{"a \"b\" \\ é", dtype::U8, {1}}, {"", dtype::U8, {2}}};
    {
        safetensors_writer writer(folder / "f", tensors, metadata);
        writer.write(tensors[0].name, std::vector{std::byte{1}});
        writer.write("", std::vector{std::byte{2}, std::byte{3}});
        writer.finish();
    }
    const auto file = safetensors::open(folder / "f");
    CHECK(file.metadata() == metadata);
    CHECK(bytes_of(file.at(tensors[0].name).bytes) == "\x01");
    CHECK(bytes_of(file.at("").bytes) == "\x02\x03");
}

TEST_CASE("a file without tensors, or only with empty ones, is a file", "[io]") {
    const temp_folder folder;
    CHECK(safetensors::open(written(folder, {})).tensors().empty());
    CHECK(safetensors::open(written(folder, {{"e", dtype::F32, {0}}})).at("e").bytes.empty());
}

TEST_CASE("declarations that no file can hold are refused before one is made", "[io]") {
    const temp_folder folder;
    const auto refused = [&folder](const declarations& tensors, std::map<std::string, std::string> metadata = {}) {
        return message_of<gptq::option_error>([&] { safetensors_writer(folder / "f", tensors, metadata); });
    };
    CHECK(contains(refused({{"a", dtype::U8, {1}}, {"a", dtype::U8, {2}}}), "f: tensor 'a' is declared twice"));
    CHECK(contains(refused({{"__metadata__", dtype::U8, {1}}}), "a name that the format reserves"));
    CHECK(contains(refused({{"a", dtype::F4, {3}}}), "tensor 'a', F4 [3], is more than memory can address, or not a"));
    constexpr std::size_t huge = ~std::size_t{0} / 32 + 1;
    CHECK(contains(refused({{"a", dtype::U8, {16, huge}}}),
                   gptq::detail::text("tensor 'a', U8 [16, ", huge, "], is more than")));
    declarations many;
    for (char c = 'a'; c < 'i'; ++c) many.push_back({std::string(1, c), dtype::U8, {huge}});
    CHECK(contains(refused(many), "the tensors together are too large for a file"));
    CHECK(contains(refused({{"\xFF", dtype::U8, {1}}}), "is not UTF-8"));
    CHECK(contains(refused({}, {{"k", "\xC3"}}), "is not UTF-8"));
    CHECK(std::filesystem::is_empty(folder.path()));
}

TEST_CASE("a header larger than the format allows is refused", "[io][.slow]") {
    const temp_folder folder;
    const declarations tensors = {{std::string(100'000'000, 'x'), dtype::U8, {1}}};
    CHECK(contains(message_of<gptq::option_error>([&] { safetensors_writer(folder / "f", tensors); }),
                   "bytes, of which the format allows 100000000"));
}

TEST_CASE("each declared tensor is written once, whole", "[io]") {
    const temp_folder folder;
    safetensors_writer writer(folder / "f", declarations{{"a", dtype::F16, {2}}, {"b", dtype::F16, {2}}});
    const std::vector<std::byte> four(4);
    CHECK(contains(message_of<gptq::option_error>([&] { writer.write("c", four); }), "f: tensor 'c' was not declared"));
    CHECK(message_of<gptq::shape_error>([&] { writer.write("a", std::span(four).first(3)); }) ==
          (folder / "f").string() + ": tensor 'a': number of bytes is 3, expected 4");
    writer.write("a", four);
    CHECK(contains(message_of<gptq::option_error>([&] { writer.write("a", four); }), "for the second time"));
    CHECK(contains(message_of<gptq::option_error>([&] { writer.finish(); }),
                   "f: 1 of the declared tensors were not written, such as 'b'"));
    writer.write("b", four);
    CHECK_NOTHROW(writer.finish());
    CHECK(safetensors::open(folder / "f").tensors().size() == 2);
}

TEST_CASE("a tensor can be written in pieces, between other tensors", "[io]") {
    const temp_folder folder;
    safetensors_writer writer(folder / "f", declarations{{"a", dtype::U8, {5}}, {"b", dtype::U8, {2}}});
    const std::string one = "one", two = "2", three = "33", rest = "!";
    writer.append("a", as_bytes(one));
    writer.append("b", as_bytes(two));
    CHECK(message_of<gptq::shape_error>([&] { writer.append("a", as_bytes(one)); }) ==
          (folder / "f").string() + ": tensor 'a': 3 more bytes, of which it has 2 left");
    CHECK(contains(message_of<gptq::option_error>([&] { writer.finish(); }), "2 of the declared tensors"));
    writer.append("a", {});
    writer.append("a", as_bytes(three));
    writer.write("b", as_bytes(rest));
    CHECK(contains(message_of<gptq::option_error>([&] { writer.append("a", {}); }), "for the second time"));
    writer.finish();
    const auto file = safetensors::open(folder / "f");
    CHECK(bytes_of(file.at("a").bytes) == "one33");
    CHECK(bytes_of(file.at("b").bytes) == "2!");
}

TEST_CASE("zeros among the pieces of a tensor are read as zeros", "[io]") {
    const temp_folder folder;
    safetensors_writer writer(folder / "f", declarations{{"a", dtype::U8, {7}}, {"b", dtype::U8, {2}}});
    const std::string one = "one", two = "2";
    writer.append_zeros("a", 2);
    writer.append("a", as_bytes(one));
    CHECK(message_of<gptq::shape_error>([&] { writer.append_zeros("a", 3); }) ==
          (folder / "f").string() + ": tensor 'a': 3 more bytes, of which it has 2 left");
    writer.append_zeros("a", 2);
    CHECK_FALSE(writer.is_complete());
    writer.append_zeros("b", 1);
    writer.append("b", as_bytes(two));
    CHECK(writer.is_complete());
    CHECK(contains(message_of<gptq::option_error>([&] { writer.append_zeros("b", 0); }), "for the second time"));
    writer.finish();
    const auto file = safetensors::open(folder / "f");
    CHECK(bytes_of(file.at("a").bytes) == std::string("\0\0one\0\0", 7));
    CHECK(bytes_of(file.at("b").bytes) == std::string("\0002", 2));
}

TEST_CASE("a file whose writer is killed never has its name", "[io]") {
    const temp_folder folder;
    kill_in_the_middle_of([&](auto die) {
        safetensors_writer writer(folder / "f", declarations{{"a", dtype::U8, {2}}, {"b", dtype::U8, {2}}});
        writer.append_zeros("a", 2);
        writer.append_zeros("b", 1);
        die();
    });
    CHECK_FALSE(std::filesystem::exists(folder / "f"));
    CHECK(bytes_of(safetensors::open(written(folder, {{"a", dtype::U8, {2}}})).at("a").bytes).size() == 2);
}

TEST_CASE("a file that is not finished leaves nothing", "[io]") {
    const temp_folder folder;
    { safetensors_writer writer(folder / "f", declarations{{"a", dtype::U8, {1}}}); }
    CHECK(std::filesystem::is_empty(folder.path()));
}

}  // namespace safetensors_writer_test
