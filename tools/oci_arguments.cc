#include <algorithm>
#include <cerrno>
#include <charconv>

#include "tools/cmd_oci.h"

namespace ufs {
namespace {

std::vector<std::string> Names(std::initializer_list<const char*> names) {
  return {names.begin(), names.end()};
}

Error Usage(std::string message) { return Error(EINVAL, std::move(message)); }

}  // namespace

OciArguments& OciArguments::Flag(std::initializer_list<const char*> names,
                                 bool& target) {
  options_.push_back({Names(names), &target, nullptr, nullptr});
  return *this;
}

OciArguments& OciArguments::Value(std::initializer_list<const char*> names,
                                  std::string& target) {
  options_.push_back({Names(names), nullptr, &target, nullptr});
  return *this;
}

OciArguments& OciArguments::List(std::initializer_list<const char*> names,
                                 std::vector<std::string>& target) {
  options_.push_back({Names(names), nullptr, nullptr, &target});
  return *this;
}

Result<std::vector<std::string>> OciArguments::Parse(
    const std::vector<std::string>& words, bool words_end_options) {
  std::vector<std::string> plain;
  for (size_t i = 1; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (word == "--") {
      plain.insert(plain.end(), words.begin() + static_cast<long>(i) + 1,
                   words.end());
      break;
    }
    // "-" alone is a file name: standard input.
    if (word.size() < 2 || word[0] != '-') {
      if (words_end_options) {
        plain.insert(plain.end(), words.begin() + static_cast<long>(i),
                     words.end());
        break;
      }
      plain.push_back(word);
      continue;
    }
    // One dash or two, as Go's flag packages take them.
    const size_t dashes = word.starts_with("--") ? 2 : 1;
    const size_t equals = word.find('=');
    const std::string name =
        word.substr(dashes, equals == word.npos ? equals : equals - dashes);
    const auto option = std::find_if(
        options_.begin(), options_.end(), [&](const Option& known) {
          return std::find(known.names.begin(), known.names.end(), name) !=
                 known.names.end();
        });
    if (option == options_.end())
      return Usage("unknown option " + word + " of " + words[0]);
    std::string value;
    if (equals != word.npos) value = word.substr(equals + 1);
    if (option->flag != nullptr) {
      if (equals != word.npos && value != "true" && value != "false")
        return Usage(word + ": true or false");
      *option->flag = value != "false";
      continue;
    }
    if (equals == word.npos) {
      if (++i == words.size())
        return Usage("option " + word + " needs a value");
      value = words[i];
    }
    if (option->list != nullptr) {
      option->list->push_back(value);
    } else {
      *option->value = value;
    }
  }
  return plain;
}

Result<std::string> OnlyId(const std::vector<std::string>& words) {
  if (words.empty()) return Usage("no container id given");
  if (words.size() > 1)
    return Usage("one container id expected, but there is also \"" + words[1] +
                 "\"");
  return words[0];
}

Status CheckFormat(const std::string& format) {
  if (format == "table" || format == "json") return Ok();
  return Error(EINVAL, "--format: table or json, not " + format);
}

Result<int> ParseNumber(const std::string& text, const std::string& what) {
  int number = 0;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size())
    return Usage(what + ": \"" + text + "\" is no number");
  return number;
}

}  // namespace ufs
