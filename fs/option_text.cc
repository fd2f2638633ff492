#include "fs/option_text.h"

#include <algorithm>
#include <cerrno>

namespace ufs {
namespace {

// The end of a quoted value that starts at `from`, or npos.
size_t FindClosingQuote(std::string_view text, size_t from) {
  for (size_t i = from; i < text.size(); ++i) {
    if (text[i] == '\\')
      ++i;
    else if (text[i] == '"')
      return i;
  }
  return text.npos;
}

OptionText ParseOne(std::string_view text) {
  OptionText option;
  const size_t equals = text.find('=');
  option.name = text.substr(0, equals);
  if (equals == text.npos) return option;
  option.has_value = true;
  std::string_view value = text.substr(equals + 1);
  if (value.size() >= 2 && value.front() == '"' &&
      FindClosingQuote(value, 1) == value.size() - 1)
    value = value.substr(1, value.size() - 2);
  option.value = value;
  return option;
}

// The first comma at or after `from` that ends an option; the size of the text
// when none does.
Result<size_t> FindOptionEnd(std::string_view text, size_t from) {
  bool in_name = true;
  for (size_t i = from; i < text.size(); ++i) {
    if (text[i] == ',') return i;
    if (text[i] == '\\') {
      ++i;
    } else if (text[i] == '=' && in_name) {
      in_name = false;
      if (i + 1 >= text.size() || text[i + 1] != '"') continue;
      i = FindClosingQuote(text, i + 2);
      if (i == text.npos)
        return Error(EINVAL, "option '" + std::string(text.substr(from)) +
                                 "': the quote is never closed");
    }
  }
  return text.size();
}

// Optimal string alignment distance.
size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<size_t> before(b.size() + 1), last(b.size() + 1),
      row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) last[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = last[j - 1] + (a[i - 1] != b[j - 1]);
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, replaced});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        row[j] = std::min(row[j], before[j - 2] + 1);
    }
    before.swap(last);
    last.swap(row);
  }
  return last[b.size()];
}

}  // namespace

Result<std::vector<OptionText>> SplitOptions(std::string_view text) {
  std::vector<OptionText> options;
  for (size_t from = 0; from < text.size();) {
    const size_t end = TRY(FindOptionEnd(text, from));
    if (end > from) options.push_back(ParseOne(text.substr(from, end - from)));
    from = end + 1;
  }
  return options;
}

std::string Unescape(std::string_view text) {
  std::string plain;
  plain.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 1 < text.size()) ++i;
    plain.push_back(text[i]);
  }
  return plain;
}

std::vector<std::string> SplitLowerdir(std::string_view value) {
  std::vector<std::string> parts;
  size_t from = 0;
  for (size_t i = 0; i < value.size(); ++i) {
    if (value[i] == '\\') {
      ++i;
    } else if (value[i] == ':') {
      parts.push_back(Unescape(value.substr(from, i - from)));
      from = i + 1;
    }
  }
  parts.push_back(Unescape(value.substr(from)));
  return parts;
}

std::string EscapeLowerdir(std::string_view directory) {
  std::string escaped;
  for (const char c : directory) {
    if (c == '\\' || c == ':' || c == ',') escaped.push_back('\\');
    escaped.push_back(c);
  }
  return escaped;
}

std::string_view NearestName(std::string_view name,
                             const std::vector<std::string_view>& candidates) {
  constexpr size_t kLongest = 64;  // nobody mistypes more, and it is quadratic
  if (name.size() > kLongest) return {};
  std::string_view nearest;
  size_t least = name.size() / 3 + 1;  // this far away is a different word
  for (const std::string_view candidate : candidates) {
    const size_t distance = EditDistance(name, candidate);
    if (distance >= least) continue;
    least = distance;
    nearest = candidate;
  }
  return nearest;
}

}  // namespace ufs
