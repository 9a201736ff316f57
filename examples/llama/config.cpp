#include "config.hpp"

#include <cmath>
#include <cstdint>
#include <numbers>
#include <string>

#include <gptq/core/error.hpp>
#include <gptq/io/mapped_file.hpp>
#include <nlohmann/json.hpp>

namespace llama {
namespace {

using gptq::format_error;
using gptq::detail::fail;
using nlohmann::json;

/// The fields of a config.json, with errors that name file and field.
class fields {
public:
    fields(json object, std::string where) : object_(std::move(object)), where_(std::move(where)) {
        if (!object_.is_object()) fail<format_error>(where_, ": not a JSON object");
    }

    [[nodiscard]] const std::string& where() const { return where_; }
    [[nodiscard]] bool has(const char* key) const { return object_.contains(key) && !object_.at(key).is_null(); }

    /// A size between 1 and 2^31.
    [[nodiscard]] std::size_t size(const char* key) const {
        if (!has(key)) fail<format_error>(where_, ": has no '", key, "'");
        const json& value = object_.at(key);
        if (!value.is_number_integer() || value.get<double>() < 1 || value.get<double>() > 2147483648.0)
            fail<format_error>(where_, ": '", key, "' is ", value.dump(), ", expected a positive whole number");
        return value.get<std::size_t>();
    }
    [[nodiscard]] std::size_t size(const char* key, std::size_t otherwise) const {
        return has(key) ? size(key) : otherwise;
    }
    /// A positive number.
    [[nodiscard]] double number(const char* key, double otherwise) const {
        if (!has(key)) return otherwise;
        const json& value = object_.at(key);
        if (!value.is_number() || !(value.get<double>() > 0))
            fail<format_error>(where_, ": '", key, "' is ", value.dump(), ", expected a positive number");
        return value.get<double>();
    }
    [[nodiscard]] bool flag(const char* key, bool otherwise) const {
        if (!has(key)) return otherwise;
        if (!object_.at(key).is_boolean()) fail<format_error>(where_, ": '", key, "' is not true or false");
        return object_.at(key).get<bool>();
    }
    [[nodiscard]] std::string word(const char* key, const char* otherwise) const {
        if (!has(key)) return otherwise;
        if (!object_.at(key).is_string()) fail<format_error>(where_, ": '", key, "' is not a string");
        return object_.at(key).get<std::string>();
    }
    /// Token ids: none, one, or a list of them.
    [[nodiscard]] std::vector<std::uint32_t> tokens(const char* key, std::size_t vocab_size) const {
        std::vector<std::uint32_t> ids;
        if (!has(key)) return ids;
        const json& field = object_.at(key);
        for (const json& value : field.is_array() ? field : json::array({field})) {
            if (!value.is_number_unsigned() || value.get<std::uint64_t>() >= vocab_size)
                fail<format_error>(where_, ": '", key, "' holds ", value.dump(), ", expected token ids below ",
                                   vocab_size);
            ids.push_back(value.get<std::uint32_t>());
        }
        return ids;
    }
    [[nodiscard]] fields object(const char* key) const { return {object_.at(key), where_ + ", " + key}; }

private:
    json object_;
    std::string where_;
};

fields read_fields(const std::filesystem::path& path) {
    const gptq::io::mapped_file file(path);
    json value = json::parse(file.text(), nullptr, /*allow_exceptions=*/false);
    if (value.is_discarded()) fail<format_error>(path.string(), ": is not JSON");
    return {std::move(value), path.string()};
}

/// Llama 3's scaling: low frequencies are slowed by `factor`, high ones kept, those between blended.
double llama3_frequency(double frequency, const fields& scaling) {
    const double factor = scaling.number("factor", 8), low = scaling.number("low_freq_factor", 1),
                 high = scaling.number("high_freq_factor", 4),
                 context = scaling.number("original_max_position_embeddings", 8192);
    const double turns = context * frequency / (2 * std::numbers::pi);  // over the original context
    if (turns > high) return frequency;
    if (turns < low) return frequency / factor;
    const double blend = (turns - low) / (high - low);
    return (1 - blend) * frequency / factor + blend * frequency;
}

/// Sets what a configuration says of the rotary embedding.
void read_rope(const fields& file, config& c) {
    // Older files have rope_theta and rope_scaling, newer ones put both into rope_parameters; some mix the two.
    const fields scaling = file.has("rope_scaling")      ? file.object("rope_scaling")
                           : file.has("rope_parameters") ? file.object("rope_parameters")
                                                         : fields(json::object(), file.where());
    c.rope_theta = scaling.number("rope_theta", file.number("rope_theta", 10000));
    const std::string kind = scaling.word("rope_type", scaling.word("type", "default").c_str());
    if (kind != "default" && kind != "linear" && kind != "llama3")
        fail<format_error>(scaling.where(), ": rope type '", kind, "', expected default, linear or llama3");
    if (kind == "linear") c.rope_linear_factor = scaling.number("factor", 1);
    for (std::size_t i = 0; i < c.head_dim; i += 2) {
        const double frequency = std::pow(c.rope_theta, -static_cast<double>(i) / static_cast<double>(c.head_dim));
        c.inverse_frequencies.push_back(static_cast<float>(kind == "llama3" ? llama3_frequency(frequency, scaling)
                                                                            : frequency / c.rope_linear_factor));
    }
}

}  // namespace

config read_config(const std::filesystem::path& model_folder) {
    const fields file = read_fields(model_folder / "config.json");
    if (const auto type = file.word("model_type", "llama"); type != "llama")
        fail<format_error>(file.where(), ": model_type is '", type, "', expected 'llama'");
    if (const auto act = file.word("hidden_act", "silu"); act != "silu")
        fail<format_error>(file.where(), ": hidden_act is '", act, "', expected 'silu'");
    config c;
    c.hidden_size = file.size("hidden_size");
    c.intermediate_size = file.size("intermediate_size");
    c.layers = file.size("num_hidden_layers");
    c.heads = file.size("num_attention_heads");
    c.kv_heads = file.size("num_key_value_heads", c.heads);
    c.vocab_size = file.size("vocab_size");
    c.max_positions = file.size("max_position_embeddings", 2048);
    c.rms_norm_eps = static_cast<float>(file.number("rms_norm_eps", 1e-6));
    c.tied_embeddings = file.flag("tie_word_embeddings", false);
    if (!file.has("head_dim") && c.hidden_size % c.heads != 0)
        fail<format_error>(file.where(), ": hidden_size ", c.hidden_size, " is no multiple of num_attention_heads ",
                           c.heads, ", and there is no head_dim");
    c.head_dim = file.size("head_dim", c.hidden_size / c.heads);
    if (c.heads % c.kv_heads != 0)
        fail<format_error>(file.where(), ": num_attention_heads ", c.heads, " is no multiple of num_key_value_heads ",
                           c.kv_heads);
    if (c.head_dim % 2 != 0 || c.head_dim > 65536)
        fail<format_error>(file.where(), ": head_dim is ", c.head_dim, ", expected an even number up to 65536");
    if (const auto bos = file.tokens("bos_token_id", c.vocab_size); !bos.empty()) c.bos = bos.front();
    c.ends = file.tokens("eos_token_id", c.vocab_size);
    read_rope(file, c);
    return c;
}

}  // namespace llama
