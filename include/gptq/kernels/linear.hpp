// A quantized linear layer re-tiled for the kernels: the codes, scales and zero points of a packed_linear, moved to
// where a multiplication reads them, in the order it reads them. layout.hpp draws the tiles, step.hpp the bits, and
// image.hpp the bytes, which can be stored and mapped back.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include <gptq/core/config.hpp>
#include <gptq/core/endian.hpp>
#include <gptq/core/error.hpp>
#include <gptq/core/half.hpp>
#include <gptq/core/large_pages.hpp>
#include <gptq/core/shared_array.hpp>
#include <gptq/grid/scale_type.hpp>
#include <gptq/kernels/image.hpp>
#include <gptq/kernels/layout.hpp>
#include <gptq/kernels/place.hpp>
#include <gptq/kernels/step.hpp>
#include <gptq/pack/packed_linear.hpp>

namespace gptq {
inline namespace GPTQ_ISA {

namespace impl {

/// A copy, at a multiple of 64 bytes: as it is stored, of an image in memory, or the other way round.
[[nodiscard]] inline shared_array<std::byte> turned_copy(const shared_array<std::byte>& image,
                                                         const image_header& header) {
    std::shared_ptr<std::byte> memory = detail::streamed_memory(image.size());
    std::memcpy(memory.get(), image.data(), image.size());
    turn_image_if_big_endian(memory.get(), header);
    return {std::span<const std::byte>(memory.get(), image.size()), std::move(memory)};
}

}  // namespace impl

/// What a kernel reads of one tile: streams that start at the tile's own first element.
struct tile_view {
    const line* words;          ///< [steps][bits]
    const std::byte* scales;    ///< [groups][16] of the layer's scale type
    const std::uint8_t* zeros;  ///< [groups][16]
};

/// Ŵ [out_features, in_features], ready to be multiplied. Outputs are padded to 16; each group's columns are padded to
/// whole blocks of 32, 64 or 128, so groups that are none work but pay for the padding in memory and time.
/// Nothing in it changes: copies share the image.
class linear {
public:
    /// Re-tiles a layer.
    /// @cost  one pass over the codes, twice the memory of `p` while it runs
    /// @throws shape_error, option_error, numeric_error  `p` is inconsistent (see check)
    explicit linear(const packed_linear& p);

    /// A layer from its image(), which is used where it lies, a mapped file for one; it is copied only if it does not
    /// begin at a multiple of 64 bytes, or on a big-endian machine.
    /// @cost  one pass over scales, columns and groups; codes are not touched
    /// @throws format_error   `image` is not one: which field, what was expected
    /// @throws numeric_error  a scale that is not finite
    explicit linear(shared_array<std::byte> image);

    /// Rows of Ŵ.
    [[nodiscard]] std::size_t out_features() const noexcept { return static_cast<std::size_t>(header().out_features); }
    /// Columns of Ŵ.
    [[nodiscard]] std::size_t in_features() const noexcept { return layout_.in_features; }
    /// Of a code: 2, 3, 4 or 8.
    [[nodiscard]] unsigned bits() const noexcept { return header().bits; }
    /// Where input columns go; the same for all layers with the same in_features, g_idx and bits.
    [[nodiscard]] const column_layout& layout() const noexcept { return layout_; }
    /// The layer as bytes to store: little-endian, the same on every machine. They are shared with the layer; a
    /// big-endian machine makes them anew for each call.
    [[nodiscard]] shared_array<std::byte> image() const {
        return impl::is_little_endian ? image_ : impl::turned_copy(image_, header());
    }
    /// Bytes of codes, scales, zero points and bias: what a multiplication reads of memory.
    [[nodiscard]] std::size_t bytes() const noexcept {
        return at_.group_of_block - at_.words + bias().size() * sizeof(float);
    }

    /// Of 16 outputs; the last is padded.
    [[nodiscard]] std::size_t tiles() const noexcept { return tiles_for(out_features()); }
    /// Outputs 16·t … 16·t + 15.
    [[nodiscard]] tile_view tile(std::size_t t) const noexcept {
        const std::size_t parameters = t * groups() * tile_outputs;
        return {at<line>(at_.words) + t * layout_.steps() * bits(),
                at<std::byte>(at_.scales) + parameters * impl::scale_bytes(scales_stored_as()),
                at<std::uint8_t>(at_.zeros) + parameters};
    }
    /// The group of each block.
    [[nodiscard]] std::span<const std::uint32_t> group_of_block() const noexcept {
        return {at<std::uint32_t>(at_.group_of_block), layout_.blocks()};
    }
    /// What tile_view::scales points at.
    [[nodiscard]] scale_type scales_stored_as() const noexcept { return static_cast<scale_type>(header().scales); }
    /// [out_features], or empty.
    [[nodiscard]] std::span<const float> bias() const noexcept {
        return {at<float>(at_.bias), header().has_bias != 0 ? out_features() : 0};
    }

private:
    [[nodiscard]] const image_header& header() const noexcept { return *at<image_header>(0); }
    [[nodiscard]] std::size_t groups() const noexcept { return static_cast<std::size_t>(header().groups); }
    template <class T>
    [[nodiscard]] const T* at(std::size_t offset) const noexcept {
        return reinterpret_cast<const T*>(image_.data() + offset);
    }
    [[nodiscard]] column_layout layout_of_image() const;
    void check_contents() const;

    shared_array<std::byte> image_;
    impl::image_places at_;
    column_layout layout_;
};

namespace impl {

/// Copies bytes to an image's section and zeros up to the next section's begin.
inline void fill_section(std::byte* begin, std::byte* end, const void* from, std::size_t bytes) noexcept {
    if (bytes != 0) std::memcpy(begin, from, bytes);
    std::fill(begin + bytes, end, std::byte{0});
}

/// One group's parameters for the outputs of one tile; 0 for outputs that the layer lacks.
/// @param row  [outputs]
template <class T, class From, class Convert>
void place_group(std::span<const From> row, std::size_t tile, T* to, Convert convert) noexcept {
    const std::size_t first = tile * tile_outputs, outputs = std::min(tile_outputs, row.size() - first);
    for (std::size_t o = 0; o < outputs; ++o) to[o] = convert(row[first + o]);
    std::fill(to + outputs, to + tile_outputs, T{});
}

/// Parameters [groups][outputs] as [tiles][groups][16], in the type that they are kept in.
template <class T, class From, class Convert>
void place_parameters(std::span<const From> from, std::size_t outputs, T* to, Convert convert) noexcept {
    for (std::size_t tile = 0; tile < tiles_for(outputs); ++tile)
        for (std::size_t k = 0; k < from.size() / outputs; ++k, to += tile_outputs)
            place_group(from.subspan(k * outputs, outputs), tile, to, convert);
}

/// The type to keep scales in: the stored one, unless the layer holds values that do not fit it exactly.
[[nodiscard]] inline scale_type exact_scale_type(const packed_linear& p) {
    const bool exact = visit_scale_type(p.stored_scales, [&](auto stored) {
        std::uint32_t differences = 0;  // not a bool, and no early end: so that it vectorizes
        for (const float s : p.scales) differences += to_float(round_to<decltype(stored)>(s)) == s ? 0U : 1U;
        return differences == 0;
    });
    return exact ? p.stored_scales : scale_type::f32;
}

/// The image of a consistent layer.
[[nodiscard]] inline shared_array<std::byte> image_of(const packed_linear& p) {
    const grouped_columns columns = group_columns(p.g_idx, p.groups, p.bits);
    const column_layout& layout = columns.layout;
    image_header header;
    header.bits = p.bits;
    header.block = static_cast<std::uint32_t>(layout.block);
    header.scales = static_cast<std::uint32_t>(exact_scale_type(p));
    header.has_columns = layout.columns.empty() ? 0 : 1;
    header.has_bias = p.bias.empty() ? 0 : 1;
    header.out_features = p.out_features;
    header.in_features = p.in_features;
    header.groups = p.groups;
    header.positions = layout.positions;
    const image_places at = places_of(header);

    std::shared_ptr<std::byte> memory = detail::streamed_memory(at.end);
    std::byte* image = memory.get();
    std::memcpy(image, &header, sizeof header);
    visit_kernel_bits(p.bits,
                      [&](auto bits) { place_codes<bits>(p, layout, 0, reinterpret_cast<line*>(image + at.words)); });
    std::fill(image + at.scales, image + at.group_of_block, std::byte{0});  // the gaps between these sections
    visit_scale_type(static_cast<scale_type>(header.scales), [&](auto stored) {
        using scale = decltype(stored);
        place_parameters(std::span<const float>(p.scales), p.out_features, reinterpret_cast<scale*>(image + at.scales),
                         [](float s) { return round_to<scale>(s); });
    });
    const std::vector<std::uint8_t> zeros = zeros_of(p);
    place_parameters(std::span<const std::uint8_t>(zeros), p.out_features,
                     reinterpret_cast<std::uint8_t*>(image + at.zeros), [](std::uint8_t zero) { return zero; });
    fill_section(image + at.group_of_block, image + at.columns, columns.group_of_block.data(), 4 * layout.blocks());
    fill_section(image + at.columns, image + at.bias, layout.columns.data(), 4 * layout.columns.size());
    fill_section(image + at.bias, image + at.end, p.bias.data(), 4 * p.bias.size());
    return {std::span<const std::byte>(image, at.end), std::move(memory)};
}

/// A stored image where kernels can read it, and in the machine's order of bytes.
/// @throws format_error  it is not one; nothing is copied then
[[nodiscard]] inline shared_array<std::byte> readable(shared_array<std::byte> image) {
    const image_header header = checked_header({image.data(), image.size()});
    const bool aligned = reinterpret_cast<std::uintptr_t>(image.data()) % sizeof(line) == 0;
    return is_little_endian && aligned ? std::move(image) : turned_copy(image, header);
}

}  // namespace impl

inline linear::linear(const packed_linear& p)
    : image_((check(p), impl::image_of(p))), at_(impl::places_of(header())), layout_(layout_of_image()) {}

inline linear::linear(shared_array<std::byte> image)
    : image_(impl::readable(std::move(image))), at_(impl::places_of(header())), layout_(layout_of_image()) {
    check_contents();
}

inline column_layout linear::layout_of_image() const {
    const image_header& h = header();
    const auto* columns = at<std::uint32_t>(at_.columns);
    const auto positions = static_cast<std::size_t>(h.positions);
    return {static_cast<std::size_t>(h.in_features),
            positions,
            h.block,
            codes_per_byte(h.bits),
            {columns, columns + (h.has_columns != 0 ? positions : 0)}};
}

inline void linear::check_contents() const {
    if (header().has_columns != 0) impl::check_columns(layout_.columns, in_features());
    for (std::size_t b = 0; b < layout_.blocks(); ++b)
        if (group_of_block()[b] >= groups())
            detail::fail<format_error>("linear: the image's block ", b, " is of group ", group_of_block()[b],
                                       ", expected less than ", groups());
    visit_scale_type(scales_stored_as(), [&](auto stored) {
        impl::check_scales_of_image<decltype(stored)>(at<std::byte>(at_.scales), tiles() * groups() * tile_outputs);
    });
}

}  // namespace GPTQ_ISA
}  // namespace gptq
