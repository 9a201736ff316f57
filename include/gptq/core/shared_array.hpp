// Read-only elements that are either owned or lie in memory that something else keeps, such as a mapped file.
// Copies share them: a layer that was loaded, and its copies, read the file's own pages.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <span>
#include <utility>
#include <vector>

namespace gptq {

/// Elements that nobody changes, shared by all copies of the array.
template <class T>
class shared_array {
public:
    using value_type = T;  ///< of an element

    shared_array() = default;

    /// Owns the elements. Not explicit: whoever fills a vector hands it over as it is.
    shared_array(std::vector<T> values) {  // NOLINT(google-explicit-constructor)
        auto owner = std::make_shared<const std::vector<T>>(std::move(values));
        values_ = *owner;
        owner_ = std::move(owner);
    }

    /// Refers to elements that `owner` keeps.
    shared_array(std::span<const T> values, std::shared_ptr<const void> owner)
        : values_(values), owner_(std::move(owner)) {}

    shared_array(const shared_array&) = default;
    shared_array& operator=(const shared_array&) = default;
    /// What is moved from is empty: its elements may be gone.
    shared_array(shared_array&& other) noexcept
        : values_(std::exchange(other.values_, {})), owner_(std::move(other.owner_)) {}
    /// The same.
    shared_array& operator=(shared_array&& other) noexcept {
        values_ = std::exchange(other.values_, {});
        owner_ = std::move(other.owner_);
        return *this;
    }
    ~shared_array() = default;

    /// The first element, or anything where there is none. The others follow it.
    [[nodiscard]] const T* data() const noexcept { return values_.data(); }
    /// Of elements, not of bytes.
    [[nodiscard]] std::size_t size() const noexcept { return values_.size(); }
    /// Whether there is no element.
    [[nodiscard]] bool empty() const noexcept { return values_.empty(); }
    /// @pre  i < size()
    [[nodiscard]] const T& operator[](std::size_t i) const noexcept { return values_[i]; }
    /// A random-access iterator, for ranges.
    [[nodiscard]] auto begin() const noexcept { return values_.begin(); }
    /// Its end.
    [[nodiscard]] auto end() const noexcept { return values_.end(); }

    /// The same elements, wherever they are.
    friend bool operator==(const shared_array& a, const shared_array& b) {
        return std::ranges::equal(a.values_, b.values_);
    }

private:
    std::span<const T> values_;
    std::shared_ptr<const void> owner_;
};

}  // namespace gptq
