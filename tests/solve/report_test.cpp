#include <gptq/solve/report.hpp>

#include <random>
#include <sstream>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include <gptq/calib/factor.hpp>
#include <gptq/grid/uniform_grid.hpp>
#include <gptq/io/report_json.hpp>
#include <gptq/solve/solver.hpp>

#include "support/catch.hpp"
#include "support/textbook.hpp"

namespace report_test {

namespace {

using namespace gptq;
using support::table;

struct problem {
    std::size_t rows, n;
    table h, w;
    problem(unsigned seed, std::size_t r, std::size_t columns) : rows(r), n(columns) {
        std::mt19937 random(seed);
        h = support::random_hessian(random, n, 2 * n);
        w = support::random_table(random, rows, n);
    }
    [[nodiscard]] matrix_view<const double> weights() const { return view_of(w.values.data(), rows, n); }
    [[nodiscard]] factor<double> factored(act_order order, std::ptrdiff_t group_size) const {
        return factorize(hessian<double>::of(view_of(h.values.data(), n, n)),
                         {.order = order, .group_size = group_size});
    }
};

template <grid G>
table errors(const table& w, const quantized<G>& q) {
    table e(w.rows, w.cols);
    for (std::size_t o = 0; o < w.rows; ++o)
        for (std::size_t i = 0; i < w.cols; ++i) e(o, i) = w(o, i) - static_cast<double>(q.value(o, i));
    return e;
}

table row_of(const table& t, std::size_t r) {
    table row(1, t.cols);
    for (std::size_t c = 0; c < t.cols; ++c) row(0, c) = t(r, c);
    return row;
}

TEST_CASE("every row's loss is tr(e·H·eᵀ) of that row, and the groups' losses add up to the damped loss") {
    const problem p(1, 70, 100);
    for (const auto order : {act_order::none, act_order::group_aware})
        for (const bool static_groups : {false, true}) {
            const auto [q, report] =
                solve(p.weights(), p.factored(order, 24), uniform_grid{.bits = 3, .group_size = 24},
                      {.static_groups = static_groups, .losses_by_part = true});
            const table e = errors(p.w, q);
            REQUIRE(report.row_losses.size() == p.rows);
            for (std::size_t r = 0; r < p.rows; ++r)
                CHECK(report.row_losses[r] == Approx(support::quadratic_loss(row_of(e, r), p.h)).epsilon(1e-6));
            REQUIRE(report.group_losses.size() == 5);
            double total = 0;
            for (const double loss : report.group_losses) total += loss;
            CHECK(total == Approx(report.damped_loss).epsilon(1e-12));
            CHECK(report.group_losses[2] > 0);
        }
    const auto plain = solve(p.weights(), p.factored(act_order::none, 24), uniform_grid{}).report;
    CHECK(plain.row_losses.empty());
    CHECK(plain.group_losses.empty());
}

TEST_CASE("a group's loss is that of its columns") {
    // With a diagonal Hessian nothing is pushed on, and the loss falls apart into columns.
    problem p(2, 33, 64);
    for (std::size_t i = 0; i < p.n; ++i)
        for (std::size_t j = 0; j < p.n; ++j)
            if (i != j) p.h(i, j) = 0;
    for (const auto order : {act_order::none, act_order::descending, act_order::group_aware}) {
        const auto [q, report] = solve(p.weights(), p.factored(order, 16), uniform_grid{.bits = 2, .group_size = 16},
                                       {.losses_by_part = true});
        std::vector<double> expected(4);
        for (std::size_t r = 0; r < p.rows; ++r)
            for (std::size_t i = 0; i < p.n; ++i) {
                const double e = p.w(r, i) - static_cast<double>(q.value(r, i));
                expected[static_cast<std::size_t>(q.g_idx[i])] += e * e * (p.h(i, i) + report.damping);
            }
        for (std::size_t k = 0; k < 4; ++k) CHECK(report.group_losses[k] == Approx(expected[k]).epsilon(1e-9));
    }
}

TEST_CASE("the loss of rounding to nearest is measured on the same grid and groups") {
    const problem p(3, 150, 90);
    const uniform_grid grid{.bits = 3, .group_size = 32};
    const auto report =
        solve(p.weights(), p.factored(act_order::group_aware, 32), grid, {.compare_nearest = true}).report;
    const double nearest = support::quadratic_loss(errors(p.w, round_to_nearest(p.weights(), grid)), p.h);
    CHECK(report.nearest_loss.value() == Approx(nearest).epsilon(1e-5));
    CHECK(report.ratio_to_nearest().value() == Approx(report.loss / nearest).epsilon(1e-5));
    CHECK(report.ratio_to_nearest().value() < 1);
}

TEST_CASE("losses are of H itself, also where only its diagonal could be factored") {
    std::mt19937 random(7);
    const std::size_t n = 70, rows = 40;
    table h = support::random_hessian(random, n, 2 * n);
    h(40, 7) = h(7, 40) = 1e4 * h(40, 40);  // beyond what damping can mend
    const auto w = support::random_table(random, rows, n);
    const auto weights = view_of(w.values.data(), rows, n);
    const uniform_grid grid{.bits = 3, .group_size = 16};
    const auto f =
        factorize(hessian<double>::of(view_of(h.values.data(), n, n)), {.damp_percent = 0, .group_size = 16});
    REQUIRE(f.diagonal_only);
    const auto [q, report] =
        solve(weights, f, grid, {.relative_error = true, .compare_nearest = true, .losses_by_part = true});
    const double loss = support::quadratic_loss(errors(w, q), h), output = support::quadratic_loss(w, h);
    REQUIRE(loss > 0);
    REQUIRE(output > 0);
    CHECK(report.loss == Approx(loss).epsilon(1e-9));
    CHECK(report.relative_error.value() == Approx(loss / output).epsilon(1e-9));
    CHECK(report.ratio_to_nearest().value() == Approx(1).epsilon(1e-9));
}

TEST_CASE("clipped weights are those whose code was cut to the grid's range") {
    // One column, so that no error reaches another, and scales are powers of two.
    const std::vector<float> w = {-7.5F, 7.5F, 15, 0, 3.75F};
    const auto f = factorize(hessian<float>::of(view_of(std::vector<float>{1}.data(), 1, 1)));
    const auto report = solve(view_of(w.data(), 5, 1), f, uniform_grid{}).report;
    // A positive weight that is its row's largest sits at 7.5 steps: its code, 8 above the middle, does not exist.
    CHECK(report.clipped == 3U);
    CHECK(solve(view_of(w.data(), 5, 1), f, uniform_grid{.sym = false}).report.clipped == 0U);
}

TEST_CASE("a report is one line, and names help that was needed") {
    table singular(2, 2);
    for (double& v : singular.values) v = 1;
    const std::vector<float> w = {0.3F, -0.7F};
    const auto f = factorize(hessian<float>::of(view_of(singular.values.data(), 2, 2)), {.damp_percent = 0});
    std::ostringstream out;
    out << solve(view_of(w.data(), 1, 2), f, uniform_grid{}, {.relative_error = true, .compare_nearest = true}).report;
    CHECK(out.str().find("1x2  loss ") == 0);
    CHECK(out.str().find("of nearest's") != std::string::npos);
    CHECK(out.str().find("damping raised 1 times") != std::string::npos);
    CHECK(out.str().find('\n') == std::string::npos);
}

TEST_CASE("a report's CSV has a value under every name, and its JSON says the same") {
    const problem p(4, 20, 40);
    const auto report = solve(p.weights(), p.factored(act_order::none, 40), uniform_grid{},
                              {.relative_error = true, .losses_by_part = true})
                            .report;
    std::istringstream names(csv_header()), values(to_csv(report) + ",");
    const auto json = nlohmann::json::parse(io::to_json(report));
    std::size_t fields = 0;
    for (std::string name, value; std::getline(names, name, ','); ++fields) {
        REQUIRE(std::getline(values, value, ','));
        INFO(name << " = " << value);
        const auto& field = json.at(name);
        if (value.empty())
            CHECK(field.is_null());
        else if (field.is_boolean())
            CHECK(value == (field.get<bool>() ? "1" : "0"));
        else
            CHECK(std::stod(value) == field.get<double>());
    }
    CHECK(fields == 21);
    CHECK(json.at("loss").get<double>() == report.loss);
    CHECK(json.at("nearest_loss").is_null());
    CHECK(json.at("row_losses").get<std::vector<double>>() == report.row_losses);
}

TEST_CASE("the seconds of the phases lie inside the whole") {
    const problem p(5, 256, 256);
    const auto report =
        solve(p.weights(), p.factored(act_order::none, 64), uniform_grid{.group_size = 64}, {}, serial{}).report;
    const double phases = report.prepare_seconds + report.product_seconds + report.fit_seconds +
                          report.recursion_seconds + report.measure_seconds;
    CHECK(report.recursion_seconds > 0);
    CHECK(report.factor_seconds > 0);
    CHECK(phases <= report.seconds);
}

}  // namespace

}  // namespace report_test
