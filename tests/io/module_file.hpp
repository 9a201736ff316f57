// What tests of loaders share: a module's tensors as a test wants them, in a file of their own.
#pragma once

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include <gptq/core/error.hpp>
#include <gptq/io/dtype.hpp>
#include <gptq/io/safetensors_writer.hpp>

#include "io/raw_file.hpp"
#include "support/cases.hpp"
#include "support/catch.hpp"
#include "support/temp_folder.hpp"

struct tensor_contents {
    gptq::io::dtype type;
    std::vector<std::size_t> shape;
    std::string bytes;
};
using module_contents = std::map<std::string, tensor_contents>;  // "qweight" → …

/// The module "m" in model.safetensors.
inline std::filesystem::path write_module(const temp_folder& folder, const module_contents& tensors) {
    std::vector<gptq::io::tensor_declaration> declared;
    for (const auto& [suffix, tensor] : tensors) declared.push_back({"m." + suffix, tensor.type, tensor.shape});
    gptq::io::safetensors_writer writer(folder / "model.safetensors", declared);
    for (const auto& [suffix, tensor] : tensors) writer.write("m." + suffix, as_bytes(tensor.bytes));
    writer.finish();
    return folder / "model.safetensors";
}

/// What f complains of, after the file and the tensor, which it must name.
template <class F>
std::string refusal_of(const std::string& tensor, F&& f) {
    const std::string message = message_of<gptq::format_error>(f);
    const std::string where = "model.safetensors: tensor 'm." + tensor + "': ";
    CAPTURE(message);
    CHECK(contains(message, where));
    return message.substr(std::min(message.find(where), message.size()) + where.size());
}

/// load(path) of a file with any bit, or its end, changed returns or throws a format_error. Where tests are to be few,
/// some of its bytes stand for all.
template <class F>
void check_any_change(const std::string& bytes, const temp_folder& folder, F&& load) {
    const auto survives = [&](const std::string& changed) {
        const auto path = folder.write("changed.safetensors", changed);
        try {
            load(path);
        } catch (const gptq::format_error&) {
        }  // another exception fails the test
    };
    const std::size_t step = bytes.size() / static_cast<std::size_t>(support::cases(static_cast<int>(bytes.size())));
    for (std::size_t i = 0; i < bytes.size(); i += step) {
        for (const unsigned bit : {0U, 4U, 7U}) {
            std::string changed = bytes;
            changed[i] = static_cast<char>(changed[i] ^ (1 << bit));
            survives(changed);
        }
        survives(bytes.substr(0, i));
    }
}
