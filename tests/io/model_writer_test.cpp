// Writing a model: which tensor goes to which file, there and back, and what a run that ends early leaves.
#include <gptq/io/model_writer.hpp>

#include <algorithm>
#include <string>
#include <vector>

#include <sys/resource.h>

#include <nlohmann/json.hpp>

#include <gptq/io/model_files.hpp>

#include "io/raw_file.hpp"
#include "support/catch.hpp"
#include "support/killed.hpp"
#include "support/temp_folder.hpp"

namespace model_writer_test {

using namespace gptq::io;
using declarations = std::vector<tensor_declaration>;
using strings = std::vector<std::string>;

namespace {

constexpr std::size_t kilobyte = 1000;

std::string some_bytes(const tensor_declaration& tensor) {
    std::string bytes(byte_count(tensor.type, tensor.shape).value(), '\0');
    const auto first = static_cast<unsigned char>(tensor.name.back());
    for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(31 * i + first);
    return bytes;
}

/// A tensor "a", "b", … of so many kilobytes for each size.
declarations tensors_of(const std::vector<std::size_t>& sizes) {
    declarations tensors;
    for (const std::size_t size : sizes)
        tensors.push_back({std::string(1, static_cast<char>('a' + tensors.size())), dtype::U8, {size * kilobyte}});
    return tensors;
}

void write(const std::filesystem::path& folder, const declarations& tensors, std::size_t largest_shard = 0) {
    model_writer writer(folder, tensors, largest_shard);
    for (const auto& tensor : tensors) writer.write(tensor.name, as_bytes(some_bytes(tensor)));
    writer.finish();
}

strings names_in(const std::filesystem::path& folder) {
    strings names;
    for (const auto& entry : std::filesystem::directory_iterator(folder))
        names.push_back(entry.path().filename().string());
    std::ranges::sort(names);
    return names;
}

/// The tensors of each file, in the order of the files: "ab c".
std::string files_of(const std::vector<std::size_t>& sizes, std::size_t largest_shard) {
    const temp_folder folder;
    write(folder.path(), tensors_of(sizes), largest_shard);
    std::string files;
    for (const std::string& name : names_in(folder.path())) {
        if (!name.ends_with(".safetensors")) continue;
        if (!files.empty()) files += ' ';
        const auto file = safetensors::open(folder / name);
        for (const tensor_ref& tensor : file.tensors()) files += tensor.name;
    }
    return files;
}

/// Whether the model in a folder is these tensors.
bool is_written(const std::filesystem::path& folder, const declarations& tensors) {
    const auto model = model_files::open(folder);
    return model.tensors().size() == tensors.size() && std::ranges::all_of(tensors, [&](const auto& expected) {
               const tensor_ref& tensor = model.at(expected.name);
               return tensor.type == expected.type && tensor.shape == expected.shape &&
                      bytes_of(tensor.bytes) == some_bytes(expected);
           });
}

/// Lets this program have no more than so many files open, while it lives.
class few_open_files {
public:
    explicit few_open_files(rlim_t count) {
        REQUIRE(::getrlimit(RLIMIT_NOFILE, &usual_) == 0);
        const rlimit few{count, usual_.rlim_max};
        REQUIRE(::setrlimit(RLIMIT_NOFILE, &few) == 0);
    }
    few_open_files(const few_open_files&) = delete;
    few_open_files& operator=(const few_open_files&) = delete;
    ~few_open_files() { ::setrlimit(RLIMIT_NOFILE, &usual_); }

private:
    rlimit usual_{};
};

}  // namespace

TEST_CASE("a model is one file where no size is named, or all of it fits", "[io]") {
    const std::size_t largest_shard = GENERATE(std::size_t{0}, 10 * kilobyte);
    const declarations tensors = tensors_of({1, 5, 2});
    const temp_folder folder;
    write(folder.path(), tensors, largest_shard);
    CHECK(names_in(folder.path()) == strings{"model.safetensors"});
    CHECK(is_written(folder.path(), tensors));
}

TEST_CASE("a larger model is shards with an index that Hugging Face's readers know", "[io]") {
    const declarations tensors = tensors_of({2, 2, 3});
    const temp_folder folder;
    write(folder.path(), tensors, 5 * kilobyte);
    CHECK(names_in(folder.path()) == strings{"model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors",
                                             "model.safetensors.index.json"});
    CHECK(is_written(folder.path(), tensors));
    CHECK(nlohmann::json::parse(read_bytes(folder / "model.safetensors.index.json")) ==
          nlohmann::json::parse(R"({"metadata":{"total_size":7000},"weight_map":{
              "a":"model-00001-of-00002.safetensors","b":"model-00001-of-00002.safetensors",
              "c":"model-00002-of-00002.safetensors"}})"));
}

TEST_CASE("tensors go to files in the order of declaration, a too large one to a file of its own", "[io]") {
    CHECK(files_of({1, 1, 1, 1, 1}, 3 * kilobyte) == "ab cd e");  // a header takes some bytes of each
    CHECK(files_of({1, 9, 1, 1}, 3 * kilobyte) == "a b cd");
    CHECK(files_of({9, 1, 1}, 3 * kilobyte) == "a bc");
    CHECK(files_of({1, 1, 9}, 3 * kilobyte) == "ab c");
    CHECK(files_of({9, 9}, 3 * kilobyte) == "a b");
    CHECK(files_of({1, 2, 1}, 1) == "a b c");
    CHECK(files_of({9, 0, 1}, 3 * kilobyte) == "a bc");
}

TEST_CASE("no file of several tensors is larger than the size that is named", "[io]") {
    declarations tensors;
    for (std::size_t i = 0; i < 200; ++i)
        tensors.push_back(
            {"model.layers." + std::to_string(i) + "." + std::string(i % 50, '"'), dtype::F16, {i % 7, 9}});
    const std::size_t largest_shard =
        GENERATE(std::size_t{200}, std::size_t{1000}, std::size_t{1017}, std::size_t{9999});
    const temp_folder folder;
    {
        model_writer writer(folder.path(), tensors, largest_shard, {{"made by", "a \"test\""}});
        for (const auto& tensor : tensors) writer.write(tensor.name, as_bytes(some_bytes(tensor)));
        writer.finish();
    }
    CHECK(is_written(folder.path(), tensors));
    std::size_t files = 0, several = 0, largest = 0;
    for (const std::string& name : names_in(folder.path())) {
        if (!name.ends_with(".safetensors")) continue;
        ++files;
        const auto file = safetensors::open(folder / name);
        CHECK(file.metadata() == std::map<std::string, std::string>{{"format", "pt"}, {"made by", "a \"test\""}});
        if (file.tensors().size() == 1) continue;
        ++several;
        largest = std::max(largest, read_bytes(folder / name).size());
    }
    CHECK(files > 1);
    CHECK(largest <= largest_shard);
    if (several > 1) CHECK(largest + 362 >= largest_shard);  // the next tensor would not have fitted
}

TEST_CASE("tensors of a model can be written in any order, in pieces, and as zeros", "[io]") {
    const declarations tensors = tensors_of({2, 2, 2});
    const temp_folder folder;
    model_writer writer(folder.path(), tensors, kilobyte);
    const std::string c = some_bytes(tensors[2]), a = some_bytes(tensors[0]);
    writer.append("c", as_bytes(c).first(700));
    writer.write("a", as_bytes(a));
    writer.append("c", as_bytes(c).subspan(700));
    writer.append_zeros("b", 2 * kilobyte);
    CHECK(names_in(folder.path()) == strings{".model-files.partial"});
    writer.finish();
    const auto model = model_files::open(folder.path());
    CHECK(bytes_of(model.at("a").bytes) == a);
    CHECK(bytes_of(model.at("b").bytes) == std::string(2 * kilobyte, '\0'));
    CHECK(bytes_of(model.at("c").bytes) == c);
}

TEST_CASE("a model that is written in order can have more files than a program may open at once", "[io]") {
    declarations tensors;
    for (std::size_t i = 0; i < 200; ++i) tensors.push_back({std::to_string(i), dtype::U8, {2}});
    const temp_folder folder;
    const few_open_files limit(50);
    model_writer writer(folder.path(), tensors, 1);
    for (const auto& tensor : tensors) {
        const std::string bytes = some_bytes(tensor);
        writer.append(tensor.name, as_bytes(bytes).first(1));
        writer.append(tensor.name, as_bytes(bytes).subspan(1));
    }
    writer.finish();
    CHECK(names_in(folder.path()).size() == 201);
    CHECK(is_written(folder.path(), tensors));
}

TEST_CASE("a model without tensors is a file without tensors", "[io]") {
    const temp_folder folder;
    const std::size_t largest_shard = GENERATE(std::size_t{0}, std::size_t{1});
    write(folder.path(), {}, largest_shard);
    CHECK(model_files::open(folder.path()).tensors().empty());
}

TEST_CASE("each declared tensor of a model is written once, whole, and the model finished once", "[io]") {
    const declarations tensors = tensors_of({1, 1, 1});
    const temp_folder folder;
    model_writer writer(folder.path(), tensors, kilobyte);
    const std::string bytes(kilobyte, 'x');
    CHECK(message_of<gptq::option_error>([&] { writer.write("d", as_bytes(bytes)); }) ==
          folder.path().string() + ": tensor 'd' was not declared, or is written for the second time");
    CHECK(contains(message_of<gptq::shape_error>([&] { writer.write("a", as_bytes(bytes).first(3)); }),
                   "tensor 'a': number of bytes is 3, expected 1000"));
    writer.write("a", as_bytes(bytes));
    CHECK(contains(message_of<gptq::option_error>([&] { writer.write("a", as_bytes(bytes)); }), "for the second time"));
    writer.append("b", as_bytes(bytes).first(1));
    CHECK(contains(message_of<gptq::shape_error>([&] { writer.append_zeros("b", kilobyte); }),
                   "tensor 'b': 1000 more bytes, of which it has 999 left"));
    CHECK(contains(message_of<gptq::option_error>([&] { writer.finish(); }), "were not written, such as 'b'"));
    writer.append_zeros("b", 999);
    CHECK(contains(message_of<gptq::option_error>([&] { writer.finish(); }), "were not written, such as 'c'"));
    CHECK(names_in(folder.path()) == strings{".model-files.partial"});
    writer.write("c", as_bytes(bytes));
    writer.finish();
    CHECK(model_files::open(folder.path()).tensors().size() == 3);
    CHECK(message_of<gptq::option_error>([&] { writer.finish(); }) ==
          folder.path().string() + ": its model is finished already");
    CHECK_THROWS_AS(writer.append("c", as_bytes(bytes)), gptq::option_error);
}

TEST_CASE("a model that cannot be written is refused before anything is made", "[io]") {
    const temp_folder parent;
    const auto folder = parent / "model";
    const std::size_t largest_shard = GENERATE(std::size_t{0}, std::size_t{1});
    const auto refused = [&](const declarations& tensors) {
        return message_of<gptq::option_error>([&] { model_writer(folder, tensors, largest_shard); });
    };
    CHECK(contains(refused({{"a", dtype::U8, {1}}, {"b", dtype::U8, {1}}, {"a", dtype::U8, {2}}}),
                   "model: tensor 'a' is declared twice"));
    CHECK(contains(refused({{"a", dtype::F4, {3}}}), "tensor 'a', F4 [3], is more than memory can address, or not a"));
    declarations many;
    for (char c = 'a'; c < 'i'; ++c) many.push_back({std::string(1, c), dtype::U8, {~std::size_t{0} / 32 + 1}});
    CHECK(contains(refused(many), "the tensors together are too large for a file"));
    CHECK(std::filesystem::is_empty(parent.path()));
}

TEST_CASE("a folder that has a model is left as it is", "[io]") {
    const std::string name =
        GENERATE("model.safetensors", "model-00001-of-00002.safetensors", "model.safetensors.index.json");
    const temp_folder folder;
    folder.write("config.json", "{}");
    CHECK_NOTHROW(model_writer(folder.path(), tensors_of({1})));
    folder.write(name, "precious");
    CHECK(message_of<gptq::file_error>([&] { model_writer(folder.path(), tensors_of({1})); }) ==
          (folder / name).string() + ": is of a model that is there already; remove it, or choose another folder");
    CHECK(names_in(folder.path()) ==
          (name < "config.json" ? strings{name, "config.json"} : strings{"config.json", name}));
    CHECK(read_bytes(folder / name) == "precious");
}

TEST_CASE("a model is written by one writer at a time", "[io]") {
    const temp_folder folder;
    model_writer first(folder.path(), tensors_of({1}));
    CHECK(contains(message_of<gptq::file_error>([&] { model_writer(folder.path(), tensors_of({1})); }),
                   "is being written by another process"));
    first.append_zeros("a", kilobyte);
    first.finish();
    CHECK(names_in(folder.path()) == strings{"model.safetensors"});
}

TEST_CASE("a model that is not finished leaves nothing", "[io]") {
    const temp_folder folder;
    {
        model_writer writer(folder.path(), tensors_of({1, 1}), 1);
        writer.append_zeros("a", kilobyte);
        writer.append_zeros("b", 1);
    }
    CHECK(std::filesystem::is_empty(folder.path()));
}

TEST_CASE("a run that is killed leaves nothing that a reader takes for a model, and the next run starts anew", "[io]") {
    const declarations tensors = tensors_of({1, 1, 1});
    const std::size_t largest_shard = GENERATE(std::size_t{0}, std::size_t{1});
    const temp_folder folder;
    kill_in_the_middle_of([&](auto die) {
        model_writer writer(folder.path(), tensors, largest_shard);
        writer.append_zeros("a", kilobyte);
        writer.append_zeros("b", kilobyte);
        writer.append_zeros("c", 1);
        die();
    });
    CHECK(names_in(folder.path()) == strings{".model-files.partial"});
    CHECK_THROWS_AS(model_files::open(folder.path()), gptq::format_error);
    write(folder.path(), tensors, largest_shard);
    CHECK(is_written(folder.path(), tensors));
    CHECK(names_in(folder.path()).size() == (largest_shard == 0 ? 1 : 4));
}

}  // namespace model_writer_test
