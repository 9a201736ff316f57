// The half of llama_cpp_check.py that is this project's engine.
//     llama_cpp_check ids FOLDER < texts      the ids of each text; a text is a line of hexadecimal digits
//     llama_cpp_check dequantize IN OUT       a GGUF file with the weights of another as floats
//     llama_cpp_check greedy FOLDER STEPS LOGITS < prompts
//         continues each prompt, a line of ids, always with the most likely token; prints the new ids, and writes the
//         logits that each was chosen by to a file, float32 [prompt, step, token]
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <fstream>
#include <iostream>
#include <span>
#include <sstream>
#include <string>
#include <vector>

#include <gptq/gptq.hpp>

#include "model.hpp"
#include "tokenizer.hpp"

namespace {

using namespace llama;

std::string text_of(const std::string& digits) {
    std::string text;
    for (std::size_t i = 0; i + 1 < digits.size(); i += 2)
        text += static_cast<char>(std::stoi(digits.substr(i, 2), nullptr, 16));
    return text;
}

void print(const std::vector<std::uint32_t>& ids) {
    for (const std::uint32_t id : ids) std::cout << id << ' ';
    std::cout << '\n';
}

void print_ids(const char* folder) {
    const auto words = tokenizer::open(folder);
    for (std::string line; std::getline(std::cin, line);) print(words.encode(text_of(line)));
}

std::vector<std::uint32_t> continued(const model& m, std::vector<std::uint32_t> next, std::size_t steps,
                                     gptq::thread_pool& pool, std::ostream& all_logits) {
    std::vector<std::uint32_t> made;
    sequence_state state;
    while (made.size() < steps) {
        const std::vector<batch_part> part = {{&state, next.size()}};
        const matrix hidden = forward(m, next, part, pool);
        matrix last = make_matrix(1, m.shape.hidden_size);
        std::copy_n(&hidden(next.size() - 1, 0), m.shape.hidden_size, last.data());
        const matrix row = logits(m, last, pool);
        all_logits.write(reinterpret_cast<const char*>(row.data()),
                         static_cast<std::streamsize>(row.size() * sizeof(float)));
        next = {static_cast<std::uint32_t>(std::max_element(row.begin(), row.end()) - row.begin())};
        made.push_back(next.front());
    }
    return made;
}

void print_continuations(const char* folder, std::size_t steps, const char* logits_file) {
    gptq::thread_pool pool(1);
    const model m = model::load(model_source::open(folder));
    std::ofstream all_logits(logits_file, std::ios::binary);
    for (std::string line; std::getline(std::cin, line);) {
        std::istringstream words(line);
        std::vector<std::uint32_t> prompt;
        for (std::uint32_t id = 0; words >> id;) prompt.push_back(id);
        print(continued(m, prompt, steps, pool, all_logits));
    }
}

void write_dequantized(const char* from, const char* to) {
    const auto file = gptq::io::gguf::open(from);
    std::vector<gptq::io::gguf_declaration> declarations;
    for (const auto& tensor : file.tensors()) declarations.push_back({tensor.name, gptq::ggml_type::f32, tensor.shape});
    gptq::io::gguf_writer writer(to, file.metadata(), declarations);
    for (const auto& tensor : file.tensors()) {
        const std::vector<float> weights = gptq::io::to_floats(tensor);
        writer.write(tensor.name, std::as_bytes(std::span(weights)));
    }
    writer.finish();
}

}  // namespace

int main(int argc, char** argv) {
    const std::vector<std::string> arguments(argv + 1, argv + argc);
    const gptq::blas::single_threaded guard;
    try {
        if (arguments.size() == 2 && arguments[0] == "ids")
            print_ids(argv[2]);
        else if (arguments.size() == 3 && arguments[0] == "dequantize")
            write_dequantized(argv[2], argv[3]);
        else if (arguments.size() == 4 && arguments[0] == "greedy")
            print_continuations(argv[2], std::stoul(arguments[2]), argv[4]);
        else
            throw gptq::option_error(
                "usage: llama_cpp_check ids FOLDER | dequantize IN OUT | greedy FOLDER STEPS LOGITS");
        return 0;
    } catch (const std::exception& e) {
        std::fprintf(stderr, "llama_cpp_check: %s\n", e.what());
        return 1;
    }
}
