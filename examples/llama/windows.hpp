// Token windows: what calibration and evaluation run on. From a file of ids, from a text, or sampled from the model.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "model.hpp"
#include "tokenizer.hpp"

namespace llama {

using token_ids = std::vector<std::uint32_t>;
/// Windows of equal length.
using windows = std::vector<token_ids>;

/// Called with how much of a whole is done.
using on_progress = std::function<void(std::size_t done, std::size_t whole)>;

/// Raw little-endian uint16 ids.
/// @throws gptq::file_error, gptq::format_error  (an odd number of bytes)
[[nodiscard]] token_ids read_ids(const std::filesystem::path& file);

/// The ids of a text file, a BOS in front where the model has one. Any bytes will do.
[[nodiscard]] token_ids read_text(const std::filesystem::path& file, const tokenizer& words, const config& shape);

/// Consecutive windows from the start, at most `limit`; a ragged tail is dropped.
/// @throws gptq::option_error  not even one window
[[nodiscard]] windows cut(std::span<const std::uint32_t> ids, std::size_t context, std::size_t limit);

/// `count` windows at random places.
/// @throws gptq::option_error  as cut
[[nodiscard]] windows cut_randomly(std::span<const std::uint32_t> ids, std::size_t context, std::size_t count,
                                   std::uint64_t seed);

/// Draws a token from softmax(row / temperature); temperature 0 takes the most likely one. The same draws everywhere.
[[nodiscard]] std::uint32_t sample(std::span<const float> row, double temperature, std::mt19937_64& random);

/// `count` windows that the model itself makes up, each from its BOS on, at temperature 1.
[[nodiscard]] windows sample_windows(const model& m, std::size_t context, std::size_t count, std::uint64_t seed,
                                     gptq::thread_pool& pool, const on_progress& progress);

}  // namespace llama
