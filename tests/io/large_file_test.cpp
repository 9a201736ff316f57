// Files of more than 4 GiB, whose sizes and offsets no 32 bits hold. Nearly all of them is a hole, which takes no disk.
// Where memory has 32 bits, they are refused.
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include <sys/stat.h>
#include <unistd.h>

#include <gptq/io/gguf.hpp>
#include <gptq/io/gguf_writer.hpp>
#include <gptq/io/mapped_file.hpp>
#include <gptq/io/model_files.hpp>
#include <gptq/io/model_writer.hpp>
#include <gptq/io/partial_file.hpp>
#include <gptq/io/safetensors.hpp>
#include <gptq/io/safetensors_writer.hpp>

#include "io/raw_file.hpp"
#include "support/catch.hpp"
#include "support/temp_folder.hpp"

namespace large_file_test {

using namespace gptq::io;
using gptq::ggml_type;

#if SIZE_MAX == UINT32_MAX

TEST_CASE("a file that 32 bits cannot address is refused", "[io]") {
    const temp_folder folder;
    const auto path = folder.write("f", "");
    REQUIRE(::truncate64(path.c_str(), std::int64_t{1} << 33U) == 0);
    CHECK(message_of<gptq::file_error>([&] { (void)mapped_file(path); }) ==
          path.string() + ": cannot open: Value too large for defined data type");
}

#else

namespace {

constexpr std::size_t four_gib = std::size_t{1} << 32U;
constexpr std::size_t much = std::size_t{1} << 24U;  // of disk, where little is expected

std::size_t taken_on_disk(const std::filesystem::path& path) {
    struct stat status {};
    REQUIRE(::stat(path.c_str(), &status) == 0);
    return static_cast<std::size_t>(status.st_blocks) * 512;
}

/// Whether a file here can be larger than 4 GiB and take next to nothing; says so where it cannot.
bool holes_are_free(const temp_folder& folder) {
    try {
        partial_file file(folder / "hole");
        file.resize(2 * four_gib);
        file.commit();
    } catch (const gptq::file_error& e) {
        WARN("not tested: this file system has no files of 8 GiB (" << e.what() << ")");
        return false;
    }
    const std::size_t taken = taken_on_disk(folder / "hole");
    std::filesystem::remove(folder / "hole");
    const auto free = std::filesystem::space(folder.path()).available;
    if (taken > much) WARN("not tested: this file system fills holes, and " << folder.path() << " would take 4 GiB");
    if (free < 4 * much) WARN("not tested: " << folder.path() << " has only " << free << " bytes of room");
    return taken <= much && free >= 4 * much;
}

/// Where a tensor lies in its file.
template <class Tensor>
std::size_t offset_of(const Tensor& tensor) {
    return static_cast<std::size_t>(tensor.bytes.data() - tensor.file->bytes().data());
}

const std::string large_end = "the end of the large tensor", small = "the tensor after it";

/// Writes a tensor that is 0 up to its end. "large" is 4 GiB and a little.
template <class Writer>
void write_both(Writer& writer) {
    writer.append_zeros("large", four_gib - 5);
    writer.append("large", as_bytes(large_end));
    writer.append_zeros("large", 37 - large_end.size());
    writer.append("small", as_bytes(small).first(5));
    writer.append("small", as_bytes(small).subspan(5));
    writer.finish();
}

template <class File>
void check_both(const File& file) {
    const auto& large = file.at("large");
    REQUIRE(large.bytes.size() == four_gib + 32);
    CHECK(bytes_of(large.bytes.first(64)) == std::string(64, '\0'));
    CHECK(bytes_of(large.bytes.subspan(four_gib - 16, 11)) == std::string(11, '\0'));
    CHECK(bytes_of(large.bytes.subspan(four_gib - 5, large_end.size())) == large_end);
    CHECK(offset_of(file.at("small")) > four_gib);
    CHECK(bytes_of(file.at("small").bytes) == small);
}

}  // namespace

TEST_CASE("a safetensors file of more than 4 GiB is written and read", "[io]") {
    const temp_folder folder;
    if (!holes_are_free(folder)) return;
    safetensors_writer writer(folder / "f",
                              std::vector<tensor_declaration>{{"large", dtype::F32, {4, four_gib / 16 + 2}},
                                                              {"small", dtype::U8, {small.size()}}});
    write_both(writer);
    CHECK(taken_on_disk(folder / "f") < much);
    const auto file = safetensors::open(folder / "f");
    CHECK(element_count(file.at("large")) == four_gib / 4 + 8);
    check_both(file);
}

TEST_CASE("a safetensors file of more than 4 GiB that others wrote is read", "[io]") {
    const temp_folder folder;
    if (!holes_are_free(folder)) return;
    const std::string header = R"({"large":{"dtype":"U8","shape":[4294967328],"data_offsets":[0,4294967328]},)"
                               R"("small":{"dtype":"U8","shape":[19],"data_offsets":[4294967328,4294967347]}})";
    const auto path = folder.write("f", raw_safetensors(header, ""));
    {
        const std::size_t data = 8 + header.size();
        const impl::file_descriptor file(path, O_WRONLY);
        REQUIRE(::ftruncate(file.get(), static_cast<off_t>(data + four_gib + 32 + 19)) == 0);
        const auto put = [&](std::size_t offset, const std::string& text) {
            const auto place = static_cast<off_t>(data + offset);
            REQUIRE(::pwrite(file.get(), text.data(), text.size(), place) == static_cast<ssize_t>(text.size()));
        };
        put(four_gib - 5, large_end);
        put(four_gib + 32, small);
    }
    check_both(safetensors::open(path));
}

TEST_CASE("a GGUF file of more than 4 GiB is written and read", "[io]") {
    const temp_folder folder;
    if (!holes_are_free(folder)) return;
    gguf_writer writer(folder / "f", {},
                       std::vector<gguf_declaration>{{"large", ggml_type::f32, {4, four_gib / 16 + 2}},
                                                     {"small", ggml_type::i8, {small.size()}}});
    write_both(writer);
    CHECK(taken_on_disk(folder / "f") < much);
    const auto file = gguf::open(folder / "f");
    CHECK(element_count(file.at("large")) == four_gib / 4 + 8);
    check_both(file);
}

TEST_CASE("a model's shards may be larger than 4 GiB, and its index says how large they are together", "[io]") {
    const temp_folder folder;
    if (!holes_are_free(folder)) return;
    const std::vector<tensor_declaration> tensors = {{"large", dtype::U8, {four_gib + 32}},
                                                     {"small", dtype::U8, {small.size()}},
                                                     {"huge", dtype::I64, {four_gib / 4}}};
    model_writer writer(folder.path(), tensors, four_gib + 1000);
    writer.append_zeros("huge", 2 * four_gib);
    write_both(writer);
    const auto model = model_files::open(folder.path());
    check_both(model);
    CHECK(model.at("huge").bytes.size() == 2 * four_gib);
    const auto index = impl::parse_json(read_bytes(folder / impl::index_name), "index");
    CHECK(index["metadata"]["total_size"] == 3 * four_gib + 32 + small.size());
    CHECK(index["weight_map"]["large"] == index["weight_map"]["small"]);
    CHECK(index["weight_map"]["large"] != index["weight_map"]["huge"]);
}

#endif

}  // namespace large_file_test
