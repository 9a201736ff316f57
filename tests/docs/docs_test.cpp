// The documentation's promises: its blocks of code are parts of files that are compiled and run, its links lead
// somewhere, and what it names exists.
#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <regex>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "docs/markdown.hpp"
#include "support/catch.hpp"
#include "support/temp_folder.hpp"

namespace {

using complaints = std::vector<std::string>;
using folder = std::filesystem::path;

/// What a reader meets: the pages at the root, and those of the folders that they lead to.
std::vector<std::filesystem::path> pages_of(const folder& root) {
    std::vector<std::filesystem::path> pages;
    for (const char* where : {".", "docs", "bench", "examples"})
        if (std::filesystem::exists(root / where))
            for (const auto& entry : std::filesystem::directory_iterator(root / where))
                if (entry.path().extension() == ".md") pages.push_back(entry.path().lexically_normal());
    std::ranges::sort(pages);
    return pages;
}

class reader {
public:
    explicit reader(folder root) : root_(std::move(root)) {}

    /// What is wrong with a page's blocks of code: each is a part of the file that it names. Only sh and plain text
    /// need not name one.
    [[nodiscard]] complaints blocks(const std::filesystem::path& page) const {
        return each(page, &markdown::document::fences, [&](const markdown::fence& block) -> std::string {
            if (block.source.empty() && (block.language.empty() || block.language == "sh")) return {};
            if (block.source.empty()) return "no comment above the block names the file that it is a part of";
            if (!is_run(block.source)) return block.source + " is no file that the tests compile and run";
            if (!markdown::contains(read_bytes(root_ / block.source), block.lines))
                return block.source + " does not have these lines";
            return {};
        });
    }

    [[nodiscard]] complaints links(const std::filesystem::path& page) const {
        return each(page, &markdown::document::links, [&](const markdown::word& link) -> std::string {
            if (link.text.starts_with("http") || link.text.starts_with("mailto:")) return {};
            const auto hash = std::min(link.text.find('#'), link.text.size());
            const std::string place = link.text.substr(0, hash), heading = link.text.substr(hash);
            const auto target = place.empty() ? page : page.parent_path() / place;
            if (!std::filesystem::exists(target)) return link.text + " leads nowhere";
            if (heading.empty() || target.extension() != ".md") return {};
            const auto headings = markdown::parse(read_bytes(target)).headings;
            const bool found = std::ranges::count(headings, heading.substr(1), &markdown::word::text) == 1;
            return found ? "" : link.text + " is not the heading of one section";
        });
    }

    /// Files in `code` of the text, from the root or from include/gptq; and what sh blocks are given.
    [[nodiscard]] complaints names(const std::filesystem::path& page) const {
        auto all = each(page, &markdown::document::code, [&](const markdown::word& code) -> std::string {
            const std::regex file(R"([\w./-]+/[\w.-]+\.(hpp|cpp|py|md|svg|txt|cmake))");
            if (!std::regex_match(code.text, file)) return {};
            for (const auto& from : {root_, root_ / "include" / "gptq", root_ / "include", page.parent_path()})
                if (std::filesystem::exists(from / code.text)) return {};
            return code.text + " does not exist";
        });
        const auto commands = each(page, &markdown::document::fences, [&](const markdown::fence& block) -> std::string {
            return block.language == "sh" ? wrong_in_commands(block.lines) : "";
        });
        all.insert(all.end(), commands.begin(), commands.end());
        return all;
    }

private:
    /// "README.md:12: …" for each part of a page that `judge` has words about.
    template <class Part, class Judge>
    [[nodiscard]] complaints each(const std::filesystem::path& page, std::vector<Part> markdown::document::*parts,
                                  Judge judge) const {
        complaints all;
        const markdown::document document = markdown::parse(read_bytes(page));
        for (const Part& part : document.*parts)
            if (const std::string what = judge(part); !what.empty())
                all.push_back(page.lexically_relative(root_).string() + ":" + std::to_string(part.line) + ": " + what);
        return all;
    }

    /// Programs of one page are run where examples/CMakeLists.txt says so; what else is in these folders is a test's.
    [[nodiscard]] bool is_run(const std::filesystem::path& file) const {
        const std::string top = file.begin()->string();
        if (!std::filesystem::exists(root_ / file)) return false;
        if (file.parent_path() == "examples" && file.filename() != "CMakeLists.txt")
            return read_bytes(root_ / "examples" / "CMakeLists.txt").find(file.stem().string()) != std::string::npos;
        return top == "examples" || top == "tests" || top == "test_package" || top == "include";
    }

    /// Words that are files of the tree, and presets. What a command builds or writes begins with another folder.
    [[nodiscard]] std::string wrong_in_commands(const std::vector<std::string>& lines) const {
        for (const std::string& line : lines) {
            std::istringstream words(line.substr(0, line.find(" #")));
            std::string before;
            for (std::string word; words >> word; before = word) {
                const std::filesystem::path path = word.starts_with("./") ? word.substr(2) : word;
                const bool ours = word.starts_with("./") ||
                                  (path.has_parent_path() && !path.begin()->empty() && *path.begin() != "build" &&
                                   std::filesystem::exists(root_ / *path.begin()));
                if (ours && !std::filesystem::exists(root_ / path)) return word + " does not exist";
                const auto name = "\"name\": \"" + word + "\"";
                if (before == "--preset" && read_bytes(root_ / "CMakePresets.json").find(name) == std::string::npos)
                    return "there is no preset " + word;
            }
        }
        return {};
    }

    folder root_;
};

complaints of_all_pages(complaints (reader::*what)(const std::filesystem::path&) const) {
    const folder root = GPTQ_SOURCE_DIR;
    const auto pages = pages_of(root);
    REQUIRE(pages.size() > 10);
    complaints all;
    for (const auto& page : pages)
        for (const auto& complaint : (reader(root).*what)(page)) all.push_back(complaint);
    return all;
}

TEST_CASE("every block of code in the documentation is in a file that is compiled and run") {
    CHECK(of_all_pages(&reader::blocks) == complaints{});
}

TEST_CASE("every link in the documentation leads somewhere") { CHECK(of_all_pages(&reader::links) == complaints{}); }

TEST_CASE("files, folders and presets that the documentation names exist") {
    CHECK(of_all_pages(&reader::names) == complaints{});
}

TEST_CASE("documentation that is not true is noticed") {
    const temp_folder root;
    root.write("examples/a.cpp", "int main() {\n    f();\n\n    g();\n}\n");
    root.write("examples/b.cpp", "f();\n");
    root.write("examples/CMakeLists.txt", "gptq_example(a)\n");
    root.write("CMakePresets.json", R"({"name": "dev"})");
    const reader reads(root.path());
    const auto page = [&](const std::string& text) { return root.write("README.md", text); };

    const std::string named = "<!-- examples/a.cpp -->\n```cpp\n";
    CHECK(reads.blocks(page(named + "  f();\n  g();\n```\n")) == complaints{});
    CHECK(reads.blocks(page(named + "g();\nf();\n```\n")) ==
          complaints{"README.md:2: examples/a.cpp does not have these lines"});
    CHECK(reads.blocks(page(named + "f();\n  g();\n```\n")).size() == 1);
    CHECK(reads.blocks(page("```cpp\nf();\n```\n")).size() == 1);
    CHECK(reads.blocks(page("- x\n\n  ```cpp\n  f();\n  ```\n")).size() == 1);
    CHECK(reads.blocks(page("<!-- examples/b.cpp -->\n```cpp\nf();\n```\n")).size() == 1);
    CHECK(reads.blocks(page("<!-- examples/c.cpp -->\n```cpp\nf();\n```\n")).size() == 1);
    CHECK(reads.blocks(page("<!-- examples/a.cpp -->\n```sh\nls\n```\n")).size() == 1);
    CHECK(reads.blocks(page("```sh\nls\n```\n```\na picture\n```\n")) == complaints{});

    CHECK(reads.links(page("# Two words\n[a](examples/a.cpp) [b](#two-words) [c](https://x.org)\n")) == complaints{});
    CHECK(reads.links(page("# Two words\n[a](#two)\n![b](b.svg)\n")).size() == 2);

    CHECK(reads.names(page("`examples/a.cpp`\n```sh\ncmake --preset dev # x/y\nbuild/x/y\n```\n")) == complaints{});
    CHECK(reads.names(page("`examples/c.cpp`\n")).size() == 1);
    CHECK(reads.names(page("```sh\n./run\n```\n```sh\nexamples/run\n```\n```sh\ncmake --preset x\n```\n")).size() == 3);
}

}  // namespace
