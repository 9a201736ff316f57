// Golden cases: one layer each, solved by a reference implementation; a safetensors file whose metadata says how.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include <gptq/core/view.hpp>
#include <gptq/io/floats.hpp>
#include <gptq/io/safetensors.hpp>

namespace support {

/// A golden file's tensors by name and options by key.
class golden_case {
public:
    explicit golden_case(const std::filesystem::path& path) : file_(gptq::io::safetensors::open(path)) {}

    [[nodiscard]] std::string option(const std::string& key) const { return file_.metadata().at(key); }
    [[nodiscard]] bool flag(const std::string& key) const { return option(key) == "true"; }
    [[nodiscard]] double number(const std::string& key) const { return std::stod(option(key)); }

    [[nodiscard]] std::vector<float> floats(const std::string& name) const {
        return gptq::io::to_floats(file_.at(name));
    }
    template <class T>
    [[nodiscard]] std::vector<T> values(const std::string& name) const {
        const auto& tensor = file_.at(name);
        std::vector<T> result(tensor.bytes.size() / sizeof(T));
        std::memcpy(result.data(), tensor.bytes.data(), tensor.bytes.size());
        return result;
    }

private:
    gptq::io::safetensors file_;
};

/// Every *.safetensors in a folder, sorted.
inline std::vector<std::filesystem::path> golden_files(const std::filesystem::path& folder) {
    std::vector<std::filesystem::path> files;
    if (std::filesystem::is_directory(folder))
        for (const auto& entry : std::filesystem::directory_iterator(folder))
            if (entry.path().extension() == ".safetensors") files.push_back(entry.path());
    std::ranges::sort(files);
    return files;
}

/// The folder that GPTQ_GOLDEN_DIR names, else the one beside the checkout, where there is one.
inline std::filesystem::path outer_golden_folder() {
    if (const char* named = std::getenv("GPTQ_GOLDEN_DIR")) return named;
    return std::filesystem::path(GPTQ_SOURCE_DIR) / ".." / "shared" / "golden";
}

}  // namespace support
