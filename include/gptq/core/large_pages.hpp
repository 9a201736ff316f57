// Memory for what is read from end to end again and again. In pages of 2 MiB where the system grants them on request
// (Linux does): a stream of weights then comes a tenth to a fifth faster, since neither the translation of addresses
// nor the processor's own prefetching stops at every 4 KiB.
#pragma once

#include <cstddef>
#include <memory>
#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace gptq::detail {

/// `bytes` of memory at a multiple of 64, not written to.
/// @throws std::bad_alloc
[[nodiscard]] inline std::shared_ptr<std::byte> streamed_memory(std::size_t bytes) {
    constexpr std::size_t large_page = std::size_t{2} << 20U, line = 64;
    const auto alignment = std::align_val_t{bytes >= large_page ? large_page : line};
    auto* memory = static_cast<std::byte*>(::operator new(bytes, alignment));
    std::shared_ptr<std::byte> owner(memory, [alignment](std::byte* p) { ::operator delete(p, alignment); });
#if defined(__linux__)
    if (bytes >= large_page) (void)madvise(memory, bytes / large_page * large_page, MADV_HUGEPAGE);  // or not: as well
#endif
    return owner;
}

}  // namespace gptq::detail
