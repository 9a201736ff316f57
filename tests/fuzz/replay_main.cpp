// In the place of libFuzzer's main: runs a harness once over each of the given files, and those in given folders, and
// prints what was refused last in each.
#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <vector>

#include "fuzz/target.hpp"

namespace {

namespace fs = std::filesystem;

std::vector<fs::path> files_at(const fs::path& place) {
    if (!fs::is_directory(place)) return {place};
    std::vector<fs::path> files;
    for (const auto& entry : fs::recursive_directory_iterator(place))
        if (entry.is_regular_file()) files.push_back(entry.path());
    std::ranges::sort(files);
    return files;
}

/// Its bytes, in memory of exactly their size: what reads past the end is seen.
std::vector<std::uint8_t> bytes_at(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) throw std::runtime_error("cannot open " + path.string());
    const std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
    return {bytes.begin(), bytes.end()};
}

}  // namespace

int main(int argc, char** argv) {
    std::size_t count = 0;
    for (const fs::path place : std::span(argv, static_cast<std::size_t>(argc)).subspan(1))
        for (const fs::path& path : files_at(place)) {
            std::cout << path.string() << std::flush;  // should it be the last
            const auto bytes = bytes_at(path);
            fuzz::last_refusal.clear();
            (void)LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
            std::cout << ": " << (fuzz::last_refusal.empty() ? "read" : fuzz::last_refusal) << '\n';
            ++count;
        }
    std::cout << count << " inputs\n";
    return count == 0 ? 1 : 0;
}
