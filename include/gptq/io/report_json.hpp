// Reports as JSON. Knows no report: whatever tells its figures to for_each_field can be written.
#pragma once

#include <string>
#include <string_view>

#include <gptq/io/json.hpp>

namespace gptq::io {

/// A solve_report, or its like, as one line of JSON: every figure under its member's name, null for one that was not
/// asked for; row_losses and group_losses as arrays where they were. Numbers read back as the same doubles.
template <class Report>
[[nodiscard]] std::string to_json(const Report& report) {
    impl::json object = impl::json::object();
    for_each_field(report, [&](std::string_view name, const auto& value) {
        auto& field = object[std::string(name)];
        if constexpr (requires { value.has_value(); }) {
            if (value) field = *value;
        } else {
            field = value;
        }
    });
    if (!report.row_losses.empty()) object["row_losses"] = report.row_losses;
    if (!report.group_losses.empty()) object["group_losses"] = report.group_losses;
    return object.dump();
}

}  // namespace gptq::io
