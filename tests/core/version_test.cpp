// The version where people read it is the version that programs see.
#include <gptq/core/version.hpp>

#include <fstream>
#include <string>

#include "support/catch.hpp"

TEST_CASE("the version in words is the version in numbers", "[core]") {
    CHECK(gptq::version_string == std::to_string(GPTQ_VERSION_MAJOR) + '.' + std::to_string(GPTQ_VERSION_MINOR) + '.' +
                                      std::to_string(GPTQ_VERSION_PATCH));
}

TEST_CASE("the changelog begins with this version", "[core]") {
    std::ifstream changelog(GPTQ_SOURCE_DIR "/CHANGELOG.md");
    std::string line;
    while (std::getline(changelog, line) && !line.starts_with("## ")) continue;
    CHECK(line.starts_with("## " + std::string(gptq::version_string) + ' '));
}
