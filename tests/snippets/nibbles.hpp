// A toy format, whole: what a new checkpoint format brings along, at the smallest size. docs/new_format.md walks
// through it. In the library it would be pack/nibbles.hpp, io/nibbles_load.hpp and io/nibbles_store.hpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include <gptq/core/error.hpp>
#include <gptq/io/floats.hpp>
#include <gptq/io/gptq_load.hpp>
#include <gptq/io/gptq_store.hpp>
#include <gptq/io/loader_advice.hpp>
#include <gptq/pack/groups.hpp>
#include <gptq/pack/packed_linear.hpp>

namespace gptq {

/// 4 bits; the codes of two neighbouring inputs share a byte, the first in its low half. Groups are neighbouring
/// inputs. Zero points are 8 and are not stored.
struct nibble_linear {
    std::size_t out_features = 0;
    std::size_t in_features = 0;  ///< even, and a multiple of groups
    std::size_t groups = 0;
    std::vector<std::uint8_t> nibbles;  ///< [out, in / 2]
    std::vector<float> scales;          ///< [out, groups], values of f16
};

inline namespace GPTQ_ISA {

/// @throws shape_error, numeric_error  sizes that disagree; a scale that is not finite
inline void check(const nibble_linear& n) {
    if (n.out_features == 0 || n.in_features == 0 || n.groups == 0)
        detail::fail<shape_error>("nibble_linear: ", n.out_features, " x ", n.in_features, " in ", n.groups,
                                  " groups is empty");
    if (n.in_features % 2 != 0 || n.in_features % n.groups != 0)
        detail::fail<shape_error>("nibble_linear: in_features is ", n.in_features, ", expected a multiple of 2 and of ",
                                  n.groups, " groups");
    impl::expect_matrix("nibble_linear", "size of nibbles", n.out_features, n.in_features / 2, n.nibbles.size());
    impl::expect_matrix("nibble_linear", "size of scales", n.out_features, n.groups, n.scales.size());
    impl::check_scales("nibble_linear", view_of(n.scales.data(), n.out_features, n.groups), "output", "group");
}

/// The same codes and scales.
/// @throws option_error  the format cannot say what the layer is: with the reason
/// @throws shape_error, numeric_error  as check
[[nodiscard]] inline nibble_linear to_nibbles(const packed_linear& p) {
    const auto q = unpack(p);
    if (p.bits != 4 || !is_symmetric(p) || p.stored_scales != scale_type::f16 || !p.bias.empty())
        detail::fail<option_error>("to_nibbles: expected 4 bits, zero points of 8, scales in f16 and no bias");
    if (p.in_features % 2 != 0 || !impl::has_natural_groups(p.g_idx, p.groups))
        detail::fail<option_error>(
            "to_nibbles: expected groups of neighbouring inputs, all of one size; "
            "quantize again with static groups that divide them");
    nibble_linear n{p.out_features, p.in_features, p.groups, {}, {}};
    for (std::size_t i = 0; i < q.codes.size(); i += 2)
        n.nibbles.push_back(static_cast<std::uint8_t>(q.codes[i] | q.codes[i + 1] << 4));
    for (const affine& a : q.parameters) n.scales.push_back(a.scale);
    return n;
}

/// The way back: GPTQ's layout, which everything else starts from.
/// @throws shape_error, numeric_error  as check
[[nodiscard]] inline packed_linear to_gptq(const nibble_linear& n) {
    check(n);
    const std::size_t group = n.in_features / n.groups;
    const uniform_grid grid{.bits = 4, .group_size = static_cast<std::ptrdiff_t>(group), .sym = true};
    quantized<uniform_grid> q{grid, n.out_features, n.in_features, {}, {}, natural_g_idx(n.in_features, group)};
    for (const unsigned byte : n.nibbles)
        for (const unsigned code : {byte & 15U, byte >> 4U}) q.codes.push_back(static_cast<std::uint8_t>(code));
    for (const float scale : n.scales) q.parameters.push_back({scale, 8});
    return pack(q);
}

}  // namespace GPTQ_ISA

namespace io {

/// @param files  safetensors or model_files
/// @throws format_error  file, tensor, expected and found
template <tensor_files Files>
[[nodiscard]] packed_linear load_nibbles(const Files& files, std::string_view module) {
    const tensor_ref& nibbles = files.at(gptq::detail::text(module, ".nibbles"));
    const tensor_ref& scales = files.at(gptq::detail::text(module, ".scales"));
    impl::expect_type(nibbles, dtype::U8);
    impl::expect_type(scales, dtype::F16);
    for (const tensor_ref* matrix : {&nibbles, &scales}) impl::expect_rank(*matrix, 2);
    impl::expect_shape(scales, {nibbles.shape[0], scales.shape[1]}, "(a row for each of nibbles)");
    const nibble_linear n{nibbles.shape[0], 2 * nibbles.shape[1], scales.shape[1],
                          impl::read_words<std::uint8_t>(nibbles), to_floats(scales)};
    impl::expect_consistent(n, scales);
    return to_gptq(n);
}

/// What a layer of these sizes takes in a file, known before it is quantized.
[[nodiscard]] inline std::vector<tensor_declaration> declare_nibbles(std::string_view module, std::size_t out_features,
                                                                     std::size_t in_features, std::size_t groups) {
    return {{gptq::detail::text(module, ".nibbles"), dtype::U8, {out_features, in_features / 2}},
            {gptq::detail::text(module, ".scales"), dtype::F16, {out_features, groups}}};
}

/// The tensors of a layer, in that order.
/// @throws as to_nibbles
[[nodiscard]] inline std::vector<stored_tensor> nibble_tensors(std::string_view module, const packed_linear& p) {
    const nibble_linear n = to_nibbles(p);
    std::vector<std::byte> contents[] = {gptq::impl::little_endian_bytes(n.nibbles),
                                         to_bytes(n.scales, scale_type::f16)};
    return impl::filled(declare_nibbles(module, n.out_features, n.in_features, n.groups), contents);
}

/// Who loads it.
inline constexpr loader nibble_loaders[] = {
    {.name = "Toy (CPU)", .widths = impl::widths({4}), .asymmetric = 0, .groups = {.least = 32, .most = 128}},
};

}  // namespace io
}  // namespace gptq
