// What is no ordinary file, names that are no names, and files that are damaged: every reader refuses them by their
// own path, in one line, and none waits or crashes. What each format's own rules refuse is in that format's test.
#include <gptq/io/awq_config.hpp>
#include <gptq/io/compressed_tensors_config.hpp>
#include <gptq/io/gguf.hpp>
#include <gptq/io/gptq_config.hpp>
#include <gptq/io/hessian_file.hpp>
#include <gptq/io/model_files.hpp>
#include <gptq/io/safetensors.hpp>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <numeric>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include <sys/stat.h>

#include "io/raw_file.hpp"
#include "support/catch.hpp"
#include "support/temp_folder.hpp"

namespace hostile_file_test {

using namespace gptq::io;
using gptq::file_error;
using gptq::format_error;

namespace {

/// The least that load_hessian asks of a Hessian.
struct rows_of_sums {
    using value_type = float;
    std::vector<std::vector<float>> rows;

    [[nodiscard]] std::size_t in_features() const { return rows.size(); }
    [[nodiscard]] std::size_t tokens() const { return 4; }
    [[nodiscard]] std::size_t refused_tokens() const { return 0; }
    [[nodiscard]] double weight() const { return 2.5; }
    [[nodiscard]] std::span<const float> sum_row(std::size_t r) const { return rows[r]; }

    struct counts {
        std::size_t tokens, refused;
        double weight;
    };
    template <class Fill>
    [[nodiscard]] static rows_of_sums from_sum(std::size_t n, const counts&, Fill&& fill) {
        rows_of_sums h;
        for (std::size_t r = 0; r < n; ++r) fill(r, std::span<float>(h.rows.emplace_back(r + 1)));
        return h;
    }
};

/// A file of a folder, and what reads it there.
struct reader {
    const char* file;
    std::function<void(const std::filesystem::path& folder)> read;
};

const std::vector<reader> readers = {
    {"model.safetensors", [](const auto& folder) { (void)model_files::open(folder); }},
    {"model.safetensors.index.json", [](const auto& folder) { (void)model_files::open(folder); }},
    {"only.safetensors", [](const auto& folder) { (void)model_files::open(folder); }},
    {"model.gguf", [](const auto& folder) { (void)gguf::open(folder / "model.gguf"); }},
    {"hessian", [](const auto& folder) { (void)load_hessian<rows_of_sums>(folder / "hessian"); }},
    {"quantize_config.json", [](const auto& folder) { (void)read_gptq_config(folder); }},
    {"quant_config.json", [](const auto& folder) { (void)read_awq_config(folder); }},
    {"config.json", [](const auto& folder) { (void)read_gptq_config(folder); }},
    {"config.json", [](const auto& folder) { (void)read_awq_config(folder); }},
    {"config.json", [](const auto& folder) { (void)read_compressed_config(folder); }},
};

/// Reads bytes as if they were a file: true when they are accepted, false when they are refused in one line.
template <class F>
bool is_accepted(F&& read) {
    const std::string message = message_of<format_error>(read);
    const auto is_control = [](char c) { return static_cast<unsigned char>(c) < 0x20; };
    REQUIRE(std::ranges::none_of(message, is_control));
    return message == "(nothing was thrown)";
}

const std::string all_bytes = [] {
    std::string bytes(256, '\0');
    std::iota(bytes.begin(), bytes.end(), '\0');
    return bytes;
}();

/// A file that is refused when it is cut off anywhere, and read or refused when any byte becomes any of `changes`.
/// @param read  read(bytes)
template <class F>
void check_damaged(const std::string& file, F&& read, const std::string& changes = all_bytes) {
    const auto accepted = [&](const std::string& bytes) { return is_accepted([&] { read(bytes); }); };
    REQUIRE(accepted(file));
    for (std::size_t size = 0; size < file.size(); ++size) {
        CAPTURE(size);
        CHECK_FALSE(accepted(file.substr(0, size)));
    }
    for (std::size_t i = 0; i < file.size(); ++i)
        for (const char change : changes) {
            std::string changed = file;
            changed[i] = change;
            (void)accepted(changed);
        }
}

/// A header with one tensor of one byte.
std::string file_with_tensor(const std::string& name) {
    return raw_safetensors("{" + nlohmann::json(name).dump() + R"(:{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})",
                           "x");
}

}  // namespace

TEST_CASE("a pipe, a folder or a loop of links in the place of a file is refused, and nobody waits for it", "[io]") {
    for (const reader& r : readers) {
        CAPTURE(r.file);
        const auto refused = [&r](const std::function<void(const std::filesystem::path&)>& make) {
            const temp_folder folder;
            make(folder / r.file);
            const std::string message = message_of<file_error>([&] { r.read(folder.path()); });
            CHECK(contains(message, (folder / r.file).string()));
            return message;
        };
        CHECK(contains(refused([](const auto& path) { REQUIRE(::mkfifo(path.c_str(), 0600) == 0); }),
                       ": is not an ordinary file"));
        CHECK(contains(refused([](const auto& path) { std::filesystem::create_directory(path); }),
                       ": is not an ordinary file"));
        CHECK(contains(refused([](const auto& path) { std::filesystem::create_symlink("/dev/zero", path); }),
                       ": is not an ordinary file"));
        CHECK(contains(refused([](const auto& path) { std::filesystem::create_symlink(path, path); }),
                       "Too many levels of symbolic links"));
    }
}

TEST_CASE("a shard that is a pipe, a folder or a loop of links is refused", "[io]") {
    const temp_folder folder;
    folder.write("model.safetensors.index.json", R"({"weight_map":{"a":"1"}})");
    const auto refusal = [&] { return message_of<file_error>([&] { (void)model_files::open(folder.path()); }); };
    REQUIRE(::mkfifo((folder / "1").c_str(), 0600) == 0);
    CHECK(refusal() == (folder / "1").string() + ": is not an ordinary file");
    std::filesystem::remove(folder / "1");
    std::filesystem::create_directory(folder / "1");
    CHECK(refusal() == (folder / "1").string() + ": is not an ordinary file");
    std::filesystem::remove(folder / "1");
    std::filesystem::create_symlink("1", folder / "1");
    CHECK(contains(refusal(), "Too many levels of symbolic links"));
}

TEST_CASE("an index that names a file which no file system has is refused by the system's reason", "[io]") {
    const temp_folder folder;
    folder.write("model.safetensors.index.json", R"({"weight_map":{"a":")" + std::string(300, 'n') + "\"}}");
    CHECK(contains(message_of<file_error>([&] { (void)model_files::open(folder.path()); }), "File name too long"));
}

TEST_CASE("tensors may have any names, and messages about them stay one line", "[io]") {
    for (const std::string& name : {std::string(), std::string("a\0b", 3), std::string("\x1B[2J\r\n\x7F"),
                                    std::string("\xC3\xA9 '\"\\"), std::string(10'000, 'n')}) {
        const std::string bytes = file_with_tensor(name);
        const auto file = safetensors::over(as_bytes(bytes), "f");
        CHECK(file.contains(name));
        CHECK(file.at(name).name == name);
        CHECK_FALSE(file.contains(name + "x"));
    }
    const auto refusal = [](const std::string& name) {
        const std::string bytes = file_with_tensor(name) + "y";
        const std::string message = message_of<format_error>([&] { (void)safetensors::over(as_bytes(bytes), "f"); });
        const std::string_view end = ", but the file has 2 bytes of data";
        CHECK(message.ends_with(end));
        const std::string absent =
            message_of<format_error>([&] { (void)safetensors::over(as_bytes(file_with_tensor("t")), "f").at(name); });
        return absent;
    };
    CHECK(refusal("") == "f: has no tensor ''");
    CHECK(refusal(std::string("a\0b", 3)) == "f: has no tensor 'a\\x00b'");
    CHECK(refusal("\x1B[2J\r\n\x7F") == "f: has no tensor '\\x1B[2J\\x0D\\x0A\\x7F'");
    CHECK(refusal("\xC3\xA9") == "f: has no tensor '\xC3\xA9'");
    const std::string endless = refusal(std::string(10'000, 'n'));
    CHECK(endless.size() < 3'000);
    CHECK(endless.starts_with("f: has no tensor 'nnn"));
    CHECK(endless.ends_with("nnn'"));
}

TEST_CASE("names that are not UTF-8 are refused where JSON has them, and read where bytes are", "[io]") {
    const std::string json = raw_safetensors("{\"\xFF\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", "x");
    CHECK(message_of<format_error>([&] { (void)safetensors::over(as_bytes(json), "f"); }) ==
          "f: header: not JSON at byte 2");
    const auto number = [](auto value) { return bytes_of(std::vector{value}); };
    const std::string name("\xFF\0\n", 3);
    const std::string bytes = "GGUF" + number(std::uint32_t{3}) + number(std::uint64_t{0}) + number(std::uint64_t{1}) +
                              number(std::uint64_t{name.size()}) + name + number(std::uint32_t{7}) + '\1';
    const auto file = gguf::over(as_bytes(bytes), "f");
    CHECK(file.value<bool>(name));
    CHECK(message_of<format_error>([&] { (void)file.value<float>(name); }) ==
          "f: key '\xFF\\x00\\x0A' is of type bool, expected f32");
}

TEST_CASE("values ten levels deep are read where nobody looks, and refused where a number belongs", "[io]") {
    const std::string nested = std::string(10, '[') + std::string(10, ']');
    const auto file = [](const std::string& fields) {
        return raw_safetensors("{\"t\":{" + fields + "\"data_offsets\":[0,1]}}", "x");
    };
    const std::string extra = file("\"extra\":" + nested + ",\"dtype\":\"U8\",\"shape\":[1],");
    CHECK(safetensors::over(as_bytes(extra)).at("t").shape == std::vector<std::size_t>{1});
    const auto refusal = [&](const std::string& fields) {
        const std::string bytes = file(fields);
        return message_of<format_error>([&] { (void)safetensors::over(as_bytes(bytes), "f"); });
    };
    CHECK(refusal("\"dtype\":\"U8\",\"shape\":" + nested + ",") ==
          "f: tensor 't': shape is of type array, expected a whole number, not negative");
    CHECK(refusal("\"dtype\":" + nested + ",\"shape\":[1],") ==
          "f: tensor 't': dtype is of type array, expected a string");
}

TEST_CASE("numbers that are no sizes are refused for what they are", "[io]") {
    const auto refusal = [](const std::string& number) {
        const std::string bytes =
            raw_safetensors("{\"t\":{\"dtype\":\"U8\",\"shape\":[" + number + "],\"data_offsets\":[0,1]}}", "x");
        return message_of<format_error>([&] { (void)safetensors::over(as_bytes(bytes), "f"); });
    };
    const std::string shape = "f: tensor 't': shape is ", size = ", expected a whole number, not negative";
    CHECK(refusal("1e400") == "f: header: JSON holds a number that is out of range");
    CHECK(refusal("-0") == shape + "0" + size);
    CHECK(refusal("-1") == shape + "-1" + size);
    CHECK(refusal("1.0") == shape + "1.0" + size);
    CHECK(refusal("18446744073709551616") == shape + "1.8446744073709552e+19" + size);
    CHECK(refusal(std::to_string(SIZE_MAX)) ==
          gptq::detail::text("f: tensor 't': U8 [", SIZE_MAX,
                             "] is more than memory can address, or not a whole number of bytes"));
    for (const char* no_number : {"01", "+1", "0x1", ".1", "1.", "NaN", "Infinity", "1_0"})
        CHECK(contains(refusal(no_number), "f: header: not JSON at byte "));
}

TEST_CASE("a Hessian's file that is damaged anywhere is read consistently or refused", "[io]") {
    const temp_folder folder;
    save_hessian(folder / "h", rows_of_sums{{{1}, {2, 3}}});
    check_damaged(read_bytes(folder / "h"), [](const std::string& bytes) {
        const auto h = load_hessian<rows_of_sums>(safetensors::over(as_bytes(bytes), "f"));
        for (const auto& row : h.rows)
            if (!(row.back() >= 0)) throw std::logic_error("a sum of squares below 0");
    });
}

TEST_CASE("an index that is damaged anywhere is read consistently or refused", "[io]") {
    const temp_folder folder;
    folder.write("1", file_with_tensor("a"));
    const auto read = [&](const std::string& bytes) {
        folder.write("model.safetensors.index.json", bytes);
        if (model_files::open(folder.path()).tensors().size() > 1) throw std::logic_error("a tensor from nowhere");
    };
    check_damaged(R"({"metadata":{},"weight_map":{"a":"1"}})", read, std::string("\0 \"\\{}[]:,./09ae\xFF", 18));
}

TEST_CASE("configurations that are damaged anywhere are read consistently or refused", "[io]") {
    const auto check_config = [](const auto& config, auto parse) {
        check_damaged(to_json(config).dump(), [&](const std::string& bytes) {
            check(parse(impl::parse_json<impl::ordered_json>(bytes, "f"), "f"));
        });
    };
    check_config(gptq_config{}, impl::parse_gptq_config);
    check_config(awq_config{.modules_to_not_convert = {"gate"}}, impl::parse_awq_config);
    check_config(compressed_config{.sym = false, .ignore = {"lm_head"}}, impl::parse_compressed_config);
}

}  // namespace hostile_file_test
