// Storing results that are larger than the caches. A line that is stored to as usual is read from memory first, and
// pushes another out of the cache; one that is stored past the caches is neither.
#pragma once

#include <cstddef>
#include <cstdint>

#include <gptq/core/config.hpp>

#if GPTQ_WITH_SSE2
#include <emmintrin.h>
#else
#include <cstring>
#endif

namespace gptq {
inline namespace GPTQ_ISA {
namespace impl {

/// A result of so many bytes is in no cache any more when its first byte is read.
inline constexpr std::size_t beyond_caches = std::size_t{8} << 20U;

/// Bytes that are stored at once, at a multiple of as many.
inline constexpr std::size_t past_cache_unit = 16;

/// Whether bytes that begin here can be stored past the caches.
[[nodiscard]] inline bool fits_past_cache(const void* to, std::size_t bytes) noexcept {
    return GPTQ_WITH_SSE2 != 0 && reinterpret_cast<std::uintptr_t>(to) % past_cache_unit == 0 &&
           bytes % past_cache_unit == 0;
}

/// @pre  fits_past_cache; a finish_past_cache follows before another thread reads
inline void copy_past_cache(const void* from, void* to, std::size_t bytes) noexcept {
#if GPTQ_WITH_SSE2
    for (std::size_t i = 0; i < bytes; i += past_cache_unit)
        _mm_stream_si128(reinterpret_cast<__m128i*>(static_cast<std::byte*>(to) + i),
                         _mm_loadu_si128(reinterpret_cast<const __m128i*>(static_cast<const std::byte*>(from) + i)));
#else
    std::memcpy(to, from, bytes);
#endif
}

/// Such stores are in no order with others until this.
inline void finish_past_cache() noexcept {
#if GPTQ_WITH_SSE2
    _mm_sfence();
#endif
}

}  // namespace impl
}  // namespace GPTQ_ISA
}  // namespace gptq
