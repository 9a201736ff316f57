#include <gptq/io/partial_file.hpp>

#include <string>
#include <utility>

#include "io/raw_file.hpp"
#include "support/catch.hpp"
#include "support/temp_folder.hpp"

namespace partial_file_test {

using namespace gptq::io;

namespace {

std::size_t files_in(const std::filesystem::path& folder) {
    std::size_t count = 0;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) count += entry.exists();
    return count;
}

}  // namespace

TEST_CASE("a file has its name only after commit", "[io]") {
    const temp_folder folder;
    {
        partial_file file(folder / "a");
        file.resize(8);
        file.write_at(4, as_bytes("5678"));
        file.write_at(0, as_bytes("1234"));
        CHECK_FALSE(std::filesystem::exists(folder / "a"));
        file.commit();
        CHECK(read_bytes(folder / "a") == "12345678");
    }
    CHECK(read_bytes(folder / "a") == "12345678");
    CHECK(files_in(folder.path()) == 1);
}

TEST_CASE("without commit the old file stays, and nothing else", "[io]") {
    const temp_folder folder;
    folder.write("a", "old");
    partial_file(folder / "a").write_at(0, as_bytes("new"));
    CHECK(read_bytes(folder / "a") == "old");
    CHECK(files_in(folder.path()) == 1);
}

TEST_CASE("the leftover of a killed program is written over", "[io]") {
    const temp_folder folder;
    folder.write(".a.partial", "much longer than what comes");
    partial_file file(folder / "a");
    file.write_at(0, as_bytes("new"));
    file.commit();
    CHECK(read_bytes(folder / "a") == "new");
    CHECK(files_in(folder.path()) == 1);
}

TEST_CASE("a file that moves on is finished where it has moved to", "[io]") {
    const temp_folder folder;
    partial_file first(folder / "a");
    {
        partial_file second(std::move(first));
        second.write_at(0, as_bytes("x"));
        second.commit();
    }
    CHECK(read_bytes(folder / "a") == "x");
}

TEST_CASE("a file is written by one writer at a time", "[io]") {
    const temp_folder folder;
    partial_file first(folder / "a");
    first.write_at(0, as_bytes("first"));
    CHECK(contains(message_of<gptq::file_error>([&] { partial_file second(folder / "a"); }),
                   ".a.partial: is being written by another process"));
    first.commit();
    CHECK(read_bytes(folder / "a") == "first");
}

TEST_CASE("a file that its writer renamed after we opened it is not ours to write", "[io]") {
    const temp_folder folder;
    const auto path = folder.write(".a.partial", "finished");
    const impl::file_descriptor opened(path, O_WRONLY);
    CHECK_NOTHROW(impl::lock(opened, path));
    std::filesystem::rename(path, folder / "a");
    CHECK_THROWS_AS(impl::lock(opened, path), gptq::file_error);
    folder.write(".a.partial", "another");
    CHECK_THROWS_AS(impl::lock(opened, path), gptq::file_error);
}

TEST_CASE("a file in an absent folder is refused at once", "[io]") {
    const temp_folder folder;
    CHECK(message_of<gptq::file_error>([&] { partial_file file(folder / "no" / "a"); }) ==
          (folder / "no" / ".a.partial").string() + ": cannot open: No such file or directory");
}

TEST_CASE("small texts replace files in one step", "[io]") {
    const temp_folder folder;
    write_file_atomically(folder / "a", "one");
    write_file_atomically(folder / "a", "");
    CHECK(read_bytes(folder / "a").empty());
    write_file_atomically(folder / "a", "three");
    CHECK(read_bytes(folder / "a") == "three");
    CHECK(files_in(folder.path()) == 1);
}

}  // namespace partial_file_test
