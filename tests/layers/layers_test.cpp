// The picture of docs/overview.md, kept true: which folder may include which.
#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <string>

#include "support/catch.hpp"

std::size_t groups_by_a();
std::size_t groups_by_b();

namespace {

const std::map<std::string, std::set<std::string>> may_include = {
    {"core", {"core"}},
    {"grid", {"core", "grid"}},
    {"pack", {"core", "grid", "pack"}},
    {"kernels", {"core", "grid", "pack", "kernels"}},
    {"io", {"core", "grid", "pack", "kernels", "io"}},
    {"calib", {"core", "grid", "calib"}},
    {"solve", {"core", "grid", "calib", "solve"}},
};

TEST_CASE("includes go one way through the layers, and each dependency has one door") {
    const std::filesystem::path root = std::filesystem::path(GPTQ_SOURCE_DIR) / "include" / "gptq";
    const std::regex own("#include <gptq/([a-z]+)/.*>"), foreign("#include <(xtensor|xflens|nlohmann).*>");
    const std::map<std::string, std::set<std::string>> doors = {{"xflens", {"blas.hpp"}},
                                                                {"xtensor", {"blas.hpp", "tensor.hpp"}},
                                                                {"nlohmann", {"json.hpp", "gptq_config.hpp"}}};
    std::size_t seen = 0;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(root)) {
        if (entry.path().extension() != ".hpp" || entry.path().parent_path() == root) continue;
        std::string folder = std::filesystem::relative(entry.path(), root).begin()->string();
        std::ifstream file(entry.path());
        for (std::string line; std::getline(file, line);) {
            std::smatch match;
            INFO(entry.path().string() << ": " << line);
            if (std::regex_search(line, match, own)) {
                ++seen;
                CHECK(may_include.at(folder).contains(match[1]));
            }
            if (std::regex_search(line, match, foreign)) {
                ++seen;
                CHECK(doors.at(match[1]).contains(entry.path().filename().string()));
            }
        }
    }
    CHECK(seen > 50);
}

TEST_CASE("two translation units with the whole library link into one program") {
    CHECK(groups_by_a() == 3);
    CHECK(groups_by_b() == 3);
}

}  // namespace
