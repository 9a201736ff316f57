// Files that are large where no file should be: what they cost is in proportion to their size, or they are refused
// before they cost more.
#include <gptq/io/gguf.hpp>
#include <gptq/io/gptq_config.hpp>
#include <gptq/io/model_files.hpp>
#include <gptq/io/safetensors.hpp>

#include <cstdint>
#include <string>
#include <vector>

#include "io/raw_file.hpp"
#include "support/catch.hpp"
#include "support/cost.hpp"
#include "support/temp_folder.hpp"

namespace hostile_size_test {

using namespace gptq::io;

namespace {

/// Sanitizers keep what is freed, and put room around what is allocated. They are slow, as emulators are, which are
/// told to run few cases.
#if defined(__has_feature)
#define GPTQ_HAS_FEATURE(name) __has_feature(name)
#else
#define GPTQ_HAS_FEATURE(name) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || GPTQ_HAS_FEATURE(address_sanitizer)
constexpr std::size_t tools_take = 2'000'000'000, slower = 20;
#elif defined(GPTQ_TEST_CASES)
constexpr std::size_t tools_take = 50'000'000, slower = 5;
#else
constexpr std::size_t tools_take = 0, slower = 1;
#endif
constexpr std::size_t endless = 100'000'000 / slower;

/// A header of endless size: `piece` over and over between two texts.
std::string endless_header(const std::string& begin, const std::string& piece, const std::string& end) {
    std::string header = begin;
    header.reserve(endless);
    while (header.size() + piece.size() + end.size() <= endless) header += piece;
    return header + end;
}

/// So many tensors without elements, each with its own name.
std::string header_of_tensors(std::size_t count) {
    std::string header = "{";
    for (std::size_t i = 0; i < count; ++i)
        header += (i > 0 ? ",\"" : "\"") + std::to_string(i) + R"(":{"dtype":"U8","shape":[0],"data_offsets":[0,0]})";
    return header + "}";
}

cost cost_of_reading(const std::string& file) {
    return cost_of([&] { return std::to_string(safetensors::over(as_bytes(file), "f").tensors().size()); });
}

}  // namespace

TEST_CASE("a header of 100 MB is read, or refused, in memory of its size", "[io]") {
    const auto [begin, piece, end, said] = GENERATE(table<std::string, std::string, std::string, std::string>({
        {"{", " ", "}", "0"},
        {"{\"a\":[", "[],", "0]}", "f: header: JSON has more than 1000000 values"},
        {"{\"a\":[", "{},", "0]}", "f: header: JSON has more than 1000000 values"},
        {"{\"a\":[", "\"\",", "0]}", "f: header: JSON has more than 1000000 values"},
        {R"({"a":{"dtype":"U8","data_offsets":[0,0],"shape":[)", "0,", "0]}}",
         "f: header: JSON has more than 1000000 values"},
        {"{\"a\":", "[", "0", "f: header: JSON is nested deeper than 32"},
        {"{\"a\":", "{\"a\":", "0", "f: header: JSON is nested deeper than 32"},
        {"{\"a\":", "1", "}", "f: header: JSON holds a number that is out of range"},
        {"{\"a", "\\n", "\":3}", "f: tensor 'a\\x0A\\x0A"},
        {"{\"a\":\"", "n", "\"}", "f: tensor 'a': its description is of type string, expected an object"},
    }));
    CAPTURE(begin, piece);
    const std::string file = raw_safetensors(endless_header(begin, piece, end), "");
    const cost c = cost_of_reading(file);
    CAPTURE(c.said, c.peak_bytes, c.seconds);
    CHECK(contains(c.said, said));
    CHECK(c.peak_bytes < 8 * file.size() + tools_take);
}

TEST_CASE("a header of 100 MB that is a hole in the file is refused at its first byte", "[io]") {
    const temp_folder folder;
    const auto path = folder.write("f", bytes_of(std::vector<std::uint64_t>{100'000'000}) + "{");
    std::filesystem::resize_file(path, 100'000'008);
    CHECK(message_of<gptq::format_error>([&] { (void)safetensors::open(path); }) ==
          path.string() + ": header: not JSON, byte 1 is 0");
}

TEST_CASE("a header of many tensors takes memory and time in proportion to them", "[io]") {
    const std::string few = raw_safetensors(header_of_tensors(50'000 / slower), "");
    const std::string many = raw_safetensors(header_of_tensors(400'000 / slower), "");
    const cost c = cost_of_reading(few), d = cost_of_reading(many);
    CAPTURE(c.seconds, d.seconds, d.peak_bytes, many.size());
    CHECK(c.said == std::to_string(50'000 / slower));
    CHECK(d.said == std::to_string(400'000 / slower));
    CHECK(d.peak_bytes < 8 * many.size() + tools_take);
    CHECK(d.seconds < 32 * c.seconds);  // 8 times as many; were it quadratic, it would be 64
}

TEST_CASE("an index of endless values is refused, one of many tensors is read", "[io]") {
    const temp_folder folder;
    const auto read = [&](const std::string& index) {
        folder.write("model.safetensors.index.json", index);
        return cost_of([&] { return std::to_string(model_files::open(folder.path()).tensors().size()); });
    };
    const cost refused = read(endless_header("{\"weight_map\":{\"a\":[", "{},", "0]}}"));
    CAPTURE(refused.said, refused.peak_bytes);
    CHECK(contains(refused.said, "index.json: JSON has more than 1000000 values"));
    CHECK(refused.peak_bytes < 8 * endless + tools_take);

    std::string weight_map;
    constexpr std::size_t count = 100'000 / slower;
    for (std::size_t i = 0; i < count; ++i) weight_map += (i > 0 ? ",\"" : "\"") + std::to_string(i) + "\":\"1\"";
    folder.write("1", raw_safetensors(header_of_tensors(count), ""));
    CHECK(read("{\"weight_map\":{" + weight_map + "}}").said == std::to_string(count));
}

TEST_CASE("a configuration with more keys than anybody writes is refused, not looked through for hours", "[io]") {
    std::string keys = "{";
    for (std::size_t i = 0; i < 2'000'000; ++i) keys += "\"" + std::to_string(i) + "\":0,";
    const temp_folder folder;
    folder.write("config.json", keys + "\"quantization_config\":{}}");
    const cost c = cost_of([&] { return std::to_string(read_gptq_config(folder.path()).bits); });
    CAPTURE(c.seconds);
    CHECK(contains(c.said, "config.json: JSON has an object of more than 10000 keys"));
    CHECK(c.peak_bytes < 8 * keys.size() + tools_take);
}

TEST_CASE("GGUF metadata and tensors take memory in proportion to the file", "[io]") {
    const auto number = [](auto value) { return bytes_of(std::vector{value}); };
    const auto text = [&](const std::string& s) { return number(std::uint64_t{s.size()}) + s; };
    const auto file = [&](std::uint64_t tensors, std::uint64_t pairs) {
        return "GGUF" + number(std::uint32_t{3}) + number(tensors) + number(pairs);
    };
    constexpr std::uint64_t count = 500'000 / slower;
    std::string tensors = file(count, 0), pairs = file(0, count);
    for (std::uint64_t i = 0; i < count; ++i) {
        tensors += text(std::to_string(i)) + number(std::uint32_t{1}) + std::string(20, '\0');
        pairs += text(std::to_string(i)) + number(std::uint32_t{7}) + '\1';
    }
    const std::string strings = file(0, 1) + text("k") + number(std::uint32_t{9}) + number(std::uint32_t{8}) +
                                number(2 * count) + std::string(16 * count, '\0');
    for (const std::string& bytes : {tensors, pairs, strings}) {
        const cost c = cost_of([&] { return std::to_string(gguf::over(as_bytes(bytes), "f").version()); });
        CAPTURE(c.said, c.peak_bytes, bytes.size());
        CHECK(c.said == "3");
        CHECK(c.peak_bytes < 16 * bytes.size() + tools_take);
    }
}

}  // namespace hostile_size_test
