// A re-tiled layer as one run of bytes, the same for every instruction set: what `linear` multiplies from, and what can
// be stored and mapped back. Every section begins at a multiple of 64 bytes and is padded with zeros. What is stored is
// little-endian; kernels multiply numbers of the machine's own, which a big-endian one turns over in between:
//
//     header          64 bytes, image_header
//     words           [tiles][steps][bits] lines of 64 bytes: layout.hpp, step.hpp
//     scales          [tiles][groups][16] of the scale type
//     zeros           [tiles][groups][16] u8
//     group_of_block  [blocks] u32
//     columns         [positions] u32, of each position or `padding`; left out where position i is column i
//     bias            [out_features] f32; left out where there is none
//
// What the bytes mean changes only together with image_header::version.
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <limits>
#include <span>
#include <vector>

#include <gptq/core/config.hpp>
#include <gptq/core/endian.hpp>
#include <gptq/core/error.hpp>
#include <gptq/core/half.hpp>
#include <gptq/grid/scale_type.hpp>
#include <gptq/kernels/layout.hpp>

namespace gptq {

/// The first 64 bytes of a layer's image.
struct alignas(64) image_header {
    /// What every image begins with.
    static constexpr std::array<char, 8> expected_magic = {'G', 'P', 'T', 'Q', 'T', 'I', 'L', 'E'};
    /// The version that this library writes, and the only one that it reads.
    static constexpr std::uint32_t current_version = 1;

    std::array<char, 8> magic = expected_magic;  ///< expected_magic
    std::uint32_t version = current_version;     ///< current_version
    std::uint32_t bits = 0;                      ///< 2, 3, 4 or 8
    std::uint32_t block = 0;                     ///< positions per block: 32, 64 or 128
    std::uint32_t scales = 0;                    ///< 0 f16, 1 bf16, 2 f32
    std::uint32_t has_columns = 0;               ///< 0 or 1
    std::uint32_t has_bias = 0;                  ///< 0 or 1
    std::uint64_t out_features = 0;              ///< 1 … 2^32 - 2, as in_features
    std::uint64_t in_features = 0;               ///< without padding
    std::uint64_t groups = 0;                    ///< 1 … 2^32 - 1
    std::uint64_t positions = 0;                 ///< in_features and the padding: whole blocks
};
static_assert(sizeof(image_header) == 64);

inline namespace GPTQ_ISA {
namespace impl {

[[nodiscard]] constexpr std::size_t scale_bytes(scale_type type) noexcept { return type == scale_type::f32 ? 4 : 2; }

/// Where an image's sections begin, in bytes, and where it ends.
struct image_places {
    std::size_t words, scales, zeros, group_of_block, columns, bias, end;
};

/// The product of sizes, or half of all addresses where that is too large: nothing is allocated or compared wrongly.
[[nodiscard]] constexpr std::size_t product(std::initializer_list<std::uint64_t> sizes) noexcept {
    constexpr std::uint64_t most = std::numeric_limits<std::size_t>::max() / 2;
    std::uint64_t result = 1;
    for (const std::uint64_t size : sizes) result = size != 0 && result > most / size ? most : result * size;
    return static_cast<std::size_t>(result);
}

/// @pre  the header's numbers are in their ranges (check_header)
/// @returns  places that only grow; what is too large ends at half of all addresses, which is no multiple of 64
[[nodiscard]] constexpr image_places places_of(const image_header& h) noexcept {
    const std::uint64_t tiles = (h.out_features + tile_outputs - 1) / tile_outputs;
    std::size_t at = sizeof(image_header);
    const auto section = [&at](std::initializer_list<std::uint64_t> sizes) {
        constexpr std::size_t most = std::numeric_limits<std::size_t>::max() / 2;
        const std::size_t begin = at, size = product(sizes);
        at = at > most - 64 || size > most - 64 - at ? most : round_up(at + size, sizeof(line));
        return begin;
    };
    image_places p{};
    p.words = section({h.positions / step_positions, h.bits, sizeof(line), tiles});
    p.scales = section({h.groups, tile_outputs, scale_bytes(static_cast<scale_type>(h.scales)), tiles});
    p.zeros = section({h.groups, tile_outputs, tiles});
    p.group_of_block = section({h.positions / h.block, sizeof(std::uint32_t)});
    p.columns = section({h.has_columns, h.positions, sizeof(std::uint32_t)});
    p.bias = section({h.has_bias, h.out_features, sizeof(float)});
    p.end = at;
    return p;
}

/// A header as it is stored, of one in memory; and the other way round.
[[nodiscard]] constexpr image_header stored_header(image_header h) noexcept {
    for (std::uint32_t* number : {&h.version, &h.bits, &h.block, &h.scales, &h.has_columns, &h.has_bias})
        *number = little_endian(*number);
    for (std::uint64_t* number : {&h.out_features, &h.in_features, &h.groups, &h.positions})
        *number = little_endian(*number);
    return h;
}

/// A whole image as it is stored, of one in memory, where it lies; and the other way round.
inline void turn_image_if_big_endian(std::byte* image, image_header h) noexcept {
    const image_places at = places_of(h);
    const auto turn = [image](auto kind, std::size_t begin, std::size_t end) {
        turn_if_big_endian<decltype(kind)>({image + begin, image + end});
    };
    auto& header = *reinterpret_cast<image_header*>(image);
    header = stored_header(header);
    turn(std::uint32_t{}, at.words, at.scales);
    visit_scale_type(static_cast<scale_type>(h.scales), [&](auto scale) { turn(scale, at.scales, at.zeros); });
    turn(std::uint32_t{}, at.group_of_block, at.end);  // groups, columns and bias: 32 bits all
}

/// Refuses numbers that no layer has.
/// @throws format_error
inline void check_header(const image_header& h) {
    const auto expect = [](bool good, const char* what, std::uint64_t found, const char* expected) {
        if (!good) detail::fail<format_error>("linear: the image's ", what, " is ", found, ", expected ", expected);
    };
    if (h.magic != image_header::expected_magic)
        detail::fail<format_error>("linear: the image does not begin with 'GPTQTILE': these are no re-tiled weights");
    expect(h.version == image_header::current_version, "version", h.version,
           "1; make the image anew with this library");
    expect(h.bits == 2 || h.bits == 3 || h.bits == 4 || h.bits == 8, "bits", h.bits, "2, 3, 4 or 8");
    expect(h.block == 32 || h.block == 64 || h.block == 128, "block", h.block, "32, 64 or 128");
    expect(h.scales <= 2, "type of scales", h.scales, "0 (f16), 1 (bf16) or 2 (f32)");
    expect(h.has_columns <= 1, "has_columns", h.has_columns, "0 or 1");
    expect(h.has_bias <= 1, "has_bias", h.has_bias, "0 or 1");
    expect(h.out_features != 0 && h.out_features < column_layout::padding, "out_features", h.out_features,
           "1 … 4294967294");
    expect(h.in_features != 0 && h.in_features < column_layout::padding, "in_features", h.in_features,
           "1 … 4294967294");
    expect(h.groups != 0 && h.groups <= column_layout::padding, "groups", h.groups, "1 … 4294967295");
    expect(h.positions % h.block == 0 && h.positions >= h.in_features, "positions", h.positions,
           "whole blocks that hold in_features");
    expect(h.has_columns == 1 || h.positions == h.in_features, "positions", h.positions,
           "in_features, since the image has no columns");
}

/// Refuses a map from positions to columns that leaves the layer, or takes a column twice or never.
/// @throws format_error
inline void check_columns(std::span<const std::uint32_t> columns, std::size_t in_features) {
    std::vector<char> seen(in_features);
    std::size_t count = 0;
    for (std::size_t i = 0; i < columns.size(); ++i) {
        if (columns[i] == column_layout::padding) continue;
        if (columns[i] >= in_features || seen[columns[i]] != 0)
            detail::fail<format_error>(
                "linear: the image's position ", i, " is column ", columns[i],
                columns[i] < in_features ? ", which another position is already" : ", which the layer does not have");
        seen[columns[i]] = 1;
        ++count;
    }
    if (count != in_features)
        detail::fail<format_error>("linear: the image's columns are ", count, " of ", in_features);
}

/// Refuses scales that would make outputs NaN.
/// @throws numeric_error
template <class Scale>
void check_scales_of_image(const std::byte* scales, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
        Scale scale;
        std::memcpy(&scale, scales + i * sizeof scale, sizeof scale);
        if (!std::isfinite(to_float(scale)))
            detail::fail<numeric_error>("linear: scale ", i, " of the image is ", to_float(scale),
                                        ", expected a finite number");
    }
}

/// @throws format_error  `image` is not the image of a layer: what is wrong, and where
[[nodiscard]] inline image_header checked_header(std::span<const std::byte> image) {
    image_header h;
    if (image.size() < sizeof h)
        detail::fail<format_error>("linear: the image has ", image.size(), " bytes, expected a header of 64");
    std::memcpy(&h, image.data(), sizeof h);
    h = stored_header(h);
    check_header(h);
    const std::size_t expected = places_of(h).end;
    if (expected != image.size() || expected % sizeof(line) != 0)  // a size beyond size_t is no multiple
        detail::fail<format_error>("linear: the image has ", image.size(), " bytes, its header says ", expected,
                                   expected > image.size() ? ": it is cut short" : ": something follows it");
    return h;
}

}  // namespace impl
}  // namespace GPTQ_ISA
}  // namespace gptq
