// Options that several subcommands share, and what they stand for.
#pragma once

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <thread>

#include "model.hpp"
#include "progress.hpp"
#include "quantize.hpp"
#include "windows.hpp"

namespace llama {

/// A path or a word must not be "".
inline const CLI::Validator not_empty([](const std::string& s) { return s.empty() ? "must not be empty" : ""; }, "");

/// A whole number of at least `least`, or exactly `also`.
[[nodiscard]] inline CLI::Validator whole_number(long long least, long long most, std::optional<long long> also = {}) {
    const std::string expected = (also ? std::to_string(*also) + " or " : "") + "a whole number from " +
                                 std::to_string(least) + " to " + std::to_string(most);
    return {[=](const std::string& text) {
                long long value = 0;
                const char* const end = text.data() + text.size();
                const auto [stop, error] = std::from_chars(text.data(), end, value);
                const bool whole = error == std::errc() && stop == end;
                if (whole && ((value >= least && value <= most) || value == also)) return std::string();
                return "'" + text + "' is not " + expected;
            },
            ""};
}
inline constexpr long long most_tokens = 1LL << 40;

/// --threads.
struct thread_settings {
    std::size_t count = std::thread::hardware_concurrency();

    void add_to(CLI::App& command) {
        command.add_option("--threads", count, "Threads to use")->check(whole_number(1, 1024))->capture_default_str();
    }
};

/// Where token windows come from: a text, a file of ids, or the float model itself.
struct text_settings {
    std::string text, ids;
    std::optional<std::size_t> context;

    void add_context_to(CLI::App& command) {
        command.add_option("--context", context, "Tokens per window (default: 256, or all of the model's positions)")
            ->check(whole_number(2, most_tokens));
    }
    void add_to(CLI::App& command, const std::string& text_option, const std::string& ids_option,
                const std::string& purpose) {
        auto* from_text = command.add_option(text_option, text, purpose + ": a text file")->check(CLI::ExistingFile);
        command.add_option(ids_option, ids, purpose + ": a file of token ids, raw little-endian uint16")
            ->check(CLI::ExistingFile)
            ->excludes(from_text);
        add_context_to(command);
    }
    [[nodiscard]] bool given() const { return !text.empty() || !ids.empty(); }
    [[nodiscard]] token_ids read(const model_source& source) const {
        return ids.empty() ? read_text(text, tokenizer::open(source.folder), source.shape) : read_ids(ids);
    }
    /// @throws gptq::option_error  more tokens than the model has positions
    [[nodiscard]] std::size_t context_for(const config& shape) const {
        const std::size_t tokens = context.value_or(std::min<std::size_t>(256, shape.max_positions));
        expect_context(shape, tokens);
        return tokens;
    }
};

/// The seeds of text that a model makes up: calibration and evaluation must not see the same.
inline constexpr std::uint64_t calibration_seed = 1, evaluation_seed = 2;

[[nodiscard]] inline windows sampled(const model& m, std::size_t context, std::size_t count, std::uint64_t seed,
                                     gptq::thread_pool& pool) {
    progress_bar bar("sampling text");
    return sample_windows(m, context, count, seed, pool,
                          [&](std::size_t done, std::size_t whole) { bar.show(done, whole); });
}

/// What --bits, --sym and their like say.
struct grid_settings {
    int bits = 4;
    std::ptrdiff_t group_size = 128;
    bool asym = false;
    std::string search = "minmax";

    void add_to(CLI::App& command) {
        command.add_option("--bits", bits, "Bits per weight")
            ->check(CLI::IsMember({2, 3, 4, 8}))
            ->capture_default_str();
        command.add_option("--group-size", group_size, "Input columns that share a scale; -1 for the whole row")
            ->check(whole_number(1, 1 << 30, -1))
            ->capture_default_str();
        command.add_flag("--asym,!--sym", asym, "A zero point per group, or (default) a grid symmetric about 0");
        command.add_option("--search", search, "How scales are chosen: the group's range, or the least error")
            ->check(CLI::IsMember({"minmax", "mse"}))
            ->capture_default_str();
    }
    [[nodiscard]] gptq::uniform_grid grid() const {
        return {.bits = static_cast<unsigned>(bits),
                .group_size = group_size,
                .sym = !asym,
                .search = search == "mse" ? gptq::scale_search::mse : gptq::scale_search::min_max};
    }
};

}  // namespace llama
