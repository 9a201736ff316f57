// Memory that ends where readable memory ends: a read past it is a crash.
#pragma once

#if __has_include(<sys/mman.h>)
#define GPTQ_TEST_GUARDED 1

#include <algorithm>
#include <cstddef>
#include <span>
#include <stdexcept>

#include <sys/mman.h>
#include <unistd.h>

namespace support {

/// A copy of some values, right before a page that nobody may touch; at an address that is no multiple of anything but
/// their own size.
template <class T>
class guarded {
public:
    explicit guarded(std::span<const T> values) {
        const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
        bytes_ = (values.size_bytes() + page - 1) / page * page + page;
        memory_ = static_cast<char*>(mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
        if (memory_ == MAP_FAILED || mprotect(memory_ + bytes_ - page, page, PROT_NONE) != 0)
            throw std::runtime_error("no guarded memory");
        values_ = {reinterpret_cast<T*>(memory_ + bytes_ - page) - values.size(), values.size()};
        std::ranges::copy(values, values_.begin());
    }
    guarded(const guarded&) = delete;
    guarded& operator=(const guarded&) = delete;
    ~guarded() { munmap(memory_, bytes_); }

    [[nodiscard]] std::span<T> values() const { return values_; }

private:
    char* memory_ = nullptr;
    std::size_t bytes_ = 0;
    std::span<T> values_;
};

}  // namespace support

#endif
