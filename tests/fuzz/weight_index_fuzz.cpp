// model.safetensors.index.json, beside two shards: "1" with the tensors a and b, "2" with c.
#include <gptq/io/model_files.hpp>

#include <string>

#include "fuzz/input_folder.hpp"
#include "fuzz/target.hpp"
#include "io/raw_file.hpp"

namespace {

const temp_folder& folder_of_shards() {
    (void)fuzz::input_folder().write("1", raw_safetensors(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                                                          R"("b":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})",
                                                          "xy"));
    (void)fuzz::input_folder().write("2",
                                     raw_safetensors(R"({"c":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", "z"));
    return fuzz::input_folder();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const temp_folder& folder = folder_of_shards();
    (void)folder.write("model.safetensors.index.json", fuzz::text_of(data, size));
    try {
        (void)fuzz::accepts([&] {
            const auto model = gptq::io::model_files::open(folder.path());
            for (const auto& tensor : model.tensors()) {
                fuzz::require(tensor.name == "a" || tensor.name == "b" || tensor.name == "c");
                fuzz::require(tensor.file->path().parent_path() == folder.path());
            }
        });
    } catch (const gptq::file_error&) {  // the name of a shard that no file system has
    }
    return 0;
}
