// A quantized linear layer multiplied where its checkpoint holds it: nothing is re-tiled, codes are read from the
// file's own pages. For an engine that maps a file and answers at once; one that goes on answering makes a `linear`,
// which multiplies faster (docs/kernels.md has the figures).
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include <gptq/core/config.hpp>
#include <gptq/core/shared_array.hpp>
#include <gptq/grid/scale_type.hpp>
#include <gptq/kernels/layout.hpp>
#include <gptq/kernels/linear.hpp>
#include <gptq/kernels/place.hpp>
#include <gptq/kernels/step.hpp>
#include <gptq/kernels/tile.hpp>
#include <gptq/pack/packed_linear.hpp>

namespace gptq {
inline namespace GPTQ_ISA {

/// Ŵ [out_features, in_features] as a checkpoint stores it. Multiplies to the same bits as `linear`.
///
/// Codes can be multiplied where they lie if the columns in order fill whole blocks (layout().columns is empty): so
/// with most groups of a multiple of 32 columns. Any other layer, one with act-order too, is re-tiled when it is made,
/// and takes that time and memory: see is_direct. Many tokens are multiplied one by one: a prompt wants a `linear`.
class direct_linear {
public:
    /// @param p  its qweight is shared, not copied
    /// @cost  5 bytes for each output and group
    /// @throws shape_error, option_error, numeric_error  `p` is inconsistent (see check)
    explicit direct_linear(packed_linear p);

    /// Rows of Ŵ.
    [[nodiscard]] std::size_t out_features() const noexcept { return packed_.out_features; }
    /// Columns of Ŵ.
    [[nodiscard]] std::size_t in_features() const noexcept { return packed_.in_features; }
    /// Of a code: 2, 3, 4 or 8.
    [[nodiscard]] unsigned bits() const noexcept { return packed_.bits; }
    /// Where input columns go; equal to that of a `linear` of the same layer.
    [[nodiscard]] const column_layout& layout() const noexcept { return columns_.layout; }
    /// Of 16 outputs; the last may lack some.
    [[nodiscard]] std::size_t tiles() const noexcept { return tiles_for(out_features()); }
    /// [out_features], or empty.
    [[nodiscard]] std::span<const float> bias() const noexcept { return packed_.bias; }
    /// Bytes that a multiplication reads.
    [[nodiscard]] std::size_t bytes() const noexcept {
        if (tiled_) return tiled_->bytes();
        return sizeof(float) * (packed_.qweight.size() + scales_.size() + bias().size()) + zeros_.size();
    }

    /// Whether the checkpoint's own words are multiplied.
    [[nodiscard]] bool is_direct() const noexcept { return !tiled_; }
    /// The layer re-tiled, where it is not.
    [[nodiscard]] const std::optional<linear>& tiled() const noexcept { return tiled_; }

    /// The first step of a block of a tile whose sixteen outputs are all there.
    /// @pre  is_direct, here and below
    [[nodiscard]] impl::checkpoint_step block(std::size_t tile, std::size_t block) const noexcept {
        const std::size_t rows = layout().steps_per_block() * bits();
        return {packed_.qweight.data() + block * rows * out_features() + tile * tile_outputs, out_features(), rows};
    }
    /// The words of the last tile, if some of its outputs are missing in the checkpoint.
    [[nodiscard]] std::span<const line> incomplete_tile() const noexcept { return incomplete_tile_; }
    /// Where the scales and zero points of a tile are.
    [[nodiscard]] impl::tile_parameters parameters(std::size_t tile) const noexcept {
        return {reinterpret_cast<const std::byte*>(scales_.data() + tile * tile_outputs),
                zeros_.data() + tile * tile_outputs, tiles() * tile_outputs, scale_type::f32,
                columns_.group_of_block.data()};
    }

private:
    void place_parameters();
    void place_incomplete_tile();

    packed_linear packed_;
    impl::grouped_columns columns_;
    std::optional<linear> tiled_;
    std::vector<line> incomplete_tile_;  ///< [steps][bits]
    std::vector<float> scales_;          ///< [groups][tiles · 16]
    std::vector<std::uint8_t> zeros_;    ///< [groups][tiles · 16]
};

inline direct_linear::direct_linear(packed_linear p)
    : packed_((check(p), std::move(p))), columns_(impl::group_columns(packed_.g_idx, packed_.groups, packed_.bits)) {
    if (!layout().columns.empty()) {
        tiled_.emplace(packed_);
        packed_.qweight = {};
    } else {
        place_parameters();
        place_incomplete_tile();
    }
    packed_.scales = {};  // what is read of these is kept elsewhere now
    packed_.qzeros = {};
    packed_.g_idx = {};
}

inline void direct_linear::place_incomplete_tile() {
    if (out_features() % tile_outputs == 0) return;
    incomplete_tile_.resize(layout().steps() * bits());
    impl::visit_kernel_bits(
        bits(), [&](auto b) { impl::place_codes<b>(packed_, layout(), tiles() - 1, incomplete_tile_.data()); });
}

inline void direct_linear::place_parameters() {
    const std::vector<std::uint8_t> zeros = impl::zeros_of(packed_);
    const std::size_t pitch = tiles() * tile_outputs;
    scales_.resize(packed_.groups * pitch);
    zeros_.resize(packed_.groups * pitch);
    for (std::size_t k = 0; k < packed_.groups; ++k) {
        std::copy_n(packed_.scales.data() + k * out_features(), out_features(), scales_.data() + k * pitch);
        std::copy_n(zeros.data() + k * out_features(), out_features(), zeros_.data() + k * pitch);
    }
}

}  // namespace GPTQ_ISA
}  // namespace gptq
