// The file itself: its layout, and what is refused. tests/calib/hessian_file_test.cpp does it with the real Hessian.
#include <gptq/io/hessian_file.hpp>

#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "io/raw_file.hpp"
#include "support/catch.hpp"
#include "support/temp_folder.hpp"

namespace hessian_file_test {

using namespace gptq::io;

namespace {

struct counts {
    std::size_t tokens = 0, refused = 0;
    double weight = 0;
};

/// The least that save_hessian and load_hessian ask of a Hessian.
template <class T>
struct plain_hessian {
    using value_type = T;
    std::size_t features = 0;
    counts seen;
    std::vector<std::vector<T>> rows;

    [[nodiscard]] std::size_t in_features() const { return features; }
    [[nodiscard]] std::size_t tokens() const { return seen.tokens; }
    [[nodiscard]] std::size_t refused_tokens() const { return seen.refused; }
    [[nodiscard]] double weight() const { return seen.weight; }
    [[nodiscard]] std::span<const T> sum_row(std::size_t r) const { return rows[r]; }

    template <class Fill>
    [[nodiscard]] static plain_hessian from_sum(std::size_t n, const counts& seen, Fill&& fill) {
        plain_hessian h{n, seen, {}};
        for (std::size_t r = 0; r < n; ++r) fill(r, std::span<T>(h.rows.emplace_back(r + 1)));
        return h;
    }
};

const plain_hessian<float> small{3, {4, 1, 2.5}, {{1}, {2, 3}, {4, 5, 6}}};

/// A file whose metadata and tensor are as given.
class made_file {
public:
    std::map<std::string, std::string> metadata = {{"gptq_file", "hessian"}, {"version", "1"},
                                                   {"in_features", "3"},     {"tokens", "4"},
                                                   {"refused_tokens", "1"},  {"weight", "2.5"}};
    tensor_declaration tensor = {"sum_lower", dtype::F32, {6}};
    std::vector<float> sum = {1, 2, 3, 4, 5, 6};

    /// What load_hessian says to it.
    template <class T = float>
    [[nodiscard]] std::string refusal() const {
        const temp_folder folder;
        safetensors_writer writer(folder / "h", std::vector{tensor}, metadata);
        std::vector<std::byte> bytes(byte_count(tensor.type, tensor.shape).value());
        const auto values = gptq::impl::little_endian_bytes(sum);
        std::copy_n(values.begin(), std::min(bytes.size(), values.size()), bytes.begin());
        writer.write(tensor.name, bytes);
        writer.finish();
        const std::string message =
            message_of<gptq::format_error>([&] { (void)load_hessian<plain_hessian<T>>(folder / "h"); });
        const std::string path = (folder / "h").string();
        return message.starts_with(path + ": ") ? message.substr(path.size() + 2) : message;
    }
    [[nodiscard]] std::string refusal_with(const std::string& key, const std::string& value) const {
        made_file changed = *this;
        changed.metadata[key] = value;
        return changed.refusal();
    }
};

}  // namespace

TEST_CASE("a Hessian's file holds the sum's lower triangle and says what it was summed over", "[io]") {
    const temp_folder folder;
    save_hessian(folder / "h", small);
    const auto file = safetensors::open(folder / "h");
    CHECK(file.metadata() == std::map<std::string, std::string>{{"format", "pt"},
                                                                {"gptq_file", "hessian"},
                                                                {"version", "1"},
                                                                {"in_features", "3"},
                                                                {"tokens", "4"},
                                                                {"refused_tokens", "1"},
                                                                {"weight", "2.5"}});
    REQUIRE(file.tensors().size() == 1);
    const tensor_ref& sum = file.at("sum_lower");
    CHECK(sum.type == dtype::F32);
    CHECK(sum.shape == std::vector<std::size_t>{6});
    const std::string one_to_six("\0\0\x80\x3F\0\0\0\x40\0\0\x40\x40\0\0\x80\x40\0\0\xA0\x40\0\0\xC0\x40", 24);
    CHECK(bytes_of(sum.bytes) == one_to_six);
}

TEST_CASE("what is loaded is what was saved", "[io]") {
    const temp_folder folder;
    const double third = 1.0 / 3, tiny = 5e-324;
    const plain_hessian<double> h{2, {3, 0, third}, {{tiny}, {-third, 1e300}}};
    save_hessian(folder / "h", h);
    const auto loaded = load_hessian<plain_hessian<double>>(folder / "h");
    CHECK(loaded.seen.tokens == 3);
    CHECK(loaded.seen.weight == third);
    CHECK(loaded.rows == h.rows);
    CHECK(made_file().refusal() == "(nothing was thrown)");
    CHECK(made_file().refusal<double>() == "(nothing was thrown)");
}

TEST_CASE("a sum that is no Hessian's is not saved", "[io]") {
    const temp_folder folder;
    auto h = small;
    h.rows[2][1] = std::nanf("");
    CHECK(message_of<gptq::numeric_error>([&] { save_hessian(folder / "h", h); }) ==
          "save_hessian: the sum is not finite, or negative on the diagonal, in row 2");
    h = small;
    h.rows[1][1] = -1;
    CHECK_THROWS_AS(save_hessian(folder / "h", h), gptq::numeric_error);
    CHECK(std::filesystem::is_empty(folder.path()));
}

TEST_CASE("doubles are not read as floats", "[io]") {
    made_file file;
    file.tensor.type = dtype::F64;
    CHECK(file.refusal() == "tensor 'sum_lower': is F64, expected F32; load it as a Hessian of doubles");
    file.tensor.type = dtype::F16;
    CHECK(file.refusal() == "tensor 'sum_lower': is F16, expected F32");
    CHECK(file.refusal<double>() == "tensor 'sum_lower': is F16, expected F64");
}

TEST_CASE("a file that is not a Hessian's is told from one", "[io]") {
    made_file file;
    file.metadata.clear();
    CHECK(file.refusal() == "has no metadata 'gptq_file'; not a Hessian's file?");
    CHECK(made_file().refusal_with("gptq_file", "weights") ==
          "metadata 'gptq_file' is \"weights\", expected \"hessian\"");
    CHECK(made_file().refusal_with("version", "2") == "metadata 'version' is \"2\", expected \"1\"");
    file = {};
    file.tensor.name = "sum";
    CHECK(file.refusal() == "has no tensor 'sum_lower'");
}

TEST_CASE("metadata that are missing or absurd are refused by name", "[io]") {
    for (const char* key : {"version", "in_features", "tokens", "refused_tokens", "weight"}) {
        made_file file;
        file.metadata.erase(key);
        CHECK(file.refusal() == "has no metadata '" + std::string(key) + "'; not a Hessian's file?");
    }
    for (const char* key : {"in_features", "tokens", "refused_tokens"})
        for (const char* text :
             {"", "abc", "-3", "3.0", "3e0", "+3", "0x3", "1 ", "nan", "--", "[[3]]", "99999999999999999999999"})
            CHECK(contains(made_file().refusal_with(key, text), "metadata '" + std::string(key) + "' is "));
    CHECK(made_file().refusal_with("tokens", "abc") ==
          "metadata 'tokens' is \"abc\", expected a whole number, not negative");
    constexpr bool memory_has_64_bits = SIZE_MAX > UINT32_MAX;
    CHECK(contains(made_file().refusal_with("tokens", "9007199254740993"),
                   memory_has_64_bits
                       ? "metadata 'tokens' is 9007199254740993, expected 0 to 9007199254740992"
                       : "metadata 'tokens' is 9007199254740993, which is more than memory can address"));
    for (const char* text : {"", "NaN", "inf", "1e999", "2,5"})
        CHECK(made_file().refusal_with("weight", text) ==
              "metadata 'weight' is \"" + std::string(text) + "\", expected a number");
    for (const char* text : {"-2.5", "0", "1e60", "1e-60"})
        CHECK(contains(made_file().refusal_with("weight", text), ", which 4 tokens of positive float weights cannot"));
    CHECK(contains(made_file().refusal_with("tokens", "0"), "metadata 'weight' is 2.5, which 0 tokens"));
}

TEST_CASE("the size of the tensor decides what is allocated", "[io]") {
    CHECK(made_file().refusal_with("in_features", "4") ==
          "tensor 'sum_lower': is [6], expected [10], the lower triangle of 4 features");
    // The largest triangle that a number of std::size_t can count.
    constexpr auto most = static_cast<std::size_t>(SIZE_MAX > UINT32_MAX ? 4294967295U : 65535U);
    const std::string range = gptq::detail::text("expected 1 to ", most);
    CHECK(made_file().refusal_with("in_features", "0") == "metadata 'in_features' is 0, " + range);
    CHECK(contains(made_file().refusal_with("in_features", std::to_string(most)),
                   gptq::detail::text("expected [", most * ((most + 1) / 2), "]")));
    CHECK(contains(made_file().refusal_with("in_features", std::to_string(most + 1)), range));
    made_file file;
    file.tensor.shape = {2, 3};
    CHECK(contains(file.refusal(), "is [2, 3], expected [6]"));
}

TEST_CASE("values that no sum of squares has are refused with their row", "[io]") {
    for (const float wrong : {std::nanf(""), INFINITY, -INFINITY}) {
        made_file file;
        file.sum[3] = wrong;
        CHECK(file.refusal() == "tensor 'sum_lower': is not finite, or negative on the diagonal, in row 2");
        CHECK(file.refusal<double>() == file.refusal());
    }
    made_file file;
    file.sum[2] = -1;
    CHECK(contains(file.refusal(), "in row 1"));
}

}  // namespace hessian_file_test
