#include <gptq/core/view.hpp>

#include <vector>

#if __has_include(<xtensor/containers/xarray.hpp>)
#include <xtensor/containers/xadapt.hpp>
#include <xtensor/containers/xarray.hpp>
#include <xtensor/containers/xtensor.hpp>
#include <xtensor/views/xview.hpp>
#else
#include <xtensor/xadapt.hpp>
#include <xtensor/xarray.hpp>
#include <xtensor/xtensor.hpp>
#include <xtensor/xview.hpp>
#endif

#include "support/catch.hpp"

namespace view_test {

namespace {

using namespace gptq;

/// Element (r, c) of the 3 x 4 matrix that all these tests look at.
float element(std::size_t r, std::size_t c) { return static_cast<float>(10 * r + c); }

template <class M>
void check_elements(const M& m) {
    const auto view = const_view_of(m);
    REQUIRE(view.rows == 3);
    REQUIRE(view.cols == 4);
    for (std::size_t r = 0; r < 3; ++r)
        for (std::size_t c = 0; c < 4; ++c) CHECK(view(r, c) == element(r, c));
}

std::vector<float> flat() {
    std::vector<float> values;
    for (std::size_t r = 0; r < 3; ++r)
        for (std::size_t c = 0; c < 4; ++c) values.push_back(element(r, c));
    return values;
}

TEST_CASE("containers of xtensor are seen where they are") {
    auto values = flat();
    xt::xtensor<float, 2> tensor = xt::adapt(values, std::vector<std::size_t>{3, 4});
    xt::xarray<float> array = tensor;
    check_elements(tensor);
    check_elements(array);
    const auto adapted = xt::adapt(values, std::vector<std::size_t>{3, 4});
    check_elements(adapted);
    CHECK(view_of(tensor).data == tensor.data());
    CHECK(view_of(array).data == array.data());
    CHECK(const_view_of(adapted).data == values.data());
    CHECK(view_of(tensor).rows_contiguous());
}

TEST_CASE("strided views and column-major containers are seen where they are") {
    xt::xtensor<float, 2> wide = xt::zeros<float>({7, 9});
    for (std::size_t r = 0; r < 3; ++r)
        for (std::size_t c = 0; c < 4; ++c) wide(1 + 2 * r, 2 + c) = element(r, c);
    auto rows = xt::view(wide, xt::range(1, 7, 2), xt::range(2, 6));
    check_elements(rows);
    CHECK(view_of(rows).data == &wide(1, 2));
    CHECK(view_of(rows).rows_contiguous());

    xt::xtensor<float, 2> spread = xt::zeros<float>({3, 8});
    for (std::size_t r = 0; r < 3; ++r)
        for (std::size_t c = 0; c < 4; ++c) spread(r, 2 * c) = element(r, c);
    auto columns = xt::view(spread, xt::all(), xt::range(0, 8, 2));
    check_elements(columns);
    CHECK_FALSE(view_of(columns).rows_contiguous());

    xt::xtensor<float, 2, xt::layout_type::column_major> transposed = xt::zeros<float>({3, 4});
    for (std::size_t r = 0; r < 3; ++r)
        for (std::size_t c = 0; c < 4; ++c) transposed(r, c) = element(r, c);
    check_elements(transposed);
}

TEST_CASE("a pointer with a shape, and one row or column, are matrices") {
    auto values = flat();
    check_elements(view_of(values.data(), 3, 4));
    xt::xtensor<float, 2> row = xt::ones<float>({1, 5}), column = xt::ones<float>({5, 1});
    CHECK(view_of(row)(0, 4) == 1);
    CHECK(view_of(row).rows_contiguous());
    CHECK(view_of(column)(4, 0) == 1);
    CHECK(view_of(column).row_stride == 1);
    const auto middle = view_of(values.data(), 3, 4).rows_from(1, 2);
    CHECK(middle.rows == 2);
    CHECK(middle(0, 0) == element(1, 0));
}

TEST_CASE("a tensor with another number of axes is refused") {
    xt::xarray<float> cube = xt::zeros<float>({2, 3, 4});
    CHECK_THROWS_AS(view_of(cube), shape_error);
    CHECK_THROWS_WITH(view_of(cube), "view_of: number of axes is 3, expected 2");
    using line = xt::xtensor<float, 1>;
    STATIC_REQUIRE_FALSE(matrix_like<line>);
    STATIC_REQUIRE_FALSE(matrix_like<decltype(xt::view(std::declval<line&>(), xt::range(0, 2)))>);
    STATIC_REQUIRE(matrix_like<decltype(xt::view(std::declval<line&>(), xt::newaxis(), xt::all()))>);
    STATIC_REQUIRE_FALSE(matrix_like<xt::xtensor<float, 3>>);
}

TEST_CASE("lazy expressions are not matrices, their values are") {
    using tensor = xt::xtensor<float, 2>;
    using lazy = decltype(std::declval<tensor&>() + std::declval<tensor&>());
    STATIC_REQUIRE_FALSE(matrix_like<lazy>);
    STATIC_REQUIRE_FALSE(matrix_like<std::vector<float>>);
    STATIC_REQUIRE_FALSE(matrix_like<int>);
    STATIC_REQUIRE(matrix_like<tensor>);
    STATIC_REQUIRE(matrix_like<const tensor>);
    STATIC_REQUIRE(matrix_like<matrix_view<const double>>);
}

}  // namespace

}  // namespace view_test
