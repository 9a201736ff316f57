// The solver against recorded results of the reference implementation, by the rule of the golden cases' own README:
// one code that flips at a rounding border changes the rest of its row, so rows are compared, and only those whose
// smallest distance to a border (row_margin) is above what single precision can tell apart must agree exactly.
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include <gptq/calib/factor.hpp>
#include <gptq/grid/uniform_grid.hpp>
#include <gptq/solve/solver.hpp>

#include "support/catch.hpp"
#include "support/golden.hpp"

namespace golden_test {

namespace {

using namespace gptq;

// In single precision a reference run differed at a margin of 4.1e-5; in double only ties may.
template <class T>
constexpr double safe_margin = std::is_same_v<T, float> ? 1e-4 : 1e-9;
constexpr double flipped_error = 0.30;  // how far one flipped row's error may lie from the recorded row's

uniform_grid grid_of(const support::golden_case& golden) {
    return {.bits = static_cast<unsigned>(golden.number("bits")),
            .group_size = static_cast<std::ptrdiff_t>(golden.number("group_size")),
            .sym = golden.flag("sym"),
            .scales = scale_type::f32,
            .search = golden.flag("mse") ? scale_search::mse : scale_search::min_max,
            .reference = true};
}

act_order order_of(const support::golden_case& golden) {
    if (golden.flag("group_aware_reorder")) return act_order::group_aware;
    return golden.flag("act_order") ? act_order::descending : act_order::none;
}

/// ‖e·Xᵀ‖² of one row of errors.
double row_error(const std::vector<double>& e, const std::vector<float>& x) {
    double total = 0;
    for (std::size_t t = 0; t < x.size(); t += e.size()) {
        double dot = 0;
        for (std::size_t i = 0; i < e.size(); ++i) dot += e[i] * static_cast<double>(x[t + i]);
        total += dot * dot;
    }
    return total;
}

template <class T>
void check_case(const std::filesystem::path& path) {
    const support::golden_case golden(path);
    const auto out = static_cast<std::size_t>(golden.number("out_features"));
    const auto in = static_cast<std::size_t>(golden.number("in_features"));
    const auto w = golden.floats("W"), x = golden.floats("X"), want = golden.floats("Q");
    const auto codes = golden.values<std::uint8_t>("codes");
    const auto scales = golden.values<double>("scales");
    const auto zeros = golden.values<std::uint8_t>("zeros");
    const auto margin = golden.values<double>("row_margin");

    hessian<T> h = hessian<T>::of(view_of(golden.floats("H").data(), in, in));
    if constexpr (std::is_same_v<T, double>) {  // from X, summed in double; the recorded H is rounded to float
        hessian<T> exact(in);
        exact.add(view_of(x.data(), x.size() / in, in));
        const auto per_token = exact.to_matrix();
        const auto tokens_per_sequence = static_cast<double>(x.size() / in) / golden.number("n_sequences");
        h = hessian<T>::of(xt::xtensor<T, 2>(per_token * tokens_per_sequence));
    }
    const auto grid = grid_of(golden);
    const auto f = factorize(h, {.damp_percent = golden.number("percdamp"),
                                 .order = order_of(golden),
                                 .group_size = grid.group_size,
                                 .reference = true});
    const solve_options options{.block_size = static_cast<std::size_t>(golden.number("block_size")),
                                .static_groups = golden.flag("static_groups"),
                                .reference = true};
    const auto [q, report] = solve(view_of(w.data(), out, in), f, grid, options);

    const auto order = golden.values<std::int32_t>("perm");
    CHECK(std::vector<std::int32_t>(f.order.begin(), f.order.end()) == order);
    CHECK(q.g_idx == golden.values<std::int32_t>("g_idx"));

    double error = 0, weight_energy = 0;
    std::size_t flipped_rows = 0;
    for (std::size_t o = 0; o < out; ++o) {
        std::vector<double> ours(in), recorded(in), original(in);
        bool same = true;
        for (std::size_t i = 0; i < in; ++i) {
            same = same && q.codes[o * in + i] == codes[o * in + i];
            original[i] = static_cast<double>(w[o * in + i]);
            ours[i] = original[i] - static_cast<double>(q.value(o, i));
            recorded[i] = original[i] - static_cast<double>(want[o * in + i]);
        }
        INFO("row " << o << ", margin " << margin[o]);
        if (margin[o] > safe_margin<T>) CHECK(same);
        if (same)
            for (std::size_t k = o * q.groups(); k < (o + 1) * q.groups(); ++k) {
                CHECK(static_cast<double>(q.parameters[k].scale) == Approx(scales[k]).epsilon(1e-5));
                CHECK(q.parameters[k].zero == static_cast<float>(zeros[k]));
            }
        else
            CHECK(row_error(ours, x) <= (1 + flipped_error) * row_error(recorded, x));
        flipped_rows += static_cast<std::size_t>(!same);
        error += row_error(ours, x);
        weight_energy += row_error(original, x);
    }
    INFO(flipped_rows << " rows flipped");
    CHECK(error / weight_energy == Approx(golden.number("rel_err_gptq_f64")).epsilon(flipped_rows == 0 ? 1e-4 : 0.02));
    CHECK(error / weight_energy <= golden.number("rel_err_rtn") * (1 + 1e-6));
    // The recorded loss is Σ(w - q)²/d²/2 with d = 1/L_jj.
    if (flipped_rows == 0) CHECK(report.damped_loss / 2 == Approx(golden.number("loss_f64")).epsilon(1e-4));
}

void check_folder(const std::filesystem::path& folder) {
    for (const auto& path : support::golden_files(folder)) {
        INFO(path.filename().string());
        check_case<float>(path);
        check_case<double>(path);
    }
}

TEST_CASE("codes equal the textbook algorithm's on the project's own golden cases", "[golden]") {
    const auto folder = std::filesystem::path(GPTQ_SOURCE_DIR) / "tests" / "data" / "golden";
    REQUIRE(support::golden_files(folder).size() >= 12);
    check_folder(folder);
}

TEST_CASE("codes equal the reference implementation's on a folder of golden cases", "[golden]") {
    const auto folder = support::outer_golden_folder();
    if (std::getenv("GPTQ_GOLDEN_DIR") != nullptr) REQUIRE(!support::golden_files(folder).empty());
    if (support::golden_files(folder).empty())
        WARN("no golden cases in " << folder << ": name a folder in GPTQ_GOLDEN_DIR");
    check_folder(folder);
}

}  // namespace

}  // namespace golden_test
