// The little of Markdown that the documentation's promises are about: blocks of code, links, headings, and names of
// files in the text.
#pragma once

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <regex>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace markdown {

/// A block of code between ``` and ```.
struct fence {
    std::size_t line = 0;            ///< of its first ```, counted from 1
    std::string language;            ///< what stands behind that
    std::string source;              ///< the file in a comment on the line above: <!-- examples/a.cpp -->
    std::vector<std::string> lines;  ///< without indentation that all have, without empty lines
};

/// Some words of a line.
struct word {
    std::size_t line = 0;
    std::string text;
};

struct document {
    std::vector<fence> fences;
    std::vector<word> links;     ///< where they lead to, pictures too
    std::vector<word> code;      ///< `words` of the text
    std::vector<word> headings;  ///< as links call them: "Where things are" is where-things-are
};

/// Without empty lines, and without indentation that all have.
inline std::vector<std::string> dedented(std::vector<std::string> lines) {
    std::erase_if(lines, [](const std::string& line) { return line.find_first_not_of(' ') == line.npos; });
    std::size_t indent = std::string::npos;
    for (const std::string& line : lines) indent = std::min(indent, line.find_first_not_of(' '));
    for (std::string& line : lines) line.erase(0, indent);
    return lines;
}

inline std::vector<std::string> lines_of(const std::string& text) {
    std::vector<std::string> lines;
    std::istringstream stream(text);
    for (std::string line; std::getline(stream, line);) lines.push_back(line);
    return lines;
}

/// How links call a heading: letters and digits in lower case, a hyphen for each space, nothing else but - and _.
inline std::string anchor(std::string_view heading) {
    std::string name;
    for (const char c : heading) {
        const auto byte = static_cast<unsigned char>(c);
        if (c == ' ' || c == '-')
            name += '-';
        else if (std::isalnum(byte) != 0 || c == '_' || byte >= 0x80)
            name += static_cast<char>(std::tolower(byte));
    }
    return name;
}

/// Adds what a pattern's first group matches on a line.
inline void add_matches(const std::string& line, const char* pattern, std::size_t number, std::vector<word>& to) {
    const std::regex regex(pattern);
    for (std::sregex_iterator m(line.begin(), line.end(), regex), end; m != end; ++m) to.push_back({number, (*m)[1]});
}

/// Headings, links and `words` of a line that is not code.
inline void add_text(const std::string& line, std::size_t number, document& doc) {
    std::smatch match;
    if (std::regex_match(line, match, std::regex("#+ (.*)"))) doc.headings.push_back({number, anchor(match[1].str())});
    add_matches(line, R"(`([^`]+)`)", number, doc.code);
    const std::string prose = std::regex_replace(line, std::regex("`[^`]*`"), "");
    add_matches(prose, R"(\]\(([^) ]+)\))", number, doc.links);
    add_matches(prose, R"re((?:src|srcset)="([^"]+)")re", number, doc.links);
}

inline document parse(const std::string& text) {
    document doc;
    std::string before;
    std::size_t number = 0;
    bool is_code = false;
    for (const std::string& line : lines_of(text)) {
        ++number;
        const std::string trimmed = line.substr(std::min(line.find_first_not_of(' '), line.size()));
        std::smatch source;
        if (trimmed.starts_with("```")) {
            is_code = !is_code;
            if (is_code) {
                doc.fences.push_back({number, trimmed.substr(3), {}, {}});
                if (std::regex_match(before, source, std::regex(" *<!-- ([^ ]+) -->")))
                    doc.fences.back().source = source[1];
            } else {
                doc.fences.back().lines = dedented(doc.fences.back().lines);
            }
        } else if (is_code) {
            doc.fences.back().lines.push_back(line);
        } else {
            add_text(line, number, doc);
        }
        before = line;
    }
    return doc;
}

/// Whether the block's lines are neighbours in a file. Empty lines and the depth of indentation do not count.
inline bool contains(const std::string& file, const std::vector<std::string>& block) {
    const auto lines = lines_of(file);
    std::vector<std::string> full;
    for (const std::string& line : lines)
        if (line.find_first_not_of(' ') != line.npos) full.push_back(line);
    for (auto first = full.begin(); static_cast<std::size_t>(full.end() - first) >= block.size(); ++first)
        if (dedented({first, first + static_cast<std::ptrdiff_t>(block.size())}) == block) return true;
    return false;
}

}  // namespace markdown
