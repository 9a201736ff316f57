// What the program of 08_two_isas_one_program.cpp sees of a layer, whichever build multiplies: no type of a build's
// own.
#pragma once

#include <memory>
#include <span>
#include <string_view>

#include <gptq/pack/packed_linear.hpp>

struct layer {
    virtual ~layer() = default;
    [[nodiscard]] virtual std::string_view instruction_set() const = 0;
    virtual void multiply(std::span<const float> x, std::span<float> y) const = 0;
};

using layer_maker = std::unique_ptr<layer>(const gptq::packed_linear&);
