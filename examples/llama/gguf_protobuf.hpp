// The wire format of protocol buffers, as much of it as SentencePiece's files need: fields one after the other, each a
// number and a value. Knows no schema. It trusts nothing: lengths are compared with what is left, and nothing is
// allocated.
//
//     field   varint number·8 + kind | value
//     value   kind 0: varint   1: 8 bytes   2: varint length, bytes   5: 4 bytes
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

#include <gptq/core/error.hpp>

namespace llama {

/// A field and its place. Its value is asked for by the type that it must have.
class protobuf_field {
public:
    enum class kind : unsigned { varint = 0, eight_bytes = 1, bytes = 2, four_bytes = 5 };

    protobuf_field(std::uint64_t number, kind k, std::uint64_t value, std::string_view bytes, std::size_t place)
        : number_(number), kind_(k), value_(value), bytes_(bytes), place_(place) {}

    [[nodiscard]] std::uint64_t number() const noexcept { return number_; }

    [[nodiscard]] std::uint64_t integer() const { return expect(kind::varint), value_; }
    [[nodiscard]] bool flag() const { return integer() != 0; }
    [[nodiscard]] float real() const {
        return expect(kind::four_bytes), std::bit_cast<float>(static_cast<std::uint32_t>(value_));
    }
    /// A string, or the fields of a message within; points into the file.
    [[nodiscard]] std::string_view bytes() const { return expect(kind::bytes), bytes_; }
    /// Where bytes() begin in the file.
    [[nodiscard]] std::size_t place() const noexcept { return place_; }

private:
    void expect(kind wanted) const {
        if (kind_ != wanted)
            gptq::detail::fail<gptq::format_error>("byte ", place_, ": field ", number_, " is of kind ",
                                                   static_cast<unsigned>(kind_), ", expected ",
                                                   static_cast<unsigned>(wanted));
    }

    std::uint64_t number_;
    kind kind_;
    std::uint64_t value_;
    std::string_view bytes_;
    std::size_t place_;
};

/// Takes the fields of a message one after the other.
class protobuf_reader {
public:
    /// @param place  where the message begins in its file, for errors
    explicit protobuf_reader(std::string_view message, std::size_t place = 0) : message_(message), place_(place) {}

    [[nodiscard]] bool at_end() const noexcept { return at_ == message_.size(); }

    /// @throws gptq::format_error  the message ends within the field, or it is none: says the byte, but not the file
    [[nodiscard]] protobuf_field next() {
        using kind = protobuf_field::kind;
        const std::uint64_t key = varint();
        const auto k = static_cast<kind>(key & 7U);
        if (key >> 3U == 0) refuse("a field has the number 0");
        switch (k) {
            case kind::varint: return {key >> 3U, k, varint(), {}, place_ + at_};
            case kind::eight_bytes: return {key >> 3U, k, little_endian(8), {}, place_ + at_};
            case kind::four_bytes: return {key >> 3U, k, little_endian(4), {}, place_ + at_};
            case kind::bytes: {
                const std::uint64_t length = varint();
                const std::size_t begin = place_ + at_;
                return {key >> 3U, k, 0, take(length), begin};
            }
        }
        refuse("a field is of kind ", key & 7U, ", expected 0, 1, 2 or 5");
    }

private:
    [[nodiscard]] std::string_view take(std::uint64_t length) {
        if (length > message_.size() - at_)
            refuse(length, " bytes are announced, but only ", message_.size() - at_, " follow");
        const auto size = static_cast<std::size_t>(length);
        return message_.substr(std::exchange(at_, at_ + size), size);
    }

    [[nodiscard]] std::uint64_t little_endian(std::size_t size) {
        std::uint64_t value = 0;
        unsigned shift = 0;
        for (const char c : take(size)) {
            value |= std::uint64_t{static_cast<unsigned char>(c)} << shift;
            shift += 8;
        }
        return value;
    }

    [[nodiscard]] std::uint64_t varint() {
        std::uint64_t value = 0;
        for (unsigned shift = 0; shift < 64; shift += 7) {
            const auto byte = static_cast<unsigned char>(take(1).front());
            value |= std::uint64_t{byte & 0x7FU} << shift;
            if (byte < 0x80) return value;
        }
        refuse("a number takes more than 10 bytes");
    }

    template <class... Parts>
    [[noreturn]] void refuse(const Parts&... parts) const {
        gptq::detail::fail<gptq::format_error>("byte ", place_ + at_, ": ", parts...);
    }

    std::string_view message_;
    std::size_t place_;
    std::size_t at_ = 0;
};

}  // namespace llama
