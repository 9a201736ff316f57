#include <gptq/io/model_files.hpp>

#include <string>

#include "io/raw_file.hpp"
#include "support/catch.hpp"
#include "support/temp_folder.hpp"

namespace model_files_test {

using gptq::format_error;
using gptq::io::model_files;

namespace {

constexpr const char* index_name = "model.safetensors.index.json";

/// A file with one tensor of one byte.
std::string shard(const std::string& tensor, char value) {
    return raw_safetensors("{\"" + tensor + R"(":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})",
                           std::string(1, value));
}

std::string refusal(const temp_folder& folder) {
    return message_of<format_error>([&] { (void)model_files::open(folder.path()); });
}

/// What is said about an index, beside a good shard "1" with tensor "a".
std::string refusal_of_index(const std::string& index) {
    const temp_folder folder;
    folder.write("1", shard("a", 'x'));
    folder.write(index_name, index);
    const std::string message = refusal(folder);
    CHECK(contains(message, index_name));
    return message;
}

}  // namespace

TEST_CASE("a model in one file is read from model.safetensors, whatever lies beside it", "[io]") {
    const temp_folder folder;
    folder.write("model.safetensors", shard("a", 'x'));
    folder.write("other.safetensors", "no model");
    folder.write(index_name, "no index");
    const auto model = model_files::open(folder.path());
    CHECK(model.path() == folder.path());
    CHECK(model.tensors().size() == 1);
    CHECK(bytes_of(model.at("a").bytes) == "x");
    CHECK_FALSE(model.contains("b"));
    CHECK(message_of<format_error>([&] { (void)model.at("b"); }) == folder.path().string() + ": has no tensor 'b'");
}

TEST_CASE("a model in shards is read through its index", "[io]") {
    const temp_folder folder;
    folder.write("model-00001-of-00002.safetensors", shard("b", 'y'));
    folder.write("model-00002-of-00002.safetensors", shard("a", 'x'));
    folder.write("not-listed.safetensors", "no model");
    folder.write(index_name, R"({"metadata":{"total_size":2},"weight_map":{"a":"model-00002-of-00002.safetensors",)"
                             R"("b":"model-00001-of-00002.safetensors"}})");
    const auto model = model_files::open(folder.path());
    REQUIRE(model.tensors().size() == 2);
    CHECK(model.tensors()[0].name == "a");
    CHECK(bytes_of(model.at("a").bytes) == "x");
    CHECK(bytes_of(model.at("b").bytes) == "y");
}

TEST_CASE("links are followed, as download caches need", "[io]") {
    const temp_folder folder;
    folder.write("blobs/123", shard("a", 'x'));
    std::filesystem::create_directory(folder / "model");
    std::filesystem::create_symlink("../blobs/123", folder / "model" / "model.safetensors");
    CHECK(model_files::open(folder / "model").contains("a"));
}

TEST_CASE("the only safetensors file of a folder is the model, of several none is", "[io]") {
    const temp_folder folder;
    CHECK(contains(refusal(folder), "and 0 other safetensors files"));
    folder.write("gptq_model-4bit-128g.safetensors", shard("a", 'x'));
    CHECK(model_files::open(folder.path()).contains("a"));
    folder.write("adapter.safetensors", shard("b", 'y'));
    CHECK(contains(refusal(folder), "and 2 other safetensors files"));
}

TEST_CASE("a shard without an index is no model, one that is all of its model is", "[io]") {
    const temp_folder folder;
    folder.write("model-00001-of-00002.safetensors", shard("a", 'x'));
    CHECK(contains(refusal(folder), "and 0 other safetensors files"));
    folder.write("model-00001-of-00001.safetensors", shard("b", 'y'));
    CHECK(model_files::open(folder.path()).contains("b"));
}

TEST_CASE("an absent folder is refused by the system's reason", "[io]") {
    const temp_folder folder;
    CHECK(contains(message_of<gptq::file_error>([&] { (void)model_files::open(folder / "no"); }), "No such file"));
}

TEST_CASE("an index that leads out of its folder is refused", "[io]") {
    for (const char* name : {"../../etc/passwd", "/etc/passwd", "..", ".", "", "sub/1", "..\\\\1", "1\\u0000"})
        CHECK(contains(refusal_of_index(R"({"weight_map":{"a":")" + std::string(name) + "\"}}"),
                       "expected the plain name of a file in the same folder"));
}

TEST_CASE("an index that is no index is refused", "[io]") {
    CHECK(contains(refusal_of_index(""), ": not JSON at byte 0"));
    CHECK(contains(refusal_of_index("[]"), ": the index is of type array, expected an object"));
    CHECK(contains(refusal_of_index("{}"), ": has no weight_map"));
    CHECK(contains(refusal_of_index(R"({"weight_map":["a"]})"), ": weight_map is of type array, expected an object"));
    CHECK(contains(refusal_of_index(R"({"weight_map":{"a":1}})"), ": weight_map['a'] is 1, expected a string"));
    CHECK(contains(refusal_of_index(R"({"weight_map":{"a":"1","a":"1"}})"), ": JSON has the key 'a' twice"));
}

TEST_CASE("an index and shards that disagree are refused", "[io]") {
    CHECK(contains(refusal_of_index(R"({"weight_map":{"a":"1","b":"2"}})"), ": names the file '2', which is missing"));
    CHECK(contains(refusal_of_index(R"({"weight_map":{"a":"1","b":"1"}})"), "/1: has no tensor 'b', which "));
    CHECK(contains(refusal_of_index(R"({"weight_map":{"b":"1"}})"), "/1: tensor 'a': is not listed in "));

    const temp_folder folder;  // both shards have the tensor
    folder.write("1", shard("a", 'x'));
    folder.write("2", raw_safetensors(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                                      R"("b":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})",
                                      "xy"));
    folder.write(index_name, R"({"weight_map":{"a":"1","b":"2"}})");
    CHECK(contains(refusal(folder), "/2: tensor 'a': is not listed in "));
}

TEST_CASE("a broken shard is refused by its own name", "[io]") {
    const temp_folder folder;
    folder.write("1", shard("a", 'x').substr(0, 20));
    folder.write(index_name, R"({"weight_map":{"a":"1"}})");
    CHECK(contains(refusal(folder), "/1: header length at byte 0"));
}

}  // namespace model_files_test
