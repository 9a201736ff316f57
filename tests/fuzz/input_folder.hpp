// A model folder whose files are inputs, for what is read from folders. One for a program, gone when it ends.
#pragma once

#include <filesystem>
#include <string_view>

#include "support/temp_folder.hpp"

namespace fuzz {

inline const temp_folder& input_folder() {
    static const temp_folder folder;
    return folder;
}

/// The folder, with this file in it.
inline const std::filesystem::path& folder_with(const char* name, std::string_view bytes) {
    (void)input_folder().write(name, bytes);
    return input_folder().path();
}

}  // namespace fuzz
