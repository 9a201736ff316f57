// The version's one home: what builds, packages and amalgamates the library reads these three lines, and writers sign
// their files with them. CHANGELOG.md says what they promise.
#pragma once

#include <string_view>

#define GPTQ_VERSION_MAJOR 0  ///< semantic versioning's first number
#define GPTQ_VERSION_MINOR 1  ///< the second
#define GPTQ_VERSION_PATCH 0  ///< the third

namespace gptq {

#define GPTQ_QUOTED(x) #x
#define GPTQ_VERSION_TEXT(major, minor, patch) GPTQ_QUOTED(major) "." GPTQ_QUOTED(minor) "." GPTQ_QUOTED(patch)
/// The version in digits and dots, for logs and signatures. Compare the three numbers, not this.
inline constexpr std::string_view version_string =
    GPTQ_VERSION_TEXT(GPTQ_VERSION_MAJOR, GPTQ_VERSION_MINOR, GPTQ_VERSION_PATCH);
#undef GPTQ_VERSION_TEXT
#undef GPTQ_QUOTED

}  // namespace gptq
