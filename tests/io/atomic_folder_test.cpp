#include <gptq/io/atomic_folder.hpp>

#include <csignal>
#include <fstream>
#include <stdexcept>

#include <sys/wait.h>
#include <unistd.h>

#include "io/raw_file.hpp"
#include "support/catch.hpp"
#include "support/temp_folder.hpp"

namespace atomic_folder_test {

using gptq::io::atomic_folder;

namespace {

void put(const std::filesystem::path& path, const char* text) { std::ofstream(path) << text; }

}  // namespace

TEST_CASE("a folder has its name only after commit", "[io]") {
    const temp_folder parent;
    {
        atomic_folder model(parent / "model");
        put(model.path() / "a", "1");
        std::filesystem::create_directory(model.path() / "sub");
        put(model.path() / "sub" / "b", "2");
        CHECK_FALSE(std::filesystem::exists(parent / "model"));
        model.commit();
    }
    CHECK(read_bytes(parent / "model" / "a") == "1");
    CHECK(read_bytes(parent / "model" / "sub" / "b") == "2");
    CHECK_FALSE(std::filesystem::exists(parent / ".model.partial"));
}

TEST_CASE("a folder whose making fails leaves nothing", "[io]") {
    const temp_folder parent;
    const auto failing = [&parent] {
        const atomic_folder model(parent / "model");
        put(model.path() / "a", "1");
        throw std::runtime_error("half way");
    };
    CHECK_THROWS_AS(failing(), std::runtime_error);
    CHECK(std::filesystem::is_empty(parent.path()));
}

TEST_CASE("a program killed half way leaves nothing at the name, and the next run starts empty", "[io]") {
    const temp_folder parent;
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        const atomic_folder model(parent / "model");
        put(model.path() / "half", "1");
        ::kill(::getpid(), SIGKILL);
    }
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    REQUIRE(WIFSIGNALED(status));
    CHECK_FALSE(std::filesystem::exists(parent / "model"));
    CHECK(std::filesystem::exists(parent / ".model.partial" / "half"));

    atomic_folder model(parent / "model");
    CHECK(std::filesystem::is_empty(model.path()));
    put(model.path() / "whole", "2");
    model.commit();
    CHECK(read_bytes(parent / "model" / "whole") == "2");
    CHECK_FALSE(std::filesystem::exists(parent / "model" / "half"));
}

TEST_CASE("what is at the name already is left alone", "[io]") {
    const temp_folder parent;
    parent.write("model/precious", "1");
    const std::string message = message_of<gptq::file_error>([&] { atomic_folder model(parent / "model"); });
    CHECK(contains(message, "model: already exists; remove it, or choose another output folder"));
    CHECK(read_bytes(parent / "model" / "precious") == "1");
    CHECK_FALSE(std::filesystem::exists(parent / ".model.partial"));

    parent.write("file", "2");
    CHECK_THROWS_AS(atomic_folder(parent / "file"), gptq::file_error);
    CHECK(read_bytes(parent / "file") == "2");
}

TEST_CASE("a folder that others fill in the meantime is left alone", "[io]") {
    const temp_folder parent;
    {
        atomic_folder model(parent / "model");
        parent.write("model/precious", "1");
        CHECK_THROWS_AS(model.commit(), gptq::file_error);
    }
    CHECK(read_bytes(parent / "model" / "precious") == "1");
    CHECK_FALSE(std::filesystem::exists(parent / ".model.partial"));
}

TEST_CASE("an empty folder is taken, parents are made, and a trailing separator changes nothing", "[io]") {
    const temp_folder parent;
    std::filesystem::create_directory(parent / "empty");
    atomic_folder(parent / "empty").commit();
    CHECK(std::filesystem::is_empty(parent / "empty"));
    atomic_folder(parent / "new" / "sub" / "model" / "").commit();
    CHECK(std::filesystem::is_directory(parent / "new" / "sub" / "model"));
}

TEST_CASE("a folder is written by one writer at a time", "[io]") {
    const temp_folder parent;
    atomic_folder first(parent / "model");
    put(first.path() / "a", "1");
    CHECK_THROWS_AS(atomic_folder(parent / "model"), gptq::file_error);
    first.commit();
    CHECK(read_bytes(parent / "model" / "a") == "1");
}

}  // namespace atomic_folder_test
